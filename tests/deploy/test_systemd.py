"""The systemd units: their restrictions, systemd's own checks of them, and a run of their command."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from image_history.config import load_config
from tests.behaviour.commanding import Commanded, log_lines
from tests.deploy.recipes import CONFIG, DEPLOY, INSTALLED, text

pytestmark = pytest.mark.duckdb

SERVICE, TIMER, METRICS = (
    f"systemd/{name}" for name in ("image-history.service", "image-history.timer", "metrics.conf")
)
# In tenths: systemd-analyze rates a service from 0.0 (no rights) to 10.0 (all rights).
MOST_EXPOSURE = 20
# systemd-analyze 252 rated the unit 1.1 with these settings; a missing one adds 0.1 to 0.3.
HARDENING = {
    "AmbientCapabilities": "",
    "CapabilityBoundingSet": "",
    "DevicePolicy": "closed",
    "KeyringMode": "private",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "NoNewPrivileges": "yes",
    "PrivateDevices": "yes",
    "PrivateMounts": "yes",
    "PrivateTmp": "yes",
    "PrivateUsers": "yes",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHome": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectProc": "invisible",
    "ProtectSystem": "strict",
    "RemoveIPC": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "EPERM",
    "UMask": "0077",
    "User": "image-history",
}


def settings(name: str) -> dict[str, list[str]]:
    """Every setting of a unit with its values, in order; a line that is no setting fails the test."""
    found: dict[str, list[str]] = {}
    for line in text(name).splitlines():
        if line and not line.startswith(("#", "[")):
            setting, equals, value = line.partition("=")
            assert equals, line
            found.setdefault(setting, []).append(value)
    return found


def systemd(*arguments: str) -> tuple[int, str] | None:
    """The exit code and output of systemd-analyze; None if it is missing, or before 250, which has no --offline."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        return None
    version = subprocess.run([tool, "--version"], capture_output=True, text=True, check=False).stdout
    if int(re.findall(r"\d+", version)[0]) < 250:
        return None
    variables = os.environ | {"TZ": "UTC"}
    said = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False, env=variables)
    return said.returncode, said.stdout + said.stderr


def test_service_is_hardened() -> None:
    """The unit has every restriction that its rating depends on, and a user of its own."""
    found = settings(SERVICE)
    assert {name: found.get(name) for name in HARDENING} == {
        name: [value] for name, value in HARDENING.items()
    }
    assert found["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    assert "u image-history -" in text("systemd/image-history.sysusers.conf")


def test_service_that_is_stopped_or_finds_another_at_work_has_not_failed() -> None:
    """The unit lists 7 and 143 as successes: another sync is running, and a sync that SIGTERM stopped."""
    assert settings(SERVICE)["SuccessExitStatus"] == ["7 143"]


def test_documented_configuration_is_one_for_the_service(tmp_path: Path) -> None:
    """The documented configuration is at the service's path, and its warehouse is in the state directory."""
    (written,) = re.findall(r"^    echo '(.*)' > (\S+)$", text("README.md"), re.MULTILINE)
    assert written[1] == CONFIG
    (tmp_path / "config.yaml").write_text(written[0], encoding="utf-8")
    config = load_config(tmp_path / "config.yaml", {})
    assert config.warehouse.parent == Path("/var/lib") / settings(SERVICE)["StateDirectory"][0]


def rated(unit: Path) -> tuple[int, str] | None:
    """Whether systemd rates a unit at most `MOST_EXPOSURE`, as `systemd` answers."""
    return systemd("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", str(unit))


def test_service_is_rated_by_systemd(tmp_path: Path) -> None:
    """`systemd-analyze security` rates the unit at most 2.0, and the unit without its restrictions higher."""
    said = rated(DEPLOY / SERVICE)
    assert said is None or said[0] == 0, said
    restrictions = {*HARDENING, "SystemCallFilter"}
    lines = text(SERVICE).splitlines()
    bare = tmp_path / "bare.service"
    bare.write_text("\n".join(line for line in lines if line.partition("=")[0] not in restrictions))
    assert len(lines) - len(bare.read_text().splitlines()) == len(HARDENING) + 2
    said = rated(bare)
    assert said is None or (said[0] != 0 and "Overall exposure level" in said[1]), said


def test_units_are_valid(tmp_path: Path) -> None:
    """systemd-analyze verify finds nothing in the units; only SystemCallFilter, which adds up, is set twice."""
    command = f"{Path(sys.executable).parent}/image-history"
    drop_in = tmp_path / "image-history.service.d"
    drop_in.mkdir()
    for name, folder in ((SERVICE, tmp_path), (TIMER, tmp_path), (METRICS, drop_in)):
        content = text(name).replace(f"{INSTALLED}/image-history", command)
        (folder / Path(name).name).write_text(content, encoding="utf-8")
    said = systemd("verify", str(tmp_path / "image-history.service"), str(tmp_path / "image-history.timer"))
    assert said in {None, (0, "")}
    (tmp_path / "image-history.service").write_text("[Service]\nTpye=oneshot\n", encoding="utf-8")
    said = systemd("verify", str(tmp_path / "image-history.service"))
    assert said is None or "Tpye" in said[1]
    repeated = {name for name, values in settings(SERVICE).items() if len(values) > 1}
    assert repeated == {"SystemCallFilter"}


def test_timer_is_hourly_and_catches_up() -> None:
    """The timer fires in every hour after minute 17, spread over five minutes, and catches up on a missed time."""
    found = settings(TIMER)
    assert found["OnCalendar"] == ["*-*-* *:17:00"]
    assert found["Persistent"] == ["yes"]
    assert found["RandomizedDelaySec"] == ["5min"]
    assert found["WantedBy"] == ["timers.target"]
    said = systemd("timespan", found["RandomizedDelaySec"][0])
    assert said is None or " 300000000\n" in said[1], said
    said = systemd("calendar", "--iterations=25", found["OnCalendar"][0])
    if said is not None:
        fires = re.findall(r"(?:Next elapse|Iter\S* #\d+): \w+ (\S+ (\d\d):17:00)", said[1])
        assert len(set(fires)) == 25, said[1]
        assert len({hour for _, hour in fires}) == 24


def test_command_of_the_service_syncs(commanded: Commanded) -> None:
    """The drop-in's ExecStart adds only the metrics file to the unit's sync, which exits with 0 and logs in JSON."""
    (plain,) = settings(SERVICE)["ExecStart"]
    reset, metrics = settings(METRICS)["ExecStart"]
    assert reset == "", "without the reset, the drop-in would add a second command"
    assert metrics.startswith(f"{plain} --metrics-file ")
    writable = settings(METRICS)["ReadWritePaths"]
    assert str(Path(metrics.split()[-1]).parent) in writable
    config = commanded.folder / "config.yaml"
    config.write_text("page_size: 50\n", encoding="utf-8")
    words = shlex.split(metrics.replace(CONFIG, str(config)).replace(writable[0], str(commanded.folder)))
    assert words[0] == f"{INSTALLED}/image-history"
    answered = commanded(*words[1:], "-v")
    assert answered.code == 0
    assert [line["event"] for line in log_lines(answered.err)][-1] == "sync_ended"
    assert (commanded.folder / "image-history.prom").exists()
