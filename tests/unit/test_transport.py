"""Which connection an exchange uses: an open one if possible, and none whose last answer was not believed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.credentials import Credentials, DeferredRefreshableCredentials, RefreshableCredentials

from image_history.aws.transport import Line, Sender, Transport

if TYPE_CHECKING:
    from botocore.httpsession import URLLib3Session

STATIC = Credentials("AKIAX", "x")


@dataclass(slots=True)
class Made:
    """Records the HTTP sessions that were created and closed, and creates clients that can share them."""

    sessions: list[Any] = field(default_factory=list)
    closed: list[Any] = field(default_factory=list)
    senders: int = 0

    def make(self) -> URLLib3Session:
        """A session that can only be closed."""

        class Session:
            def close(self) -> None:
                made.closed.append(self)

        made = self
        self.sessions.append(Session())
        return cast("URLLib3Session", self.sessions[-1])

    def sender(self, ways: object = "the same", server: str | None = None) -> Sender:
        """Another client, with its own server unless `server` is given."""
        self.senders += 1
        return Sender(api=None, server=server or f"https://{self.senders}.example", make=self.make, ways=ways)


def served(transport: Transport, client: Sender, *, believed: bool = True) -> Line:
    """The line that one exchange used."""
    made = transport.begin(client, None)
    with transport.under_way(client, made):
        made.believed = believed
    return made.line


def test_clients_of_one_server_share_its_connection() -> None:
    """If two clients have the same server, the second one uses the connection of the first."""
    made, transport = Made(), Transport()
    one, two = (made.sender(server="https://proxy.example") for _ in range(2))
    line = served(transport, one)
    exchange = transport.begin(two, STATIC)
    assert exchange.line is line
    assert exchange.has_connection
    with transport.under_way(two, exchange):
        exchange.believed = True
    assert not transport.begin(made.sender(), STATIC).has_connection


def test_line_with_a_connection_serves_again() -> None:
    """An exchange prefers a line with a connection to its server, even if another line was used last."""
    made, transport = Made(), Transport()
    one, two = made.sender(), made.sender()
    outer = transport.begin(one, None)
    with transport.under_way(one, outer):
        outer.believed = True
        second = served(transport, two)
    assert outer.line is not second
    assert served(transport, two) is second
    assert served(transport, one) is outer.line
    assert len(made.sessions) == 2


def test_line_of_another_client_serves_where_none_has_a_connection() -> None:
    """If no line is connected to the server, a free line is used, because each session reads the trust store."""
    made, transport = Made(), Transport()
    assert served(transport, made.sender()) is served(transport, made.sender())
    assert served(transport, made.sender("another proxy")) is not served(transport, made.sender())
    assert len(made.sessions) == 2


def test_line_that_is_not_believed_connects_anew() -> None:
    """If the answer on a line is not believed, the line's session is closed, and no client counts as connected."""
    made, transport = Made(), Transport()
    line = served(transport, made.sender(), believed=False)
    assert made.closed == made.sessions
    assert line.known == set()


@pytest.mark.parametrize("believed", [True, False])
@pytest.mark.parametrize(
    ("credentials", "lasting"),
    [
        (None, False),
        (STATIC, True),
        (DeferredRefreshableCredentials(dict[str, str], method="a role"), False),
    ],
    ids=["none", "static", "not fetched yet"],
)
def test_exchange_has_a_connection_once_one_was_believed(
    credentials: Credentials | None, *, lasting: bool, believed: bool
) -> None:
    """Later exchanges have a connection only after a believed answer, and with credentials that are ready."""
    transport, client = Transport(), Made().sender()
    first = transport.begin(client, credentials)
    assert not first.has_connection
    with transport.under_way(client, first):
        first.believed = believed
    assert transport.begin(client, credentials).has_connection == (lasting and believed)


def test_answer_that_ends_its_connection_leaves_none() -> None:
    """After an answer that closes its connection, the next exchange has no connection."""
    transport, client = Transport(), Made().sender()
    made = transport.begin(client, STATIC)
    with transport.under_way(client, made):
        made.answered(SimpleNamespace(headers={}, connection=SimpleNamespace(sock=None)))
        made.believed = True
    assert not transport.begin(client, STATIC).has_connection


@pytest.mark.parametrize(("minutes", "lasting"), [(15.5, False), (17, True)])
def test_credentials_that_are_due_at_the_signature_are_due_now(*, minutes: float, lasting: bool) -> None:
    """Credentials within about 15 minutes of their expiry count as due, because botocore then renews them to sign."""
    expires = datetime.now(UTC) + timedelta(minutes=minutes)
    credentials = RefreshableCredentials("AKIAX", "x", "t", expires, dict[str, str], "a role")
    transport, client = Transport(), Made().sender()
    made = transport.begin(client, credentials)
    with transport.under_way(client, made):
        made.believed = True
    assert transport.begin(client, credentials).has_connection == lasting
