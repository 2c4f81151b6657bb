"""A volume of a group, used by another user in each run, as with fsGroup of Kubernetes and on OpenShift."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from image_history.simulator import generate
from tests.behaviour.harness import ServeWorld, Site

pytestmark = [
    pytest.mark.duckdb,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users"),
]

GROUP = 4321
# Imports everything before it becomes another user, who may not read this Python's folder. Each step is a process.
AS_OTHERS = """
import io, json, os, sys
from contextlib import redirect_stderr, redirect_stdout
from image_history.cli import run
steps = json.load(sys.stdin)
own = sys.argv[1]
os.chdir(own)
for command in (["sync"], ["status"], ["check"], ["runs"]):
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        run(command)
for who, folder, command in steps:
    reading, writing = os.pipe()
    if not os.fork():
        said = io.StringIO()
        uid, gid, *groups = who
        os.setgroups(groups)
        os.setgid(gid)
        os.setuid(uid)
        os.chdir(folder)
        with redirect_stdout(said), redirect_stderr(said):
            code = run(command)
        os.write(writing, json.dumps([code, said.getvalue()[-2000:]]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        print(told.read() or '[-1, "ended without a word"]')
    os.wait()
"""


def as_others(site: Site, *steps: tuple[Sequence[int], Path, Sequence[str]]) -> list[tuple[int, str]]:
    """The exit code and the output of each command that a user runs in a folder."""
    own = site.folder / "own"
    own.mkdir(exist_ok=True)
    (own / "config.yaml").write_text("publish: [{to: dataset}]\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", AS_OTHERS, str(own)],
        input=json.dumps([(who, str(folder), command) for who, folder, command in steps]),
        env={**os.environ, **site.environment, "TMPDIR": "/tmp"},  # noqa: S108 - where every user may write
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [(code, said) for code, said in map(json.loads, done.stdout.splitlines())]


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A folder of the group, with the setgid bit, at a path that every user can reach."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder.name.startswith(("pytest", "popen", "test_")):
            folder.chmod(0o755)
    folder = tmp_path / "volume"
    folder.mkdir()
    os.chown(folder, 0, GROUP)
    folder.chmod(0o2770)
    (folder / "config.yaml").write_text("publish: [{to: dataset}]\n", encoding="utf-8")
    os.chown(folder / "config.yaml", 0, GROUP)
    (folder / "config.yaml").chmod(0o640)
    return folder


@pytest.mark.parametrize(
    "users",
    [
        pytest.param(([1001, 3001, GROUP], [1002, 3002, GROUP]), id="fsgroup"),
        pytest.param(([1001, GROUP], [1002, GROUP]), id="primary-group"),
    ],
)
def test_volume_of_a_group_serves_changing_users(
    served: ServeWorld, volume: Path, users: tuple[list[int], list[int]]
) -> None:
    """Users of the group sync and publish in turn; a user outside the group cannot, and no file is open to others."""
    site = served(generate(5, images=2, versions_per_image=3))
    first, second = users
    steps = [
        (user, volume, [verb]) for user in (first, second, first) for verb in ("sync", "status", "check")
    ]
    done = as_others(site, *steps, ([1003, 3003], volume, ["sync"]))
    for code, said in done[:-1]:
        assert code == 0, said
        assert "Other users of this machine" not in said
    assert done[-1][0] not in {0, 4}, done[-1][1]
    modes = [stat.S_IMODE(path.lstat().st_mode) for path in volume.rglob("*") if not path.is_symlink()]
    assert len(modes) > 8
    assert not any(mode & stat.S_IRWXO for mode in modes)


def test_folder_without_that_bit_stays_its_owners(served: ServeWorld, tmp_path: Path) -> None:
    """In a folder without the setgid bit, only the owner may use the files, even if the group may write there."""
    tmp_path.chmod(0o770)
    site = served(generate(5, images=1, versions_per_image=1))
    (site.folder).chmod(0o770)
    site.sync()
    landing = site.config.landing_folder
    for path in (site.config.warehouse, landing, *landing.iterdir()):
        assert not stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO), path
