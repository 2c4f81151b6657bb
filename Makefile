# `make` alone prints all targets. Everything is written inside this folder (except pip's own cache).

PYTHON ?= python3
# One more than the number of processors, because tests sometimes wait for processes and locks.
JOBS ?= 3

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
DUCKDB1 := $(VENV)/duckdb1
BOTOCORE := $(VENV)/botocore
# The tests that `make test-more` runs on the oldest botocore: requests to AWS. AWS_TESTS=tests runs all such tests.
AWS_TESTS ?= $(addprefix tests/,contract $(addprefix loopback/test_,agreement_with_boto3.py places.py kubernetes.py) \
	$(addprefix behaviour/test_,sessions.py connections.py whose_answer.py requests.py publish_s3.py))
FUZZER := $(VENV)/fuzzer
PEERS := $(VENV)/peers
SPARK := $(VENV)/spark
LAKES := $(VENV)/lakes
RAY := $(VENV)/ray
LOCKS := requirements
# The tests that `make test-more` runs on DuckDB 1.5, the second line: load, settling, queries. DUCKDB1_TESTS=tests runs all.
DUCKDB1_TESTS ?= $(addprefix tests/,$(addprefix behaviour/test_,sync.py deletions.py promises.py query.py \
	query_lockdown.py library.py export.py) unit/test_sql.py unit/test_schema.py properties/test_history.py)

export TMPDIR := $(CURDIR)/.cache/tmp
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/.cache/hypothesis
export PYTHONNOUSERSITE := 1
# An activated environment or the caller's PYTHONPATH must not affect the environment that is built here.
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV
# The tests start some hundred interpreters: without bytecode files each would compile the code again.
unexport PYTHONDONTWRITEBYTECODE

# The interpreter's version is part of the stamp files' names: another PYTHON needs another environment.
TAG := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
PACKAGES := $(VENV)/.packages-$(TAG)
PROJECT := $(VENV)/.project-$(TAG)
TOOLS := $(VENV)/.tools-$(TAG)
DUCKDB1_ADDED := $(VENV)/.duckdb1-$(TAG)
BOTOCORE_ADDED := $(VENV)/.botocore-$(TAG)
FUZZING := $(VENV)/.fuzzer-$(TAG)
RIVALS := $(VENV)/.peers-$(TAG)
SPARKED := $(VENV)/.spark-$(TAG)
LAKE_READERS := $(VENV)/.lakes-$(TAG)
ON_RAY := $(VENV)/.ray-$(TAG)
AUDITOR := $(VENV)/auditor
AUDITING := $(VENV)/.auditor-$(TAG)

# Wheels only: building from source would need packages that no lock file names. Only Spark and its client have no
# wheel; their build tools have their own lock file.
PIP_INSTALL := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input install

.PHONY: help
help: ## print this
	@echo 'image-history: the history of Amazon SageMaker image versions in DuckDB and Parquet'
	@echo
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r target text; do \
		printf '%-19s %s\n' "$$target" "$$text"; done
	@echo
	@echo 'PYTHON=python3.12 picks another interpreter (3.11 to 3.13); JOBS=4 runs more tests at once.'

.PHONY: demo
demo: $(PROJECT) ## run the main job against a simulated AWS: no account, no credentials
	@$(BIN)/image-history demo

.PHONY: venv
venv: $(PROJECT) $(TOOLS) ## build the development environment in .venv from the lock files

.PHONY: test
test: check unit ## check everything: format, lint, types, layers, docs, tests

.PHONY: test-more
test-more: unit-long unit-duckdb1 unit-botocore ## run the long tests, and tests on DuckDB 1.5 and on the oldest botocore: 15 minutes

.PHONY: check
check: $(PROJECT) $(TOOLS) ## only the checks without tests: format, lint, types, layers, docs
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@generated=$$(grep -l '\[\[\[cog' -- *.md docs/*.md); if [ -n "$$generated" ]; then \
		set -x; $(BIN)/cog --check $$generated; fi

# Each file runs on one worker, in the order of collection, so that cheap files come last. By default, files are sorted
# by their number of tests, and the expensive files would come last.
.PHONY: unit
unit: $(PROJECT) $(TOOLS) ## only the tests of make test
	$(BIN)/pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder -m 'not long'

.PHONY: unit-long
unit-long: $(PROJECT) $(TOOLS) ## only the long tests, which make test leaves out: tests/long.txt
	$(BIN)/pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder -m long

.PHONY: unit-duckdb1
unit-duckdb1: $(PROJECT) $(TOOLS) $(DUCKDB1_ADDED) ## only the tests that need DuckDB, on its second line, 1.5
	PYTHONPATH=$(CURDIR)/$(DUCKDB1) $(BIN)/pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder -m duckdb $(DUCKDB1_TESTS)

.PHONY: unit-botocore
unit-botocore: $(PROJECT) $(TOOLS) $(BOTOCORE_ADDED) ## only the tests of requests to AWS, on the oldest allowed botocore
	PYTHONPATH=$(CURDIR)/$(BOTOCORE) $(BIN)/pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder -m aws $(AWS_TESTS)

.PHONY: soak
soak: $(PROJECT) $(TOOLS) ## longer tests, for some minutes: the whole model, the state machine, some mutants; SEED=1 replays
	@$(BIN)/python -m tests.soak $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -m tests.soak.kills $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -m tests.soak.faultpoints
	@$(BIN)/python -m tests.soak.publishing
	@$(BIN)/python -m tests.soak.lakes $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -m tests.mutation --every 60 $(if $(SEED),--seed $(SEED))
	@IMAGE_HISTORY_TEST_SYNCS=100 $(BIN)/pytest -q tests/behaviour/test_turns.py
	@$(BIN)/python -m tests.soak.storm $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -m tests.soak.report
	@$(MAKE) --no-print-directory fuzz

.PHONY: tables-soak
tables-soak: $(PROJECT) $(TOOLS) ## longer tests of lake tables: every fault, three writers with 20 commits each, a million rows
	@$(BIN)/python -m tests.soak.lakes $(if $(SEED),--seed $(SEED)) $(ARGUMENTS)
	@$(BIN)/python -m tests.soak.sizes

.PHONY: mutation
mutation: $(PROJECT) $(TOOLS) ## remove each condition of the load and of the rules, one by one: a test must fail; an hour, less for mutants in tests/mutation/killed.txt
	@$(BIN)/python -m tests.mutation --killed tests/mutation/killed.txt $(ARGUMENTS)

.PHONY: report-check
report-check: $(PROJECT) $(TOOLS) ## test reports in a real browser; needs chromium and chromedriver. ARGUMENTS=FOLDER keeps screenshots
	@$(BIN)/python -m tests.browser $(ARGUMENTS)

.PHONY: deploy-check
deploy-check: $(PROJECT) $(TOOLS) ## run the commands of the container file in a fresh environment: takes a minute
	@$(BIN)/python -m tests.deploy.container

.PHONY: spark-check
spark-check: java $(PROJECT) $(TOOLS) $(SPARKED) ## let Spark read datasets and list AWS, with kills; needs Java 17, downloads 430 MB once
	@PYTHONPATH=$(CURDIR)/$(SPARK)/packages $(BIN)/python -m tests.soak.spark $(ARGUMENTS)
	@PYTHONPATH=$(CURDIR)/$(SPARK)/packages $(BIN)/python -m tests.soak.spark_source 'local[2,4]'
	@PYTHONPATH=$(CURDIR)/$(SPARK)/packages $(BIN)/python -m tests.soak.spark_source 'local-cluster[2,1,1024]'

.PHONY: lake-check
lake-check: $(PROJECT) $(TOOLS) $(LAKE_READERS) ## let DuckDB 1.5, Daft and Spark SQL (Sail) read lake tables; downloads 200 MB once
	@$(BIN)/python -m tests.readers $(CURDIR)/$(LAKES)/bin/python duckdb daft sail

.PHONY: ray-check
ray-check: $(PROJECT) $(TOOLS) $(ON_RAY) ## let Daft on Ray read lake tables; Linux only, downloads 220 MB once
	@$(BIN)/python -m tests.readers $(CURDIR)/$(RAY)/bin/python ray

.PHONY: fuzz
fuzz: $(PROJECT) $(TOOLS) $(FUZZING) ## only the coverage-guided fuzzer on all parsers; Linux. SECONDS=60 for each target
	@PYTHONPATH=$(CURDIR)/$(FUZZER) $(BIN)/python -m tests.fuzz $(if $(SECONDS),--seconds $(SECONDS))

.PHONY: bench
bench: $(PROJECT) $(RIVALS) ## compare with other tools, and write tests/benchmarks/RESULTS.md; SIZE=full takes long
	@$(BIN)/python -m tests.benchmarks --peers $(CURDIR)/$(PEERS)/bin/python $(if $(SIZE),--size $(SIZE)) $(ARGUMENTS)

.PHONY: format
format: $(PROJECT) $(TOOLS) ## format the code, fix what ruff can fix, write the generated parts of the docs
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	@generated=$$(grep -l '\[\[\[cog' -- *.md docs/*.md); if [ -n "$$generated" ]; then \
		set -x; $(BIN)/cog -r $$generated; fi

.PHONY: build
build: $(PROJECT) ## build the wheel and the source distribution into dist/
	@rm -rf dist
	$(BIN)/hatchling build

.PHONY: dist-check
dist-check: build $(TOOLS) ## install the built files in empty environments, on each installed Python of 3.11 to 3.13
	@$(BIN)/python -m tests.dist

.PHONY: audit
audit: $(AUDITING) ## check the runtime lock against the published advisories; needs the network
	@$(AUDITOR)/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r $(LOCKS)/runtime.txt

# A lock file may contain only versions and hashes, so settings of the caller must not name another index or folder.
UV_COMPILE = env -u UV_INDEX -u UV_INDEX_URL -u UV_DEFAULT_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS \
	UV_CUSTOM_COMPILE_COMMAND='make lock' \
	$(BIN)/uv --no-config --system-certs pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate $(UPGRADE)

.PHONY: lock
lock: $(TOOLS) ## rewrite the lock files after a change of pyproject.toml; UPGRADE=--upgrade takes newer versions
	$(UV_COMPILE) pyproject.toml --group dev -o $(LOCKS)/dev.txt
	$(UV_COMPILE) pyproject.toml --constraints $(LOCKS)/dev.txt -o $(LOCKS)/runtime.txt
	$(UV_COMPILE) --group build --constraints $(LOCKS)/dev.txt -o $(LOCKS)/build.txt
	$(UV_COMPILE) $(LOCKS)/duckdb1.in -o $(LOCKS)/duckdb1.txt
	$(UV_COMPILE) $(LOCKS)/botocore.in -o $(LOCKS)/botocore.txt
	$(UV_COMPILE) $(LOCKS)/fuzz.in -o $(LOCKS)/fuzz.txt
	$(UV_COMPILE) $(LOCKS)/bench.in -o $(LOCKS)/bench.txt
	$(UV_COMPILE) $(LOCKS)/audit.in -o $(LOCKS)/audit.txt
	$(UV_COMPILE) $(LOCKS)/spark-build.in -o $(LOCKS)/spark-build.txt
	$(UV_COMPILE) $(LOCKS)/spark.in -o $(LOCKS)/spark.txt
	$(UV_COMPILE) $(LOCKS)/lakes.in -o $(LOCKS)/lakes.txt
	$(UV_COMPILE) $(LOCKS)/ray.in -o $(LOCKS)/ray.txt

.PHONY: clean
clean: ## remove the environment, caches and built files
	rm -rf $(VENV) .cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: python
python:
	@case '$(TAG)' in 3.11|3.12|3.13) ;; \
		'') echo >&2 '$(PYTHON) does not start; name a Python of 3.11 to 3.13, as in: make PYTHON=python3.12'; exit 1;; \
		*) echo >&2 'image-history runs on Python 3.11 to 3.13, and $(PYTHON) is $(TAG);' \
			'name another, as in: make PYTHON=python3.12'; exit 1;; esac
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo >&2 \
		'$(PYTHON) cannot make environments; install its venv module (on Debian: apt-get install python3-venv)'; exit 1; }
	@mkdir -p "$$TMPDIR"

.PHONY: java
java:
	@"$${JAVA_HOME:+$$JAVA_HOME/bin/}java" -version >/dev/null 2>&1 || { echo >&2 \
		'Spark needs Java 17 or later, and no Java starts; install one (on Debian: apt-get install default-jre-headless)' \
		'or let JAVA_HOME name it'; exit 1; }

$(PACKAGES): $(LOCKS)/runtime.txt $(LOCKS)/build.txt | python
	@echo 'Building $(VENV) with Python $(TAG) from the lock files ...'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP_INSTALL) --require-hashes --only-binary :all: -r $(LOCKS)/runtime.txt -r $(LOCKS)/build.txt
	@touch $@

$(PROJECT): $(PACKAGES) pyproject.toml | python
	@$(PIP_INSTALL) --no-build-isolation --no-deps --no-index --editable .
	@touch $@

$(TOOLS): $(PACKAGES) $(LOCKS)/dev.txt | python
	@echo 'Adding the development tools ...'
	@$(PIP_INSTALL) --require-hashes --only-binary :all: -r $(LOCKS)/dev.txt
	@touch $@

$(DUCKDB1_ADDED): $(PACKAGES) $(LOCKS)/duckdb1.txt | python
	@echo 'Adding the second DuckDB line ...'
	@rm -rf $(DUCKDB1)
	@$(PIP_INSTALL) --require-hashes --only-binary :all: --no-deps --target $(DUCKDB1) -r $(LOCKS)/duckdb1.txt
	@touch $@

$(BOTOCORE_ADDED): $(PACKAGES) $(LOCKS)/botocore.txt | python
	@echo 'Adding the oldest botocore ...'
	@rm -rf $(BOTOCORE)
	@$(PIP_INSTALL) --require-hashes --only-binary :all: --no-deps --target $(BOTOCORE) -r $(LOCKS)/botocore.txt
	@touch $@

$(FUZZING): $(PACKAGES) $(LOCKS)/fuzz.txt | python
	@echo 'Adding the fuzzer ...'
	@rm -rf $(FUZZER)
	@$(PIP_INSTALL) --require-hashes --only-binary :all: --no-deps --target $(FUZZER) -r $(LOCKS)/fuzz.txt
	@touch $@

$(RIVALS): $(PACKAGES) $(LOCKS)/bench.txt | python
	@echo 'Adding the peers of the benchmark ...'
	@$(PYTHON) -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip -qq --disable-pip-version-check --no-input install \
		--require-hashes --only-binary :all: -r $(LOCKS)/bench.txt
	@touch $@

$(SPARKED): $(PACKAGES) $(LOCKS)/spark-build.txt $(LOCKS)/spark.txt | python java
	@echo 'Building Spark from its source distribution ...'
	@rm -rf $(SPARK)
	@{ $(PIP_INSTALL) --require-hashes --only-binary :all: --no-deps --target $(SPARK)/builders -r $(LOCKS)/spark-build.txt && \
		PYTHONPATH=$(CURDIR)/$(SPARK)/builders $(PIP_INSTALL) --require-hashes --no-build-isolation --no-deps \
		--target $(SPARK)/packages -r $(LOCKS)/spark.txt; } || { rm -rf $(SPARK); echo >&2 \
		'Spark cannot be obtained from the package index that pip uses; the reason is in the output of pip above'; exit 1; }
	@touch $@

$(LAKE_READERS): $(PACKAGES) $(LOCKS)/spark-build.txt $(LOCKS)/lakes.txt | python
	@echo 'Adding the readers of lake tables ...'
	@$(PYTHON) -m venv --clear $(LAKES)
	@$(LAKES)/bin/python -m pip -qq --disable-pip-version-check --no-input install \
		--require-hashes --only-binary :all: -r $(LOCKS)/spark-build.txt
	@$(LAKES)/bin/python -m pip -qq --disable-pip-version-check --no-input install \
		--require-hashes --only-binary :all: --no-binary pyspark-client --no-build-isolation -r $(LOCKS)/lakes.txt
	@touch $@

$(ON_RAY): $(PACKAGES) $(LOCKS)/ray.txt | python
	@echo 'Adding Daft on Ray ...'
	@$(PYTHON) -m venv --clear $(RAY)
	@$(RAY)/bin/python -m pip -qq --disable-pip-version-check --no-input install \
		--require-hashes --only-binary :all: -r $(LOCKS)/ray.txt
	@touch $@

$(AUDITING): $(PACKAGES) $(LOCKS)/audit.txt | python
	@echo 'Adding the auditor ...'
	@$(PYTHON) -m venv --clear $(AUDITOR)
	@$(AUDITOR)/bin/python -m pip -qq --disable-pip-version-check --no-input install \
		--require-hashes --only-binary :all: -r $(LOCKS)/audit.txt
	@touch $@
