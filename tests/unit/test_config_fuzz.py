"""For any input, loading the configuration succeeds or raises a ConfigError."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from image_history.config import Config, load_config, settings
from image_history.errors import ConfigError

# Pieces that are more likely to make interesting files than random characters are.
PIECES = st.sampled_from(
    [
        *(setting.path[-1].removesuffix("[]") for setting in settings()),
        *(
            ": ",
            "- ",
            "\n",
            "\n  ",
            "[",
            "]",
            "{",
            "}",
            ", ",
            "? ",
            "&a ",
            "*a",
            "!!str ",
            "!x",
            "|",
            ">",
            '"',
            "'",
        ),
        *(
            "${A}",
            "${A:-5}",
            "${",
            "$$",
            "#",
            "---",
            "...",
            "%YAML 1.1",
            "\t",
            "\0",
            "\u2028",
            "\ufeff",
            "\\",
        ),
        *(
            "5",
            "0",
            "-1",
            "1e9",
            ".nan",
            "015",
            "1:30",
            "15m",
            "0s",
            "null",
            "~",
            "true",
            "2026-01-01",
            "us-east-1",
        ),
        *("arn:aws:iam::123456789012:role/x", "AKIAIOSFODNN7EXAMPLE", "<<", "=", "é", "💥"),
    ]
)
FILES = st.one_of(
    st.binary(), st.text().map(str.encode), st.lists(PIECES).map(lambda pieces: "".join(pieces).encode())
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that each example overwrites."""
    return tmp_path_factory.mktemp("fuzz") / "config.yaml"


def outcome(path: Path, environ: dict[str, str]) -> Config | str:
    """The configuration, or the message of the ConfigError."""
    try:
        return load_config(path, environ)
    except ConfigError as error:
        return error.message


@given(content=FILES, variable=st.text())
@example(content=b'warehouse: "\\UFFFFFFFF"', variable="")
@example(content=b"%YAML 1." + b"9" * 5000 + b"\n---\n", variable="")
@example(content=b"[" * 10_000, variable="")
@example(content=b"{" * 10_000, variable="")
@example(content=b"- " * 10_000, variable="")
@example(content=b"page_size: " + b"9" * 10_000, variable="")
@example(content=b"warehouse: ${A}", variable="\ud800")
@example(content=b"warehouse: ${A}", variable="~\0")
def test_any_file_is_config_or_one_sentence(path: Path, content: bytes, variable: str) -> None:
    """A file of any bytes loads as a Config, or fails with a ConfigError of one line."""
    path.write_bytes(content)
    result = outcome(path, {"A": variable})
    assert isinstance(result, Config) or (result.startswith(str(path)) and len(result.splitlines()) == 1)


@given(name=st.sampled_from([setting.variable or "" for setting in settings()]) | st.text(), value=st.text())
def test_any_variable_is_config_or_one_sentence(path: Path, name: str, value: str) -> None:
    """A variable with any name and any value loads as a Config, or fails with a ConfigError of one line."""
    path.write_bytes(b"")
    variable = name if name.startswith("IMAGE_HISTORY_") else f"IMAGE_HISTORY_{name}"
    result = outcome(path, {variable: value})
    assert isinstance(result, Config) or len(result.splitlines()) == 1
