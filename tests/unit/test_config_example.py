"""config.example.yaml, the JSON Schema and the model agree."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from image_history.config import (
    Config,
    Notify,
    Publish,
    example_text,
    json_schema,
    load_config,
    loading,
    settings,
)
from image_history.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"


def with_entries(text: str) -> str:
    """The example, with each empty list replaced by the entries that the comment above it shows."""
    filled, start = "", 0
    for empty in re.finditer(r"^(publish|notify): \[\]$", text, re.MULTILINE):
        shown = re.findall(r"^#   ((?:- |  )[a-z].*)$", text[start : empty.start()], re.MULTILINE)
        filled += text[start : empty.start()] + "\n".join([f"{empty[1]}:", *shown])
        start = empty.end()
    return filled + text[start:]


def accepted(document: object) -> bool:
    """Whether the JSON Schema accepts the document."""
    return bool(Draft202012Validator(json_schema()).is_valid(document))


def names_in(node: Any, above: str = "") -> set[str]:
    """The names of all settings in a parsed file, in the form of `settings()`."""
    names: set[str] = set()
    for key, value in node.items():
        # PyYAML reads YAML 1.1, where the key `on` is true; the connector reads the key as it is written.
        name = f"{above}{'on' if key is True else key}"
        names.add(name)
        if isinstance(value, dict) and key != "properties":
            names |= names_in(value, f"{name}.")
        elif isinstance(value, list):
            for item in value:
                names |= names_in(item, f"{name}[].") if isinstance(item, dict) else set()
    return names


def test_example_is_exactly_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unchanged example has exactly the defaults."""
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(example_text(), encoding="utf-8")
    assert load_config(None, {}) == Config()


def test_example_has_every_setting_and_no_other() -> None:
    """The example has each setting under its own name, and no other name."""
    assert names_in(yaml.safe_load(with_entries(example_text()))) == {setting.name for setting in settings()}


def test_example_entry_of_a_list_has_the_defaults(tmp_path: Path) -> None:
    """An entry that the example shows for an empty list has only default values besides those that it sets."""
    path = tmp_path / "config.yaml"
    path.write_text(with_entries(example_text()), encoding="utf-8")
    loaded = load_config(path, {"SLACK_WEBHOOK": "https://hooks.example/T0/B0"})
    assert loaded.notify == (
        Notify(run=("./tell.sh", "team")),
        Notify(webhook="https://hooks.example/T0/B0", on=("deleted", "unread")),
    )
    lake = {"type": "glue", "warehouse": "s3://bucket/lake"}
    assert loaded.publish == (
        Publish(to=str(tmp_path / "dataset")),
        Publish(to="iceberg://glue/ml_inventory", properties=lake),
        Publish(to=str(tmp_path / "report.html")),
        Publish(to=str(tmp_path / "copy.duckdb")),
    )


def unexplained(text: str) -> list[str]:
    """The settings without a comment directly above.

    The settings of one group need none if the group has one and none of them has its own.
    """
    groups: dict[str, list[tuple[str, bool]]] = {}
    path: list[tuple[int, str]] = []
    for before, line in pairwise(["", *text.splitlines()]):
        setting = re.match(r"( *(?:- )?)(\w+):", line)
        if setting is not None:
            indent = len(setting[1])
            path = [*(each for each in path if each[0] < indent), (indent, setting[2])]
            above, name = (".".join(each for _, each in path[:end]) for end in (-1, None))
            groups.setdefault(above, []).append((name, before.lstrip().startswith("#")))
    commented = {name for group in groups.values() for name, own in group if own}
    return [
        name
        for above, group in groups.items()
        for name, own in group
        if not own and (any(each for _, each in group) or above not in commented)
    ]


def test_example_explains_every_setting() -> None:
    """Each setting of the example has a comment above it, of its own or of its group.

    The entries that a comment shows are part of that comment.
    """
    assert unexplained(example_text()) == []


def test_setting_without_a_comment_is_found() -> None:
    """A setting below another one, below an empty line, or beside settings with comments is found."""
    group = "# A group.\na:\n  b: 1\n  c:\n    d: 1\n"
    assert unexplained(group) == ["a.c.d"]
    assert unexplained("# One.\na: 1\nb: 2\n\n\nc: 3") == ["b", "c"]
    assert unexplained("# One.\na:\n  # Two.\n  b: 1\n  c: 1\n") == ["a.c"]
    assert unexplained("# One.\na:\n    # Two.\n  - b: 1\n    c: 1\n    # Three.\n    d:\n      e: 1\n") == [
        "a.c"
    ]


def test_example_text_is_the_file_at_the_top() -> None:
    """`init` writes the same text as the file in the repository."""
    assert example_text() == EXAMPLE.read_text(encoding="utf-8")


def test_example_text_is_found_inside_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the package contains a copy of the example, as an installed wheel does, that copy is read."""
    (tmp_path / "config.example.yaml").write_text("# packed", encoding="utf-8")
    monkeypatch.setattr(loading, "_PACKAGE", tmp_path)
    assert example_text() == "# packed"


def test_json_schema_is_valid_and_serialisable() -> None:
    """The schema is a valid draft 2020-12 schema, and plain JSON."""
    Draft202012Validator.check_schema(json_schema())
    assert json.loads(json.dumps(json_schema())) == json_schema()


def test_json_schema_accepts_example_and_empty_file() -> None:
    """The schema accepts the example and an empty file."""
    assert accepted(yaml.safe_load(example_text()))
    assert accepted({})
    assert accepted(None)


@pytest.mark.parametrize(
    "text",
    [
        "page_size: ${SIZE}",
        "lookback: ${BACK:-5m}",
        "accounts: [{role_arn: '${ROLE}', regions: ['${REGION}', us-gov-east-1]}]",
        "lookback: 1h30m",
        "rate: null",
        "accounts: [{regions: all}]",
        "organization: {role_name: audit/reader, include: {units: [r-ab12, ou-ab12-cdef3456]}}",
        "organization: null",
    ],
)
def test_json_schema_accepts(tmp_path: Path, text: str) -> None:
    """The schema and the loader accept variables, durations and empty groups."""
    assert accepted(yaml.safe_load(text))
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    role = "arn:aws-us-gov:iam::111122223333:role/reader"
    load_config(path, {"SIZE": "50", "ROLE": role, "REGION": "us-gov-west-1"})


@pytest.mark.parametrize(
    "text",
    [
        "details: sometimes",
        "rate: {burst: 3}",
        "accounts: [{aws_access_key_id: x}]",
        "accounts: [{images: {only: [a]}}]",
        "accounts: []",
        "accounts: [null]",
        "accounts: [{regions: []}]",
        "page_size: 0",
        "page_size: 101",
        "page_size: '50'",
        "page_size: null",
        "rate: {list_per_second: 0}",
        "lookback: 15",
        "lookback: 15 minutes",
        "accounts: [{regions: every}]",
        "accounts: [{regions: [all]}]",
        "organization: {exclude: {accounts: [111122223333]}}",
        "accounts: [{role_arn: 'arn:aws:iam::1:user/x'}]",
        "[]",
    ],
)
def test_json_schema_rejects(tmp_path: Path, text: str) -> None:
    """The schema refuses unknown settings, wrong types and values out of bounds, and so does the loader."""
    assert not accepted(yaml.safe_load(text))
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(str(path))):
        load_config(path, {})


def test_json_schema_states_meaning_and_default_of_every_setting() -> None:
    """The schema has the meaning of every setting and its default, which an editor can show."""
    for setting in settings():
        node: Any = {"properties": json_schema()["properties"]}
        for part in setting.path:
            node = node["properties"][part.removesuffix("[]")]
            node = node["items"] if part.endswith("[]") else node
        assert node["description"] == setting.meaning != ""
        assert "default" in node or setting.default is None or "properties" in node, setting.name
