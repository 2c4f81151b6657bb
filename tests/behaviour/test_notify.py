"""Notifications: sent once after a load, whatever fails or is killed, and without printing the address."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from image_history.config import load_config
from image_history.landing.runs import Landing
from image_history.notify import stage
from image_history.notify.finding import Occasion
from image_history.simulator import VersionRecord, generate
from tests.behaviour.checking import denying
from tests.behaviour.commanding import Commanded, CommandWorld, commanding

__all__ = ["commanding"]

pytestmark = pytest.mark.duckdb

Message = dict[str, Any]
SECRET = "/services/TEAM/B000/very-secret-part"


@dataclass(slots=True)
class Inbox:
    """A web server that keeps what is posted to it. `status` is the status of its answers."""

    url: str = ""
    status: int = 200
    answer: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    hang: threading.Event = field(default_factory=threading.Event)
    hangs: bool = False

    def take(self) -> list[Message]:
        """The messages since the last call."""
        taken, self.messages = self.messages, []
        return taken


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """A web server on this machine."""
    box = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if box.hangs:
                box.hang.wait(60)
            box.messages.append(
                json.loads(content) | {"asked": self.path, "kind": self.headers["Content-Type"]}
            )
            self.send_response(box.status)
            for name, value in box.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(box.answer)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    box.url = f"http://127.0.0.1:{server.server_port}{SECRET}"
    yield box
    box.hang.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def desk(commanding: CommandWorld, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> Commanded:
    """A small synced site whose receiver is the inbox."""
    desk = commanding()
    monkeypatch.setenv("HOOK", inbox.url)
    configure(desk, "{webhook: '${HOOK}', timeout: 5s}")
    assert desk("sync").code == 0
    assert inbox.take() == []
    return desk


def configure(desk: Commanded, *entries: str) -> None:
    """Write a configuration with these receivers."""
    (desk.folder / "config.yaml").write_text(f"notify: [{', '.join(entries)}]\n", encoding="utf-8")


def first_image(desk: Commanded) -> str:
    """The name of an image with three versions."""
    return desk.site.world.truth()[0].image_name


def subjects(message: Message) -> list[tuple[str, str, str]]:
    """The kind, phase and subject of each change in a message."""
    return [(item["news"], item["phase"], item["subject"]) for item in message["news"]]


def test_deletion_is_told_once(desk: Commanded, inbox: Inbox) -> None:
    """A deletion is sent once, after the sync that found it, with its interval and evidence."""
    name = first_image(desk)
    desk.site.world.delete_version(name, 2)
    synced = desk("sync")
    assert (synced.code, "notified: webhook-1 of 1 change" in synced.out) == (0, True)
    (message,) = inbox.take()
    assert message["asked"] == SECRET
    assert message["kind"].startswith("application/json")
    assert subjects(message) == [("deleted", "happened", f"111122223333/us-east-1/{name}:2")]
    (item,) = message["news"]
    assert (item["image_name"], item["version"], item["account_id"]) == (name, 2, "111122223333")
    assert "UTC; AWS was asked for this version, and does not find it" in item["text"]
    assert message["text"].startswith("image-history: 1 deleted (run ")
    assert f"• deleted: 111122223333/us-east-1/{name}:2, between " in message["text"]
    assert desk("sync").code == 0
    assert inbox.take() == []


def test_nothing_is_told_of_what_a_receiver_does_not_want(desk: Commanded, inbox: Inbox) -> None:
    """Only the kinds in `on` are sent; a kind that is added later is sent for later runs only."""
    configure(desk, "{webhook: '${HOOK}', on: [failed, unread]}")
    name = first_image(desk)
    desk.site.world.delete_version(name, 2)
    assert desk("sync").code == 0
    assert inbox.take() == []
    configure(desk, "{webhook: '${HOOK}', on: [failed, deleted]}")
    desk.site.world.delete_version(name, 1)
    assert desk("sync").code == 0
    (message,) = inbox.take()
    assert [item["version"] for item in message["news"]] == [1]


def test_trouble_is_told_when_it_begins_and_when_it_ends(desk: Commanded, inbox: Inbox) -> None:
    """If images cannot be read, the first failure and the recovery are sent, and nothing in between."""
    desk.site.simulator.fault = denying("ListImageVersions")
    for expected in (2, 0, 0):
        assert desk("sync").code == 3
        assert [len(message["news"]) for message in inbox.take()] == ([expected] if expected else [])
    desk.site.simulator.fault = None
    assert desk("sync").code == 0
    (message,) = inbox.take()
    assert {(news, phase) for news, phase, _ in subjects(message)} == {("unread", "ended")}
    assert "image-history: 2 ended (run " in message["text"]
    assert "can be read again, since " in message["text"]
    assert desk("sync").code == 0
    assert inbox.take() == []


def test_failing_receiver_is_told_by_the_next_sync(desk: Commanded, inbox: Inbox) -> None:
    """If a receiver fails, the sync exits with 4, and the next sync sends the same changes with the same IDs."""
    name = first_image(desk)
    desk.site.world.delete_version(name, 2)
    inbox.status, inbox.answer = 503, f"come back to {inbox.url}".encode()
    synced = desk("sync")
    assert synced.code == 4
    assert (
        "not notified: webhook-1: the address answered 503: come back to http://127.0.0.1:" in synced.out
    ), synced.out
    assert SECRET not in synced.out + synced.err
    assert "/TEAM" not in synced.out + synced.err
    (refused,) = inbox.take()
    inbox.status = 200
    desk.site.world.delete_version(name, 1)
    assert desk("sync").code == 0
    (message,) = inbox.take()
    assert [item["version"] for item in message["news"]] == [1, 2]
    assert refused["news"][0]["id"] in {item["id"] for item in message["news"]}
    assert desk("notify").out == "Nothing is new.\n"


@pytest.mark.parametrize("moment", ["deliver", "_remember"])
def test_kill_around_telling_loses_nothing(
    desk: Commanded, inbox: Inbox, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """After a kill before sending, or before sending is recorded, the next sync sends with the same IDs."""
    desk.site.world.delete_version(first_image(desk), 2)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage, moment, killed)
        assert desk("sync").code == 130
    before = [item["id"] for message in inbox.take() for item in message["news"]]
    assert len(before) == int(moment == "_remember")
    assert desk("sync").code == 0
    (message,) = inbox.take()
    assert [item["version"] for item in message["news"]] == [2]
    assert set(before) <= {item["id"] for item in message["news"]}
    assert desk("sync").code == 0
    assert inbox.take() == []


def test_sync_that_cannot_be_made_is_told_once(
    desk: Commanded, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without credentials, the failure is sent once, and its end is sent when syncs work; the exit code stays 3."""
    with monkeypatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.delenv(name, raising=False)
        assert (desk("sync").code, desk("sync").code) == (3, 3)
    (message,) = inbox.take()
    assert subjects(message) == [("unread", "began", "sync")]
    assert "unread: no sync can be made: " in message["text"]
    assert desk("sync").code == 0
    (message,) = inbox.take()
    assert subjects(message) == [("unread", "ended", "sync")]
    assert "syncs work again" in message["text"]


def test_command_gets_the_news_on_its_stdin(commanding: CommandWorld, tmp_path: Path) -> None:
    """A command runs without a shell and gets JSON; if it fails, its last line on stderr is reported."""
    desk = commanding()
    kept = tmp_path / "kept.json"
    keep = tmp_path / "keep.py"
    keep.write_text(
        "import pathlib, sys\n"
        "if not pathlib.Path(sys.argv[1]).parent.is_dir(): sys.exit('first\\nno folder $HOME')\n"
        "pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())\n",
        encoding="utf-8",
    )
    configure(desk, f"{{name: keeper, run: [{sys.executable}, {keep}, {kept}]}}")
    assert desk("sync").code == 0
    assert not kept.exists()
    desk.site.world.delete_version(first_image(desk), 3)
    assert desk("sync").code == 0
    assert [item["version"] for item in json.loads(kept.read_text())["news"]] == [3]
    configure(desk, f"{{name: keeper, run: [{sys.executable}, {keep}, {tmp_path}/none/x]}}")
    desk.site.world.delete_version(first_image(desk), 2)
    synced = desk("sync", "--json")
    assert synced.code == 4
    (told,) = json.loads(synced.out)["notifications"]
    assert (told["receiver"], told["news"]) == ("keeper", 1)
    assert told["error"] == f"{sys.executable} failed (exit code 1): no folder $HOME."


def test_receiver_is_bounded_in_time(desk: Commanded, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its timeout, a command is killed with the processes that it started; a silent address is given up."""
    pipe, opened, communicate = desk.folder / "pipe", [], subprocess.Popen.communicate
    os.mkfifo(pipe)
    script = f"exec 3> {pipe}; sleep 600 & echo >&3; wait"

    def once_started(process: Any, *arguments: Any, **named: Any) -> Any:
        """Begin to wait when the command has started a process, which keeps the pipe open."""
        opened.append(os.open(pipe, os.O_RDONLY))
        assert os.read(opened[0], 1) == b"\n"
        return communicate(process, *arguments, **named)

    monkeypatch.setattr(subprocess.Popen, "communicate", once_started)
    configure(
        desk, f"{{run: [sh, -c, {json.dumps(script)}], timeout: 1ms}}", "{webhook: '${HOOK}', timeout: 300ms}"
    )
    inbox.hangs = True
    tried = desk("notify", "--test")
    assert tried.code == 4
    assert "not notified: run-1: sh did not end within 0.001 s, and was stopped." in tried.out
    assert "not notified: webhook-2: the address " in tried.out
    inbox.hang.set()
    with os.fdopen(opened[0], "rb") as end:
        assert select.select([end], [], [], 60)[0], "a process of the command still runs"
        assert end.read() == b""


def test_trial_reaches_every_receiver(desk: Commanded, inbox: Inbox, tmp_path: Path) -> None:
    """`notify --test` sends every receiver a message without changes, although one fails, and stores nothing."""
    kept = tmp_path / "kept.json"
    desk.site.world.delete_version(first_image(desk), 2)
    inbox.status = 500
    assert desk("sync").code == 4
    inbox.status = 200
    inbox.take()
    configure(desk, "{webhook: '${HOOK}'}", "{run: ['false']}", f"{{run: [sh, -c, 'cat > {kept}']}}")
    before = desk.site.config.warehouse.read_bytes()
    tried = desk("notify", "--test")
    assert (tried.code, tried.out.splitlines()) == (
        4,
        [
            "tried: webhook-1 took the message",
            "not notified: run-2: false failed (exit code 1).",
            "tried: run-3 took the message",
        ],
    )
    (message,) = inbox.take()
    for each in (message, json.loads(kept.read_text())):
        assert (each["id"], each["news"]) == ("trial", [])
        assert each["text"].startswith("image-history: a trial.")
    assert desk.site.config.warehouse.read_bytes() == before
    configure(desk, "{webhook: '${HOOK}'}")
    assert desk("notify").out == "notified: webhook-1 of 1 change\n"


def test_redirect_is_no_delivery(desk: Commanded, inbox: Inbox) -> None:
    """A redirect counts as a failure, since a redirected POST arrives as a GET without a message."""
    inbox.status, inbox.headers = 302, {"Location": "/elsewhere"}
    tried = desk("notify", "--test")
    assert (tried.code, "the address answered 302" in tried.out) == (4, True)


def test_restricted_sync_ends_no_trouble_of_others(
    desk: Commanded, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync of one image sends only that image's recovery, not that of other images."""
    desk.site.simulator.fault = denying("ListImageVersions")
    assert desk("sync").code == 3
    inbox.take()
    desk.site.simulator.fault = None
    names = sorted({row.image_name for row in desk.site.world.truth()})
    assert desk("sync", "--image", names[0]).code == 0
    (message,) = inbox.take()
    assert subjects(message) == [("unread", "ended", f"111122223333/us-east-1/{names[0]}")]


def put(desk: Commanded, version: int, status: str, hours: int = 0) -> str:
    """Make a version of the first image, with this status for so many hours; return its name in messages."""
    name, clock = first_image(desk), desk.site.simulator.clock
    made_ms = clock.now_ms() - hours * 3_600_000
    record = VersionRecord(version=version, creation_ms=made_ms, last_modified_ms=made_ms, status=status)
    desk.site.world.put_version(name, record)
    return f"111122223333/us-east-1/{name}:{version}"


def test_every_kind_of_change_and_trouble_is_told_once(desk: Commanded, inbox: Inbox) -> None:
    """Failed, stuck, stale and drift are sent once each, and the end of stuck and stale is sent, too."""
    failed, stuck = put(desk, 4, "CREATE_FAILED"), put(desk, 5, "CREATING", hours=30)
    odd = put(desk, 6, "ARCHIVED_BY_MAGIC")
    configure(desk, "{webhook: '${HOOK}', stale_after: 1ms}")
    for expected in (True, False):
        assert desk("sync").code == 0
        told = inbox.take()
        assert bool(told) is expected
        for message in told:
            assert {(news, phase) for news, phase, _ in subjects(message)} == {
                ("failed", "happened"),
                ("stuck", "began"),
                ("stale", "began"),
                ("drift", "happened"),
            }
            assert {("failed", "happened", failed), ("stuck", "began", stuck)} <= set(subjects(message))
            assert "ARCHIVED_BY_MAGIC" in message["text"]
    put(desk, 5, "CREATED")
    configure(desk, "{webhook: '${HOOK}'}")
    assert desk("sync").code == 0
    (message,) = inbox.take()
    assert set(subjects(message)) == {("stuck", "ended", stuck), ("stale", "ended", "111122223333/us-east-1")}
    assert odd not in message["text"]


def test_deletions_that_are_held_back_are_told(
    commanding: CommandWorld, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held-back deletions are sent once; once they are allowed, their end is sent with the deletions."""
    desk = commanding(generate(31, images=1, versions_per_image=60))
    monkeypatch.setenv("HOOK", inbox.url)
    configure(desk, "{webhook: '${HOOK}'}")
    assert desk("sync").code == 0
    for version in range(1, 56):
        desk.site.world.delete_version(first_image(desk), version)
    for expected in ([("held_back", "began", "111122223333/us-east-1")], []):
        assert desk("sync").code == 9
        assert [each for message in inbox.take() for each in subjects(message)] == expected
    assert desk("sync", "--allow-mass-delete").code == 0
    (message,) = inbox.take()
    assert message["counts"] == {"deleted": 55, "held_back": 1}
    assert f"• deleted: 55 versions of 111122223333/us-east-1/{first_image(desk)}: 1, 2, " in message["text"]


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        pytest.param(
            ["{on: [deleted]}"], "needs one of the two: run with a command, or webhook", id="neither"
        ),
        pytest.param(["{run: [true], webhook: '${HOOK}'}"], "run[0] must be", id="not-a-word"),
        pytest.param(["{run: ['true'], webhook: '${HOOK}'}"], "needs one of the two", id="both"),
        pytest.param(
            ["{webhook: 'https://hooks.example/T0/secret'}"], "is a secret: put it into", id="literal"
        ),
        pytest.param(["{webhook: '${PLAIN}'}"], "must begin with https://: plain HTTP", id="plain"),
        pytest.param(["{webhook: '${FTP}'}"], "must be an address that begins with https://", id="scheme"),
        pytest.param(["{webhook: '${NONE_SET}'}"], "variable NONE_SET is not set", id="unset"),
        pytest.param(["{run: ['true'], on: [gone]}"], "must be deleted, failed, stuck, held_back", id="kind"),
        pytest.param(["{run: ['a'], name: x}", "{run: ['b'], name: x}"], "are both called x", id="names"),
    ],
)
def test_wrong_receiver_is_refused(
    commanding: CommandWorld, monkeypatch: pytest.MonkeyPatch, entries: list[str], complaint: str
) -> None:
    """A wrong receiver is refused with exit code 2 and a sentence that does not contain the address."""
    desk = commanding()
    monkeypatch.setenv("HOOK", "https://hooks.example/T0/secret")
    monkeypatch.setenv("PLAIN", "http://hooks.example/T0/secret")
    monkeypatch.setenv("FTP", "ftp://hooks.example/T0/secret")
    configure(desk, *entries)
    refused = desk("notify")
    assert (refused.code, complaint in refused.err, "T0/secret" in refused.err) == (2, True, False), (
        refused.err
    )


def test_receiver_that_cannot_be_started(desk: Commanded) -> None:
    """A command that does not exist is named, and `notify` exits with 4."""
    configure(desk, "{run: [./not-there]}")
    tried = desk("notify", "--test")
    assert (tried.code, tried.out) == (
        4,
        "not notified: run-1: ./not-there cannot be started: No such file or directory.\n",
    )


def test_check_names_a_command_that_is_not_there(desk: Commanded, inbox: Inbox, tmp_path: Path) -> None:
    """`check` exits with 4 and names a command that does not exist; it runs no command, and sends nothing."""
    ran = tmp_path / "ran"
    configure(desk, "{run: [./not-there]}", "{webhook: '${HOOK}'}", f"{{run: [touch, {ran}]}}")
    checked = desk("check", "--json")
    found = {each["where"]: each for each in json.loads(checked.out)["checks"] if each["check"] == "notify"}
    assert checked.code == 4
    assert found["run-1"]["message"] == "there is no command ./not-there that this user may run"
    assert [found[name]["level"] for name in ("webhook-2", "run-3")] == ["ok", "ok"]
    assert inbox.messages == []
    assert not ran.exists()


def test_two_processes_tell_nothing_twice(desk: Commanded, inbox: Inbox) -> None:
    """While a sync runs, `notify` exits with 7 and sends nothing; later it sends the pending change once."""
    desk.site.world.delete_version(first_image(desk), 2)
    inbox.status = 500
    assert desk("sync").code == 4
    inbox.take()
    inbox.status = 200
    with Landing(desk.site.config.landing_folder).locked():
        assert desk("notify").code == 7
        occasion = Occasion(datetime.now(UTC), failing="because")
        assert stage.notify(load_config(desk.folder / "config.yaml"), occasion) == ()
    assert inbox.take() == []
    assert desk("notify").out == "notified: webhook-1 of 1 change\n"
    assert len(inbox.take()) == 1
