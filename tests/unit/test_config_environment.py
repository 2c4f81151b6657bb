"""Environment variables in the configuration: ${VAR} in the file, and IMAGE_HISTORY_* variables that replace it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from image_history.config import Account, Config, load_config, settings
from image_history.errors import ConfigError

IN_FILE = {"PAGE_SIZE": "7", "LOOKBACK": "7m", "WAREHOUSE": "seven.duckdb", "ACCOUNTS": "[{profile: seven}]"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(text: str, **environ: str) -> Config:
    """The configuration of ./config.yaml with `text` in it."""
    Path("config.yaml").write_text(text, encoding="utf-8")
    return load_config(None, environ)


def complaint(text: str, **environ: str) -> str:
    """The message of the error with which loading fails."""
    with pytest.raises(ConfigError) as caught:
        load(text, **environ)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("${A}.duckdb", "one.duckdb", id="plain"),
        pytest.param("'${A}/${B}.duckdb'", "one/two.duckdb", id="two-quoted"),
        pytest.param("${NONE:-x/y:z}", "x/y:z", id="default-of-unset"),
        pytest.param("${EMPTY:-x}", "x", id="default-of-empty"),
        pytest.param("a${EMPTY}b", "ab", id="empty"),
        pytest.param("$${A}", "${A}", id="escaped"),
        pytest.param("a$b$", "a$b$", id="lone-dollar"),
        pytest.param("${NESTED}", "${A}", id="not-expanded-again"),
        pytest.param("${NUMBER}", "0123", id="number-stays-text"),
        pytest.param("${YAML}", "[a, b]", id="structure-stays-text"),
    ],
)
def test_variable_in_text_is_expanded(text: str, expected: str) -> None:
    """Variables are replaced once, after the YAML is parsed, and their content is always text."""
    variables = {"A": "one", "B": "two", "EMPTY": "", "NESTED": "${A}", "NUMBER": "0123", "YAML": "[a, b]"}
    assert load(f"warehouse: {text}", **variables).warehouse == Path(expected)


def test_variable_serves_settings_of_other_types() -> None:
    """A number or a duration can come from a variable too."""
    config = load(
        "page_size: ${SIZE}\nlookback: ${BACK:-5m}\nrate: {list_per_second: '${PACE}'}", SIZE="7", PACE="3"
    )
    assert (config.page_size, config.lookback, config.rate.list_per_second) == (7, timedelta(minutes=5), 3.0)


def test_empty_variable_leaves_optional_setting_out() -> None:
    """An unquoted variable without content counts as no value."""
    assert load("accounts: [{profile: '${P}x'}, {regions: [us-east-1]}]\nlanding: ${P}", P="").landing is None


def test_variable_in_key_is_not_expanded() -> None:
    """Only values can contain variables."""
    assert "there is no setting '${A}'" in complaint("${A}: 1", A="page_size")


def test_unset_variable_is_named() -> None:
    """An unset variable without a default is an error that names file, line and variable."""
    message = complaint("# first line\nwarehouse: ${HISTORY_HOME}/w.duckdb")
    assert message.startswith("config.yaml:2: the environment variable HISTORY_HOME is not set")


@pytest.mark.parametrize("text", ["${", "${A", "${1A}", "${A-b}", "${}", "${A:-${B}}", "${A:?no}"])
def test_malformed_variable_is_refused(text: str) -> None:
    """Text that begins like a variable but is none is an error that shows the two valid forms."""
    assert "is no variable: write ${NAME} or ${NAME:-default}" in complaint(
        f"warehouse: '{text}'", A="a", B="b"
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        pytest.param("PAGE_SIZE", "50", Config(page_size=50), id="number"),
        pytest.param("LOOKBACK", " 26h ", Config(lookback=timedelta(hours=26)), id="duration"),
        pytest.param("LOOKBACK", '"26h"', Config(lookback=timedelta(hours=26)), id="quoted"),
        pytest.param(
            "WAREHOUSE", "/a b/#1: x.duckdb", Config(warehouse=Path("/a b/#1: x.duckdb")), id="path"
        ),
        pytest.param("WAREHOUSE", "123", Config(warehouse=Path("123")), id="path-like-a-number"),
        pytest.param("WAREHOUSE", "${A}", Config(warehouse=Path("${A}")), id="not-expanded"),
        pytest.param(
            "ACCOUNTS",
            "[{profile: prod, regions: [us-east-1]}]",
            Config(accounts=(Account(profile="prod", regions=("us-east-1",)),)),
            id="list",
        ),
    ],
)
def test_override_replaces_the_setting(name: str, value: str, expected: Config) -> None:
    """IMAGE_HISTORY_<SETTING> wins over the file and over the default."""
    variables = {f"IMAGE_HISTORY_{name}": value}
    assert load_config(None, variables) == expected
    assert load(f"{name.lower()}: {IN_FILE[name]}", **variables) == expected


def test_override_of_member_wins_over_override_of_group() -> None:
    """The variable of a member wins over the variable of its group, and the group's other members stay."""
    rate = load(
        "rate: {describe_per_second: 9}",
        IMAGE_HISTORY_RATE__LIST_PER_SECOND="4",
        IMAGE_HISTORY_RATE="{list_per_second: 3, describe_per_second: 8}",
    ).rate
    assert (rate.list_per_second, rate.describe_per_second) == (4.0, 8.0)


def test_override_of_member_keeps_the_files_others() -> None:
    """A variable for one member leaves the other members as the file sets them."""
    rate = load("rate: {describe_per_second: 9}", IMAGE_HISTORY_RATE__LIST_PER_SECOND="4").rate
    assert (rate.list_per_second, rate.describe_per_second) == (4.0, 9.0)


def test_override_repairs_a_wrong_value_in_the_file() -> None:
    """If a variable replaces a value, the file's value is not checked."""
    assert load("page_size: many", IMAGE_HISTORY_PAGE_SIZE="5").page_size == 5


def test_override_of_member_leaves_a_wrong_group_to_the_reader() -> None:
    """A variable for a member does not hide that the file's value of the group is wrong."""
    message = complaint("rate: 5", IMAGE_HISTORY_RATE__LIST_PER_SECOND="4")
    assert message.startswith("config.yaml:1: rate must be a mapping")


def test_every_setting_outside_lists_has_a_variable() -> None:
    """Each setting's default, written as the documents list it, is accepted from its variable."""
    for setting in settings():
        if setting.variable is not None and setting.default is not None:
            assert load_config(None, {setting.variable: setting.default_text}) == Config(), setting.name


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        pytest.param(
            "PAGE_SIZ", "5", "there is no such setting; did you mean IMAGE_HISTORY_PAGE_SIZE?", id="typo"
        ),
        pytest.param(
            "RATE_LIST_PER_SECOND",
            "5",
            "there is no such setting; did you mean IMAGE_HISTORY_RATE__LIST_PER_SECOND?",
            id="one-underscore",
        ),
        pytest.param(
            "ACCOUNTS__0__PROFILE",
            "x",
            "there is no such setting; did you mean IMAGE_HISTORY_ACCOUNTS?",
            id="in-list",
        ),
        pytest.param("lookback", "5m", "there is no such setting; did you mean", id="lower-case"),
        pytest.param("PAGE_SIZE", "", "the variable is set but empty", id="empty"),
        pytest.param("CONFIG", " ", "the variable is set but empty", id="empty-config"),
        pytest.param(
            "PAGE_SIZE", "500", "page_size must be a whole number from 1 to 100", id="out-of-bounds"
        ),
        pytest.param("LOOKBACK", "5", "lookback: '5' has no unit", id="bare-duration"),
        pytest.param("ACCOUNTS", "prod", "accounts must be a list", id="no-list"),
        pytest.param("ACCOUNTS", "[{", "this isn't valid YAML", id="broken-yaml"),
        pytest.param("AWS_SECRET_ACCESS_KEY", "x", "credentials don't belong", id="secret-name"),
        pytest.param("ACCOUNTS", "[{session_token: x}]", "credentials don't belong", id="secret-in-list"),
    ],
)
def test_override_in_error_names_the_variable(name: str, value: str, sentence: str) -> None:
    """A wrong variable is an error that begins with its name; an unknown name gets the nearest valid name."""
    message = complaint("", **{f"IMAGE_HISTORY_{name}": value})
    assert message.startswith(f"IMAGE_HISTORY_{name}: ")
    assert sentence in message


def test_override_ignores_what_is_no_setting_of_ours() -> None:
    """The variable of the test seed and the variables of other programs are ignored."""
    assert load_config(None, {"IMAGE_HISTORY_TEST_SEED": "1", "IMAGES": "x", "AWS_PROFILE": "y"}) == Config()
