"""The recipes that give each machine a part: checked by the models of their tools, and their commands run."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import kubernetes_validate
import pytest
from botocore.validate import ParamValidator

import image_history
from image_history.config import load_config
from tests.behaviour.commanding import Commanded
from tests.deploy.recipes import DEPLOY, documents, text

pytestmark = pytest.mark.duckdb

KUBERNETES = "kubernetes/image-history-parts.yaml"
DAG = DEPLOY / "airflow" / "image_history_parts_dag.py"
MACHINE = json.loads(text("step-functions/image-history-parts.asl.json"))
PARTS = 3


def problems(service: str, operation: str, given: Any) -> str:
    """The errors that botocore's model of an operation finds in an input."""
    shape = botocore.session.Session().get_service_model(service).operation_model(operation).input_shape
    return str(ParamValidator().validate(given, shape).generate_report())


def test_kubernetes_job_is_valid_and_gives_each_index_its_part(tmp_path: Path) -> None:
    """Kubernetes' schemas accept the job, which has one part for each index, with a folder and a label of its own."""
    for version in ("1.29", kubernetes_validate.latest_version()):
        for document in documents(KUBERNETES):
            kubernetes_validate.validate(document, version, strict=True)
    by_kind = {document["kind"]: document for document in documents(KUBERNETES)}
    job = by_kind["CronJob"]["spec"]["jobTemplate"]["spec"]
    assert by_kind["CronJob"]["spec"]["concurrencyPolicy"] == "Forbid"
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", PARTS, PARTS)
    [container] = job["template"]["spec"]["containers"]
    assert container["image"].endswith(f":{image_history.__version__}")
    assert container["args"][-2] == f"$(JOB_COMPLETION_INDEX)+1/{PARTS}"
    assert container["volumeMounts"][0]["subPathExpr"] == "part-$(JOB_COMPLETION_INDEX)"
    path = tmp_path / "config.yaml"
    path.write_text(by_kind["ConfigMap"]["data"]["config.yaml"], encoding="utf-8")
    labels = {load_config(path, {"JOB_COMPLETION_INDEX": str(n)}).publish[0].label for n in range(PARTS)}
    assert labels == {"part-0", "part-1", "part-2"}


def test_batch_job_is_what_aws_takes() -> None:
    """AWS's model accepts the definition and the submission; each part has its own warehouse and label."""
    definition = json.loads(text("aws-batch/job-definition.json"))
    submission = json.loads(text("aws-batch/submit-job.json"))
    assert problems("batch", "RegisterJobDefinition", definition) == ""
    assert problems("batch", "SubmitJob", submission) == ""
    assert problems("batch", "SubmitJob", submission | {"arraySize": 3}) != ""
    assert submission["arrayProperties"]["size"] == PARTS
    path = DEPLOY / "aws-batch" / "config.yaml"
    configs = [load_config(path, {"AWS_BATCH_JOB_ARRAY_INDEX": str(n)}) for n in range(PARTS)]
    assert len({(config.warehouse, config.publish[0].label) for config in configs}) == PARTS


def test_command_of_the_batch_job_reads_a_part(commanded: Commanded) -> None:
    """Each array index reads its part, and the parts together read the one scope once; without an index, exit 2."""
    command = json.loads(text("aws-batch/job-definition.json"))["containerProperties"]["command"]
    read = []
    for index in range(PARTS):
        arguments = command[command.index("sync") :]
        warehouse = str(commanded.folder / f"part-{index}.duckdb")
        ended = commanded.site.run("--warehouse", warehouse, *arguments, AWS_BATCH_JOB_ARRAY_INDEX=str(index))
        assert ended.returncode == 0, ended.stderr
        read.append(len(json.loads(ended.stdout)["scopes"]))
    assert sorted(read) == [0, 0, 1]
    without = commanded.site.run(*command[command.index("sync") :])
    assert without.returncode == 2
    assert "AWS_BATCH_JOB_ARRAY_INDEX, which is not set" in without.stderr


def states(machine: dict[str, Any]) -> dict[str, Any]:
    """Every state by its name, including the states inside a Map."""
    found = dict(machine["States"])
    for state in machine["States"].values():
        if "ItemProcessor" in state:
            found |= states(state["ItemProcessor"])
    return found


def test_state_machine_leads_from_state_to_state() -> None:
    """Every named state exists, every state is named by another or as a start, and every state ends or goes on."""
    found = states(MACHINE)
    named = {MACHINE["StartAt"]} | {
        state["ItemProcessor"]["StartAt"] for state in found.values() if "ItemProcessor" in state
    }
    for state in found.values():
        named |= {state[key] for key in ("Next", "Default") if key in state}
        named |= {each["Next"] for key in ("Catch", "Choices") for each in state.get(key, ())}
        assert any(key in state for key in ("Next", "End", "Default")) or state["Type"] in {"Succeed", "Fail"}
    assert named == set(found)


Given = dict[str, Any]


def value_of(written: str, given: Given, item: object) -> Any:
    """The value of an expression of the machine, of one of the forms that it has."""
    if written == "$$.Map.Item.Value":
        return item
    if numbers := re.fullmatch(r"States\.ArrayRange\((\d+), (\d+), (\d+)\)", written):
        first, last, step = map(int, numbers.groups())
        return list(range(first, last + 1, step))
    if counted := re.fullmatch(r"States\.ArrayLength\(\$\.(\w+)\[\?\(@\.(\w+) == true\)\]\)", written):
        return sum(each.get(counted[2]) is True for each in given[counted[1]])
    assert re.fullmatch(r"\$\.\w+", written), written
    return given[written[2:]]


def filled(template: Given, given: Given, item: object = None) -> Given:
    """A template of parameters with its values."""
    return {
        name.removesuffix(".$"): value_of(value, given, item) if name.endswith(".$") else value
        for name, value in template.items()
    }


def ended(machine: Given, given: Given, sync: Callable[[int], Given]) -> tuple[str, Given]:
    """The last state of the machine and its output. A failed task without a state to catch it aborts the machine."""
    name, held = machine["StartAt"], given
    while True:
        state = machine["States"][name]
        match state["Type"]:
            case "Succeed" | "Fail":
                return name, held
            case "Pass":
                held = filled(state["Parameters"], held)
            case "Map":
                items = value_of(state["ItemsPath"], held, None)
                inputs = [filled(state["ItemSelector"], held, item) for item in items]
                results = [ended(state["ItemProcessor"], each, sync)[1] for each in inputs]
                held = held | {state["ResultPath"].removeprefix("$."): results}
            case "Task":
                try:
                    held = sync(held["number"])
                except ChildProcessError as error:
                    (caught,) = [
                        each for each in state.get("Catch", ()) if each["ErrorEquals"] == ["States.ALL"]
                    ]
                    name = caught["Next"]
                    held = held | {caught["ResultPath"].removeprefix("$."): {"Error": str(error)}}
                    continue
            case kind:
                assert kind == "Choice"
                (choice,) = state["Choices"]
                chosen = value_of(choice["Variable"], held, None) == choice["NumericEquals"]
                name = choice["Next"] if chosen else state["Default"]
                continue
        if state.get("End"):
            return name, held
        name = state["Next"]


@pytest.mark.parametrize("failing", [(), (1,), (2, 3), (1, 2, 3)], ids=str)
def test_state_machine_whose_parts_fail_is_incomplete(failing: tuple[int, ...]) -> None:
    """A part that fails keeps no other part from its sync, and the machine then fails as Incomplete."""
    begun = []

    def sync(number: int) -> Given:
        begun.append(number)
        if number in failing:
            raise ChildProcessError("States.TaskFailed")
        # What ECS tells of a task that ended.
        return {"LastStatus": "STOPPED", "Containers": [{"ExitCode": 0}]}

    last, _ = ended(MACHINE, {}, sync)
    assert begun == [*range(1, PARTS + 1)]
    assert last == ("Incomplete" if failing else "Done")
    assert (MACHINE["States"]["Incomplete"]["Type"], MACHINE["States"]["Done"]["Type"]) == ("Fail", "Succeed")


def test_state_machine_runs_a_task_that_ecs_takes() -> None:
    """AWS's model of RunTask accepts the parameters; the command reads a part, and the parts are 1 to 3."""
    parameters = json.loads(json.dumps(states(MACHINE)["Sync"]["Parameters"]))
    [container] = parameters["Overrides"]["ContainerOverrides"]
    written = container.pop("Command.$")
    told = re.fullmatch(r"States\.Array\((.*)\)", written)
    assert told is not None
    words = re.sub(r"States\.Format\('\{\}/3', \$\.number\)", "'2/3'", told[1])
    container["Command"] = [word.strip().strip("'") for word in words.split(",")]
    [part] = container["Environment"]
    assert part.pop("Value.$") == "States.Format('{}', $.number)"
    part["Value"] = "2"
    assert problems("ecs", "RunTask", lowered(parameters)) == ""
    assert container["Command"][-3:] == ["--part", "2/3", "--json"]
    first, last, step = re.findall(r"\d+", MACHINE["States"]["Parts"]["Parameters"]["parts.$"])
    assert (first, last, step) == ("1", str(PARTS), "1")


def lowered(value: Any) -> Any:
    """A value with the member names of AWS's model; Step Functions capitalizes them."""
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: lowered(each) for name, each in value.items()}
    return [lowered(each) for each in value] if isinstance(value, list) else value


def test_mapped_task_of_the_dag_syncs_its_part(commanded: Commanded) -> None:
    """The task, without the rest of the file, reads its part into the warehouse that the configuration names."""
    tree = ast.parse(DAG.read_text(encoding="utf-8"))
    [function] = [
        each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and each.name == "sync_part"
    ]
    function.decorator_list = []
    names: dict[str, Any] = {}
    exec(compile(ast.Module([function], []), str(DAG), "exec"), names)  # noqa: S102 - the example's own source
    sync_part: Callable[[int, int, str], dict[str, object]] = names["sync_part"]
    config = commanded.folder / "config.yaml"
    config.write_text("warehouse: part-${PART}.duckdb\npage_size: 50\n", encoding="utf-8")
    done = [sync_part(number, PARTS, str(config))["inserted"] for number in range(1, PARTS + 1)]
    assert sorted(done) == [0, 0, 6]  # type: ignore[type-var]  # counts
    assert len(list(commanded.folder.glob("part-*.duckdb"))) == PARTS
