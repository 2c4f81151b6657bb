"""File, environment and given settings -> `Config`. The only module of the configuration that reads a file.

Must not know what a setting means, nor AWS's own configuration.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from image_history.config.environment import CONFIG_VARIABLE, expand, overlay, put
from image_history.config.model import Config
from image_history.config.reading import to_config
from image_history.config.secrets import refuse_secrets
from image_history.config.tree import Node, Position, parse
from image_history.errors import ConfigError

DEFAULT_PATH = Path("config.yaml")
# Some thousand accounts; YAML of this size still parses in a few seconds.
MAX_BYTES = 512 * 1024
_EXAMPLE = "config.example.yaml"
_PACKAGE = Path(__file__).parent.parent


def load_config(path: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration of `path`, else of the file that IMAGE_HISTORY_CONFIG names, else of ./config.yaml.

    Without a file, every setting has its default. IMAGE_HISTORY_* variables override the file. Relative paths are
    resolved against the file's folder, those from variables and defaults against the working directory. `~` is a
    home directory. `environ` are the variables to use, by default those of this process. ConfigError, one sentence
    with file and line, for any fault.

    >>> load_config(environ={"IMAGE_HISTORY_PAGE_SIZE": "50"}).page_size
    50
    """
    chosen = None if path is None else Path(path).expanduser()
    return to_config(_read(chosen, os.environ if environ is None else environ))


def given_config(given: Mapping[tuple[str, ...], Node], path: Path | None = None) -> Config:
    """The configuration with these settings, by their paths; they override those of a file if one is named.

    ConfigError, one sentence with the place of the node, for any fault.
    """
    root = Node(Position("what was given")) if path is None else _read(path, os.environ)
    for setting, value in given.items():
        put(root, setting, value)
    return to_config(root)


def config_path(path: Path | None, environ: Mapping[str, str]) -> Path:
    """The path of the file: `path`, else IMAGE_HISTORY_CONFIG, else ./config.yaml. The file need not exist."""
    if path is not None:
        return path
    named = environ.get(CONFIG_VARIABLE)
    if named is None:
        return DEFAULT_PATH
    if not named.strip():
        raise ConfigError(f"{CONFIG_VARIABLE}: the variable is set but empty; name a file, or unset it.")
    return Path(named)


def example_text() -> str:
    """The content of config.example.yaml, from the installed package or from the checkout around it."""
    installed = _PACKAGE / _EXAMPLE
    return (installed if installed.is_file() else _PACKAGE.parents[1] / _EXAMPLE).read_text(encoding="utf-8")


def _read(path: Path | None, environ: Mapping[str, str]) -> Node:
    """The settings as written in the file, with those of the environment applied."""
    chosen = config_path(path, environ)
    if chosen is DEFAULT_PATH and not os.path.lexists(chosen):
        root = Node(Position("the defaults"))
    else:
        root = parse(_read_text(chosen), Position(str(chosen), 1, chosen.parent))
    if root.kind not in {"map", "null"}:
        raise root.place.fault("the file must consist of settings, each written as 'name: value'.")
    # A secret is refused first, even if a variable in the file is not set.
    refuse_secrets(root)
    expand(root, environ)
    overlay(root, environ)
    return root


def _read_text(path: Path) -> str:
    raw = _read_bytes(path)
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: the file is larger than {MAX_BYTES // 1024} KiB; it is no configuration.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: this is not UTF-8 text; save the file in UTF-8.") from None


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file; 'image-history init' writes a commented one to start from."
        ) from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: this is a folder; name the configuration file in it.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{str(path)!a}: the file cannot be read: {reason}.") from None
