"""`image-history init`: writes the commented configuration to start from.

Must not know the settings, nor ever replace a file.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import stat
import time
from contextlib import suppress
from pathlib import Path

import click

from image_history.cli import Globals, Verb
from image_history.config import config_path, example_text
from image_history.durable.disk import NO_LINKS, link, sync_folder, synced_file, unlink
from image_history.durable.effects import File
from image_history.durable.guard import opened_to_read
from image_history.errors import ConfigError

# An `init` that still runs has a younger file.
_LEFT_AFTER_SECONDS = 3_600


@click.command("init", cls=Verb)
@click.pass_obj
def command(options: Globals) -> None:
    """Write a commented config.yaml.

    The file has every setting with its default. A file that is already there is never touched: the exit
    code is 2 then. With --config FILE, FILE is written.
    """
    target = config_path(options.config_path, os.environ)
    write_new(target, example_text())
    click.echo(_next_steps(target, found_by_itself=target == config_path(None, os.environ)))


def _next_steps(target: Path, *, found_by_itself: bool) -> str:
    program = "image-history" if found_by_itself else f"image-history --config {shlex.quote(str(target))}"
    return (
        f"Wrote {target}: every setting, explained, at its default.\n"
        "\n"
        "Next:\n"
        "  1. Name your profiles and regions under 'accounts';\n"
        "     until then AWS's defaults are read.\n"
        f"  2. {program} sync\n"
        f"  3. {program} query @newest-versions"
    )


def write_new(target: Path, text: str) -> None:
    """Make `target`, mode 0600, with `text` in it, whole or not at all. ConfigError if it is there."""
    try:
        _write_new(target, text.encode())
    except FileExistsError:
        raise ConfigError(
            f"{target} is already there and was left as it is; delete it, or name another file with --config."
        ) from None
    except FileNotFoundError:
        raise ConfigError(
            f"{target} cannot be written: there is no folder {target.parent}; make it first."
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"{str(target)!a} cannot be written: {reason}; name another file with --config."
        ) from None


def _write_new(target: Path, content: bytes) -> None:
    _remove_left(target, content)
    if os.path.lexists(target):
        raise FileExistsError(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        _write(temporary, content)
        _give_name(temporary, target, content)
        sync_folder(target.parent, File.CONFIG)
    finally:
        with suppress(OSError):
            unlink(temporary, File.CONFIG)


def _remove_left(target: Path, content: bytes) -> None:
    """Remove the temporary files of earlier runs that were killed; no file whose content is not ours."""
    name = re.compile(re.escape(f".{target.name}.") + "[0-9a-f]{8}")
    with suppress(OSError, ValueError):
        for path in [path for path in target.parent.iterdir() if name.fullmatch(path.name)]:
            if _is_left(path, target, content):
                unlink(path, File.CONFIG)


def _is_left(path: Path, target: Path, content: bytes) -> bool:
    """Whether a file is an old one of ours: a second name of the target, or a beginning of what we write."""
    found = path.lstat()
    is_old = time.time() - found.st_mtime > _LEFT_AFTER_SECONDS
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or not is_old:
        return False
    # The target itself is not followed: it may be a link to a file that is not ours.
    if os.path.lexists(target) and os.path.samestat(target.lstat(), found):
        return True
    with opened_to_read(path) as file:
        text = file.read(len(content) + 1)
    return bool(text) and content.startswith(text)


def _give_name(temporary: Path, target: Path, content: bytes) -> None:
    """Name the file by a hard link, which fails if the name is taken; a rename would replace the other file."""
    try:
        link(temporary, target, File.CONFIG)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        _write(target, content)


def _write(path: Path, content: bytes) -> None:
    made = False
    try:
        with synced_file(path, File.CONFIG) as file:
            made = True
            file.write(content)
    except OSError:
        if made:
            unlink(path, File.CONFIG)
        raise
