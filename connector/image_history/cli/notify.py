"""`image-history notify`: sends receivers the news that they do not have yet, or a trial message.

Must not know what is new, nor how it is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from image_history.cli import Globals, Verb
from image_history.cli.showing import document_option, print_document, say
from image_history.counting import counted
from image_history.errors import ConfigError

if TYPE_CHECKING:
    from image_history.model import Notification

_PARTIAL = 4


@click.command("notify", cls=Verb)
@click.option("--test", is_flag=True, help="Send each receiver a trial message, without news.")
@document_option
@click.pass_obj
def command(shared: Globals, /, *, test: bool, as_json: bool) -> int:
    """Send the receivers of the setting notify the news that they do not have yet; each sync does so too.

    The exit code is 4 if a receiver failed; the next sync tries again. While a sync runs, that sync sends the
    news: the exit code is 7 then.
    """
    from image_history.notify.finding import Occasion
    from image_history.notify.stage import notify, try_out

    config = shared.config()
    if not config.notify:
        raise ConfigError(
            "The configuration has no receivers: add an entry under notify, see config.example.yaml."
        )
    done = try_out(config) if test else notify(config, Occasion(datetime.now(UTC)))
    if as_json:
        print_document(document(done))
    elif test:
        for each in done:
            say(f"tried: {each.receiver} took the message" if each.error is None else _failed(each))
    else:
        for line in summary_lines(done) or ["Nothing is new."]:
            say(line)
    return _PARTIAL if failed(done) else 0


def summary_lines(notifications: Sequence[Notification]) -> list[str]:
    """A line for each receiver that was sent news, or failed."""
    return list(_lines(notifications))


def _lines(notifications: Sequence[Notification]) -> Iterator[str]:
    for each in notifications:
        if each.error is not None:
            yield _failed(each)
        elif each.news:
            yield f"notified: {each.receiver} of {counted(each.news, 'change')}"


def _failed(notification: Notification) -> str:
    return f"not notified: {notification.receiver}: {notification.error}"


def document(notifications: Sequence[Notification]) -> dict[str, object]:
    """The result for each receiver, as one JSON document."""
    return {"notifications": [asdict(each) for each in notifications]}


def failed(notifications: Sequence[Notification]) -> bool:
    """Whether any of the receivers failed."""
    return any(each.error is not None for each in notifications)
