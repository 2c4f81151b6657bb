"""The documents say what the code does: they are complete, generated parts are current, and no link is dead."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import botocore.session
import click
import pytest
from packaging.requirements import Requirement

import image_history
from image_history.cli import VERBS, global_options, root
from image_history.cli.documents import verbs
from image_history.config import settings
from image_history.errors import InterruptedRunError
from image_history.formats.writing import NAMES
from image_history.schema import TABLES
from image_history.warehouse.statements import names
from tests import documents

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "connector" / "image_history"
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/*.md")])
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
# The exit codes that the verbs themselves decide, in addition to those of errors.
VERBS_CODES = {"0", "1", "8", "9", "130", "141", "143"}


def by_name(paths: list[Path]) -> list[object]:
    """One parameter for each document."""
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes from the headings of a document."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(text: str) -> Iterator[list[str]]:
    """Every `image-history VERB ...` of a document, split into words."""
    for found in re.findall(r"(?:`|\$ |&& )(?:image-history|sync) [^`\n]*", text):
        line = re.sub(r"^(`|\$ |&& )(image-history )?", "", found).split(" >>")[0]
        try:
            yield shlex.split(line)
        except ValueError:
            # The line has a quoted query that continues on the next line.
            yield shlex.split(line.partition('"')[0])


def options(verb: str) -> set[str]:
    """The options that a verb takes."""
    command: click.Command = import_module(VERBS[verb][0]).command
    context = click.Context(command, info_name=verb, parent=click.Context(root))
    return {option for parameter in command.get_params(context) for option in parameter.opts}


def exists(reference: str) -> bool:
    """Whether the function `tests/file.py::function` exists."""
    name, _, function = reference.partition("::")
    path = ROOT / name
    return path.is_file() and function in {
        node.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


def test_generated_parts_are_current() -> None:
    """The parts that cog writes into the documents match the code; `make format` writes them again."""
    generated = [str(path) for path in DOCUMENTS if "[[[cog" in path.read_text(encoding="utf-8")]
    outcome = subprocess.run(
        [sys.executable, "-m", "cogapp", "--check", *generated],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.parametrize("path", by_name(DOCUMENTS))
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link names an existing file, and a heading of that file."""
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("path", by_name(DOCUMENTS))
def test_documents_name_only_tests_that_are_there(path: Path) -> None:
    """Every `tests/file.py::function` that a document names is a function of that file."""
    references = re.findall(r"tests/[\w/]+\.py::\w+", path.read_text(encoding="utf-8"))
    assert [reference for reference in references if not exists(reference)] == []


@pytest.mark.parametrize("path", by_name(DOCUMENTS))
def test_documents_name_only_files_that_are_there(path: Path) -> None:
    """Every path of the checkout in backquotes exists."""
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"`((?:connector|sql|tests|requirements)/[\w./-]*)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", by_name(DOCUMENTS))
def test_documents_show_only_commands_that_there_are(path: Path) -> None:
    """Every command line in a document has an existing verb, with options that the verb accepts."""
    for words in commands(path.read_text(encoding="utf-8")):
        globals_ = {option for parameter in root.params for option in parameter.opts}
        given = [word for word in words if word.startswith("-")]
        verb = next((word for word in words if not word.startswith("-")), None)
        allowed = globals_ | {"--help"} | (options(verb) if verb in VERBS else set())
        assert verb in {*VERBS, "VERB", None}, words
        assert set(given) <= allowed, words


@pytest.mark.parametrize("path", by_name(DOCUMENTS))
def test_documents_name_only_targets_of_make_that_there_are(path: Path) -> None:
    """Every `make target` in a document is a target of the Makefile."""
    targets = set(
        re.findall(r"^\.PHONY: (\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    named = re.findall(r"(?:`|^    )make ([a-z0-9-]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= targets


def test_every_setting_is_documented() -> None:
    """The page on the configuration names every setting."""
    assert [each.name for each in settings() if f"`{each.name}" not in PAGES["configuration.md"]] == []


def test_every_verb_has_a_section() -> None:
    """The page on the command line has a section for every verb."""
    assert [name for name in VERBS if f"\n## {name}\n" not in PAGES["command-line.md"]] == []


def test_every_exit_code_is_documented_and_no_other() -> None:
    """The table of exit codes has exactly the codes of the errors and of the verbs."""
    carried = {
        str(error.exit_code) for _, error in documents.error_tree() if error is not InterruptedRunError
    }
    section = PAGES["operations.md"].partition("\n## Exit codes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE)
    assert {code for row in rows for code in row.split(", ")} == carried | VERBS_CODES


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_command_line_has_every_option(verb: str) -> None:
    """Each option of each verb is in a row of the verb's section, or is one that all verbs take."""
    page = PAGES["command-line.md"]
    section = page.partition(f"\n## {verb}\n")[2].partition("\n## ")[0]
    assert section
    rows = "\n".join(line.partition("` |")[0] for line in section.splitlines() if line.startswith("| `"))
    documented = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", rows))
    shared = {option for parameter in global_options() for option in parameter.opts}
    taken = {option for option in options(verb) if option.startswith("-")}
    assert taken - shared <= documented | {"-h", "--help"}


def test_page_on_queries_names_every_document_and_format() -> None:
    """The page on queries names each verb with a JSON document, and each format."""
    text = " ".join(PAGES["asking.md"].split())
    named = text.partition("short for `--format json`: ")[2].partition(". ")[0]
    assert sorted(re.findall(r"`([a-z]+)`", named)) == list(verbs())
    formats = text.partition("or `--format`: ")[2].partition(". ")[0]
    assert [name for name in NAMES if not re.search(rf"\b{name}\b", formats)] == []


def test_every_environment_variable_is_documented() -> None:
    """The page on the command line names every environment variable in the code, and every setting's variable."""
    named = re.compile(
        r"\b(?:(?:AWS|OTEL|XDG|IMAGE_HISTORY)_[A-Z0-9_]*[A-Z0-9]|PAGER|LESS|NO_COLOR|TERM|TMPDIR|HTTPS?_PROXY|NO_PROXY)\b"
    )
    texts = {
        node.value
        for path in (ROOT / "connector" / "image_history").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    wanted = {name for text in texts for name in named.findall(text)}
    wanted |= {setting.variable for setting in settings() if setting.variable}
    # The first is only the beginning of OTLP's names, and only the test suite reads the second.
    wanted -= {"OTEL_EXPORTER_OTLP", "IMAGE_HISTORY_TEST_SEED"}
    assert sorted(name for name in wanted if f"`{name}`" not in PAGES["command-line.md"]) == []


def test_every_variable_that_is_read_is_looked_for() -> None:
    """The page on the command line names every variable that the code reads, whatever its name."""
    reading = re.compile(r"""environ(?:ment)?(?:\.get\(|\[)["'](\w+)["']""")
    read = {
        name
        for path in (ROOT / "connector" / "image_history").rglob("*.py")
        for name in reading.findall(path.read_text(encoding="utf-8"))
    }
    assert read
    assert sorted(name for name in read if f"`{name}`" not in PAGES["command-line.md"]) == []


def test_dictionary_has_every_table_view_and_column() -> None:
    """The data dictionary has each table with its columns, each view and macro, and each saved query."""
    page = PAGES["data-dictionary.md"]
    for table in TABLES:
        section = page.partition(f"\n## {table.name}\n")[2].partition("\n## ")[0]
        assert [each.name for each in table.columns if f"| `{each.name}` |" not in section] == []
    views = [name.partition("/")[2] for name in names("views")]
    assert [name for name in views if f"\n## {name}\n" not in page] == []
    queries = [name.partition("/")[2] for name in names("queries")]
    assert [name for name in queries if f"`@{name}`" not in page] == []


def test_map_of_the_documents_names_every_page() -> None:
    """docs/index.md links to each page, and the README links to docs/index.md."""
    assert sorted(name for name in PAGES if f"({name})" not in PAGES["index.md"]) == ["index.md"]
    assert "(docs/index.md)" in README


def test_readme_names_the_distribution_as_it_is_built() -> None:
    """The wheel that the README installs has the project's name and version."""
    name = PROJECT["name"].replace("-", "_")
    assert f"dist/{name}-{image_history.__version__}-py3-none-any.whl" in README
    assert f"`{PROJECT['name']}`" in README
    assert PROJECT["requires-python"] == ">=3.11,<3.14"


def test_readme_names_the_systems_that_the_project_is_for() -> None:
    """The README and the package's classifiers name Linux and macOS, and no other system."""
    systems = {
        line.split(" :: ")[-1] for line in PROJECT["classifiers"] if line.startswith("Operating System")
    }
    assert systems == {"Linux", "MacOS"}
    assert "Linux and macOS only" in README


@pytest.mark.parametrize("promise", [f"P{number}" for number in range(1, 10)])
def test_architecture_names_a_test_for_each_promise(promise: str) -> None:
    """Each of P1 to P9 is followed by the names of its tests, a line each."""
    (tests,) = re.findall(rf"^- \*\*{promise}\*\* .*\n((?:  - .*\n)+)", ARCHITECTURE, re.MULTILINE)
    assert "::test_" in tests


def test_architecture_places_every_module() -> None:
    """The code map has every module and package of image_history, and every folder of sql/."""
    modules = {path.name for path in (ROOT / "connector" / "image_history").glob("[a-z]*.py")}
    packages = {
        f"{path.parent.name}/" for path in (ROOT / "connector" / "image_history").glob("*/__init__.py")
    }
    folders = {f"sql/{path.name}/" for path in (ROOT / "sql").iterdir()}
    missing = [name for name in modules | packages | folders if f"`{name}`" not in ARCHITECTURE]
    assert sorted(missing) == []


def test_architecture_says_why_each_dependency_is_there() -> None:
    """Every dependency of the project has its reason, and no other package has one."""
    section = ARCHITECTURE.partition("## Dependencies")[2].partition("\n## ")[0]
    explained = re.findall(r"^\| `([\w.-]+)` \| \S", section, re.MULTILINE)
    assert sorted(explained) == sorted(Requirement(line).name for line in PROJECT["dependencies"])


def test_architecture_numbers_its_decisions() -> None:
    """Decisions are numbered without a gap, and each has the decision and its price."""
    section = ARCHITECTURE.partition("## Decisions")[2]
    entries = re.findall(r"^(\d+)\. (.*(?:\n +.*)*)$", section, re.MULTILINE)
    assert [int(number) for number, _ in entries] == list(range(1, len(entries) + 1))
    assert [text for _, text in entries if not re.search(r"\*Decided:\*.*\*Price:\*", text, re.DOTALL)] == []


def test_architecture_index_names_files_that_there_are() -> None:
    """Each answer of "where is it decided" is a file of the package or of the checkout."""
    section = ARCHITECTURE.partition("## Where is it decided that ...?")[2].partition("\n## ")[0]
    files = re.findall(r"`([\w/]+\.(?:py|sql|toml))`", section)
    assert len(files) > 20
    missing = [name for name in files if not any((root / name).exists() for root in (ROOT, PACKAGE))]
    assert missing == []


def test_code_cites_only_decisions_that_there_are() -> None:
    """`ARCHITECTURE, decision N` in the code names a decision of that number."""
    count = len(re.findall(r"^\d+\. ", ARCHITECTURE.partition("## Decisions")[2], re.MULTILINE))
    for path in (ROOT / "connector" / "image_history").rglob("*.py"):
        cited = re.findall(r"ARCHITECTURE, decision (\d+)", path.read_text(encoding="utf-8"))
        assert all(1 <= int(number) <= count for number in cited), path


def test_changelog_knows_the_version() -> None:
    """The newest entry of the changelog is the package's version."""
    (newest, *_) = re.findall(r"^## \[?([\d.]+)\]?", CHANGELOG, re.MULTILINE)
    assert newest == image_history.__version__


def test_comparison_says_of_aws_config_what_botocore_names() -> None:
    """AWS Config records SageMaker images and not their versions, as botocore lists its resource types."""
    model = botocore.session.Session().get_service_model("config")
    named = {
        kind for kind in model.shape_for("ResourceType").enum if kind.startswith("AWS::SageMaker::Image")
    }
    assert named == {"AWS::SageMaker::Image"}
