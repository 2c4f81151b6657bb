"""The recipes that other programs read: Kubernetes, the container file, the workflow, alerts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import kubernetes_validate
import pytest
import yaml

import image_history
from image_history.config import load_config
from tests.behaviour.commanding import Commanded
from tests.deploy.recipes import DEPLOY, ROOT, documents, text

pytestmark = pytest.mark.duckdb

KUBERNETES = "kubernetes/image-history.yaml"
CONTAINERFILE = "container/Containerfile"
WORKFLOW = "github-actions/image-history.yml"
CRON_JOBS = [document for document in documents(KUBERNETES) if document["kind"] == "CronJob"]


def pod_of(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """The pod that a CronJob creates."""
    pod: Mapping[str, Any] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return pod


def of_kind(kind: str) -> Mapping[str, Any]:
    """The only document of a kind."""
    (found,) = [document for document in documents(KUBERNETES) if document["kind"] == kind]
    return found


def test_kubernetes_objects_are_valid() -> None:
    """Kubernetes' schemas of version 1.29 and of the newest accept every object, and refuse a misspelled member."""
    for version in ("1.29", kubernetes_validate.latest_version()):
        for document in documents(KUBERNETES):
            kubernetes_validate.validate(document, version, strict=True)
    job = json.loads(json.dumps(CRON_JOBS[0]).replace("concurrencyPolicy", "concurencyPolicy"))
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, "1.29", strict=True)


@pytest.mark.parametrize("job", CRON_JOBS, ids=lambda job: str(job["metadata"]["name"]))
def test_cron_job_may_do_little(job: Mapping[str, Any]) -> None:
    """A CronJob runs one pod at a time, not as root, with a read-only root file system and no cluster token."""
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    pod = pod_of(job)
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == of_kind("ServiceAccount")["metadata"]["name"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["image"].endswith(f":{image_history.__version__}")
    assert {mount["name"] for mount in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}


def test_cron_jobs_use_the_claim_the_account_and_the_configuration(tmp_path: Path) -> None:
    """The warehouse and the landing are on the claim, the configuration loads, and the account has an IAM role."""
    claim = of_kind("PersistentVolumeClaim")["metadata"]["name"]
    role = of_kind("ServiceAccount")["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
    assert re.fullmatch(r"arn:aws:iam::\d{12}:role/.+", role)
    (tmp_path / "config.yaml").write_text(of_kind("ConfigMap")["data"]["config.yaml"], encoding="utf-8")
    config = load_config(tmp_path / "config.yaml", {})
    for job in CRON_JOBS:
        volumes = {each["name"]: each for each in pod_of(job)["volumes"]}
        mounts = {each["name"]: each["mountPath"] for each in pod_of(job)["containers"][0]["volumeMounts"]}
        assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim
        assert config.warehouse.parent == config.landing_folder.parent == Path(mounts["data"])


def test_commands_of_kubernetes_and_the_container_run(commanded: Commanded) -> None:
    """The container's default command and the command of each CronJob exit with 0."""
    (commanded.folder / "config.yaml").write_text("page_size: 50\n", encoding="utf-8")
    (default,) = [json.loads(value) for name, value in instructions() if name == "CMD"]
    for arguments in (default, *(pod_of(job)["containers"][0]["args"] for job in CRON_JOBS)):
        local = [
            str(commanded.folder / "config.yaml") if word.startswith("/config/") else word
            for word in arguments
        ]
        assert commanded(*local).code == 0


def instructions() -> Sequence[tuple[str, str]]:
    """The instructions of the container file, as pairs of name and value, with continued lines joined."""
    joined = re.sub(r"^#.*\n", "", text(CONTAINERFILE), flags=re.MULTILINE).replace("\\\n", "")
    pairs = [line.split(maxsplit=1) for line in joined.splitlines() if line]
    return [(name, re.sub(r"\s+", " ", value)) for name, value in pairs]


def stages() -> Sequence[Sequence[tuple[str, str]]]:
    """The instructions of each stage."""
    cut: list[list[tuple[str, str]]] = []
    for name, value in instructions():
        if name == "FROM":
            cut.append([])
        cut[-1].append((name, value))
    return cut


def test_container_file_passes_hadolint() -> None:
    """Where hadolint is installed, it finds nothing in the container file, and finds the errors of a bad file."""
    tool = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if tool is not None:
        good = subprocess.run(
            [tool, str(DEPLOY / CONTAINERFILE)], capture_output=True, text=True, check=False
        )
        assert (good.returncode, good.stdout) == (0, "")
        bad = subprocess.run(
            [tool, "-"],
            input="FROM python\nRUN cd /x && pip install y\n",
            capture_output=True,
            text=True,
            check=False,
        )
        assert {"DL3006", "DL3013"} <= set(re.findall(r"DL\d+", bad.stdout))
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "VOLUME", "USER", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in instructions()} == known


def test_container_installs_from_the_locks_and_ships_without_what_builds_it() -> None:
    """Both stages have the same base; packages are installed by hash; the second copies only the environment."""
    build, final = stages()
    assert build[0][1] == f"{final[0][1]} AS build"
    installs = [value for name, value in build if name == "RUN"]
    assert all("--require-hashes" in value or "--no-index --no-deps" in value for value in installs)
    assert [value for name, value in final if name == "COPY"] == [
        "--from=build /opt/image-history /opt/image-history"
    ]
    assert not any("pip" in value for name, value in final if name == "RUN")


def test_container_runs_as_nobody_in_particular() -> None:
    """The container runs without a shell as a numeric user, not root, the same as in the Kubernetes manifest."""
    final = dict(stages()[1])
    user, _, group = final["USER"].partition(":")
    context = pod_of(CRON_JOBS[0])["securityContext"]
    assert (int(user), int(group)) == (context["runAsUser"], context["runAsGroup"])
    assert int(user) > 0
    assert json.loads(final["ENTRYPOINT"]) == ["/opt/image-history/bin/image-history"]


def test_container_is_built_from_files_that_are_there() -> None:
    """Every copied file is in the checkout, is not ignored, and the files that the wheel includes are copied."""
    copied = [source for name, value in stages()[0] if name == "COPY" for source in value.split()[:-1]]
    ignored = text("container/Containerfile.dockerignore").splitlines()
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]) <= set(copied)


def workflow_schema() -> Mapping[str, Any]:
    """The schema of workflows that check-jsonschema ships."""
    folder = files(check_jsonschema) / "builtin_schemas" / "vendor"
    schema: Mapping[str, Any] = json.loads((folder / "github-workflows.json").read_text(encoding="utf-8"))
    return schema


def test_workflow_is_one() -> None:
    """GitHub's schema accepts the workflow, and refuses it with a misspelled member."""
    validator = jsonschema.Draft7Validator(workflow_schema())
    # YAML 1.1 reads `on` as a boolean; GitHub does not.
    (told,) = documents(WORKFLOW)
    workflow: dict[Any, Any] = {"on" if key is True else key: value for key, value in told.items()}
    assert [error.message for error in validator.iter_errors(workflow)] == []
    workflow["jobs"]["sync"]["step"] = workflow["jobs"]["sync"].pop("steps")
    assert not validator.is_valid(workflow)


def test_workflow_has_no_keys_and_one_run_at_a_time() -> None:
    """The workflow uses OIDC, least permissions and no secrets, runs once at a time, and pins actions by commit."""
    (workflow,) = documents(WORKFLOW)
    assert workflow["permissions"] == {"contents": "read", "id-token": "write"}
    assert workflow["concurrency"] == {"group": "image-history", "cancel-in-progress": False}
    assert "secrets." not in text(WORKFLOW)
    used = [line for line in text(WORKFLOW).splitlines() if "uses:" in line]
    assert len(used) == sum("uses" in step for step in workflow["jobs"]["sync"]["steps"])
    assert all(re.search(r" uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line) for line in used)
    (install,) = [step["run"] for step in workflow["jobs"]["sync"]["steps"] if step.get("name") == "Install"]
    named = re.findall(r"-r (\S+)", install)
    assert named
    assert all((ROOT / name).exists() for name in named)


def test_alerts_ask_for_metrics_that_are_written(commanded: Commanded) -> None:
    """Every metric in a rule's expression is in the metrics file that a sync writes."""
    (rules,) = documents("prometheus/image-history.rules.yaml")
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    asked = {name for expression in expressions for name in re.findall(r"image_history_\w+", expression)}
    commanded("sync", "--metrics-file", "sync.prom")
    written = (commanded.folder / "sync.prom").read_text(encoding="utf-8")
    assert len(asked) == len(expressions)
    assert asked <= set(re.findall(r"^image_history_\w+", written, re.MULTILINE))


def test_every_recipe_is_explained() -> None:
    """deploy/README.md links to every folder of recipes and to existing files only; YAML and JSON can be read."""
    readme = text("README.md")
    linked = re.findall(r"\]\(([^)]+)\)", readme)
    assert all((DEPLOY / target.partition("#")[0]).exists() for target in linked)
    folders = {path.name for path in DEPLOY.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {target.split("/")[0] for target in linked if not target.startswith("..")} == folders
    # Without making values: templates of CloudFormation have tags of their own.
    read = {path: [*yaml.compose_all(path.read_text(encoding="utf-8"))] for path in DEPLOY.rglob("*.y*ml")}
    read |= {path: json.loads(path.read_text(encoding="utf-8")) for path in DEPLOY.rglob("*.json")}
    assert all(read.values())
    assert {path.parent.name for path in read} >= {"iam", "kubernetes", "aws-batch", "step-functions"}
