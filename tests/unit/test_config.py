"""The configuration's values: defaults, types, paths, and their sources."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from image_history.config import Account, Config, Images, Rate, Retry, Timeout, load_config
from image_history.errors import ConfigError

EVERYTHING = """
warehouse: /data/history.duckdb
landing: landing
accounts:
  - profile: prod
    regions: [us-east-1, us-gov-west-1, eusc-de-east-1]
    images: {include: ["base-*", "[ab]?"], exclude: [scratch-*]}
  - role_arn: arn:aws-cn:iam::123456789012:role/team/reader
    external_id: "0123"
    source_profile: hub
page_size: 10
concurrency: 1
lookback: 0s
reconcile_every: 7d
resume_within: 1h30m
checkpoint_rows: 1_000
checkpoint_seconds: 0.5
lock_wait: 500ms
rate: {list_per_second: 1e1, describe_per_second: 0.5}
retry: {attempts: 1, max_wait: 1ms}
timeout: {connect: 1s, read: 2m}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(text: str, **environ: str) -> Config:
    """The configuration of ./config.yaml with `text` in it."""
    Path("config.yaml").write_text(text, encoding="utf-8")
    return load_config(None, environ)


def test_load_config_without_file_is_all_defaults() -> None:
    """Without file and variables, AWS's default profile and region are read into ./image-history.duckdb."""
    config = load_config(None, {})
    assert config == Config()
    assert config.accounts == (Account(),)
    assert config.warehouse == Path("image-history.duckdb")
    assert config.landing_folder == Path("image-history.landing")


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~\n", "{}", "\ufeff", "rate:\n", "landing:\n"])
def test_load_config_of_empty_file_is_all_defaults(text: str) -> None:
    """A file, a group or an optional setting without content changes nothing."""
    assert load(text) == Config()


def test_load_config_reads_every_setting() -> None:
    """Each setting takes its value from the file."""
    assert load(EVERYTHING) == Config(
        warehouse=Path("/data/history.duckdb"),
        landing=Path("landing"),
        accounts=(
            Account(
                profile="prod",
                regions=("us-east-1", "us-gov-west-1", "eusc-de-east-1"),
                images=Images(include=("base-*", "[ab]?"), exclude=("scratch-*",)),
            ),
            Account(
                role_arn="arn:aws-cn:iam::123456789012:role/team/reader",
                external_id="0123",
                source_profile="hub",
            ),
        ),
        page_size=10,
        concurrency=1,
        lookback=timedelta(0),
        reconcile_every=timedelta(days=7),
        resume_within=timedelta(minutes=90),
        checkpoint_rows=1000,
        checkpoint_seconds=0.5,
        lock_wait=timedelta(milliseconds=500),
        rate=Rate(list_per_second=10.0, describe_per_second=0.5),
        retry=Retry(attempts=1, max_wait=timedelta(milliseconds=1)),
        timeout=Timeout(connect=timedelta(seconds=1), read=timedelta(minutes=2)),
    )


def test_config_is_frozen_and_hashable() -> None:
    """A loaded configuration cannot change, and equal configurations have equal hashes."""
    config = load(EVERYTHING)
    with pytest.raises(AttributeError):
        config.page_size = 5  # type: ignore[misc]
    assert hash(config) == hash(load(EVERYTHING))


def test_relative_path_in_file_belongs_to_the_files_folder(folder: Path) -> None:
    """A relative path starts at the folder of the file that names it, and the landing lies beside the warehouse."""
    nested = folder / "etc" / "ih.yaml"
    nested.parent.mkdir()
    nested.write_text("warehouse: ./data/history.duckdb", encoding="utf-8")
    config = load_config(nested, {})
    assert config.warehouse == folder / "etc" / "data" / "history.duckdb"
    assert config.landing_folder == folder / "etc" / "data" / "history.landing"


def test_relative_path_elsewhere_belongs_to_the_working_directory(folder: Path) -> None:
    """The default warehouse and a warehouse from a variable are relative to the working directory."""
    nested = folder / "etc" / "ih.yaml"
    nested.parent.mkdir()
    nested.write_text("page_size: 5", encoding="utf-8")
    assert load_config(nested, {}).warehouse == Path("image-history.duckdb")
    assert load_config(nested, {"IMAGE_HISTORY_WAREHOUSE": "w.duckdb"}).warehouse == Path("w.duckdb")


@pytest.mark.parametrize("word", ["delta+file:", "DELTA+FILE:", "Delta+File:"])
def test_word_for_delta_tables_in_a_folder_may_be_written_in_any_case(word: str) -> None:
    """In capitals, `delta+file:` still means Delta tables, and not a folder of that name."""
    config = load(f"publish: [{{to: '{word}./lake'}}]")
    assert [entry.to for entry in config.publish] == ["delta+file:lake"]


def test_home_in_path_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """~ is the user's home, wherever the file is."""
    monkeypatch.setenv("HOME", str(folder))
    assert load("warehouse: ~/w.duckdb").warehouse == folder / "w.duckdb"


def test_landing_folder_follows_a_replaced_warehouse() -> None:
    """A warehouse from the command line moves the default landing folder; a configured landing folder stays."""
    moved = msgspec.structs.replace(Config(), warehouse=Path("/x/other.duckdb"))
    assert moved.landing_folder == Path("/x/other.landing")
    assert msgspec.structs.replace(moved, landing=Path("/y")).landing_folder == Path("/y")


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::123456789012:role/a",
        "arn:aws-us-gov:iam::123456789012:role/a",
        "arn:aws-iso-b:iam::123456789012:role/deep/path/a.b@c=d",
    ],
)
def test_role_arn_of_any_partition_is_accepted(arn: str) -> None:
    """Roles of all partitions, with and without a path, are accepted."""
    assert load(f"accounts: [{{role_arn: '{arn}'}}]").accounts[0].role_arn == arn


def test_explicit_file_wins_over_variable_and_default(folder: Path) -> None:
    """--config wins over IMAGE_HISTORY_CONFIG, which wins over ./config.yaml."""
    for index, name in enumerate(["config.yaml", "named.yaml", "explicit.yaml"], start=1):
        (folder / name).write_text(f"page_size: {index}", encoding="utf-8")
    named = {"IMAGE_HISTORY_CONFIG": "named.yaml"}
    assert load_config(None, {}).page_size == 1
    assert load_config(None, named).page_size == 2
    assert load_config(Path("explicit.yaml"), named).page_size == 3


@pytest.mark.parametrize(
    ("name", "part"),
    [
        pytest.param(
            "missing.yaml", "missing.yaml: there is no such file; 'image-history init'", id="missing"
        ),
        pytest.param(".", "this is a folder", id="folder"),
        pytest.param("loop.yaml", "the file cannot be read: Too many levels", id="unreadable"),
        pytest.param("large.yaml", "larger than 512 KiB", id="large"),
        pytest.param("nul\0.yaml", "cannot be read", id="impossible-name"),
    ],
)
def test_load_config_of_unusable_file_fails(folder: Path, name: str, part: str) -> None:
    """A file that is named but cannot be read is an error; the defaults are not used instead."""
    (folder / "loop.yaml").symlink_to("loop.yaml")
    (folder / "large.yaml").write_text("#" * 600_000, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(Path(name), {})
    assert part in caught.value.message


def test_load_config_of_dangling_default_fails(folder: Path) -> None:
    """A ./config.yaml that links to a missing file is an error; the defaults are not used instead."""
    (folder / "config.yaml").symlink_to("gone.yaml")
    with pytest.raises(ConfigError, match="no such file"):
        load_config(None, {})
