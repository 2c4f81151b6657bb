from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from image_history.aws.bodies import Answer
from image_history.errors import (
    AccessDeniedError,
    CredentialsError,
    ImageNotFoundError,
    LandingError,
    MalformedResponseError,
    RequestRejectedError,
    ServiceUnavailableError,
    SourceError,
    ThrottledError,
)
from image_history.extract import workers
from image_history.extract.extractor import Extractor, resumed
from image_history.listing.pages import PageRead, begin, read_again
from image_history.model import (
    Checkpoint,
    ListingKind,
    ListingRequest,
    Outcome,
    PlannedStream,
    Scope,
    Stop,
    Stream,
)
from tests.unit.fakes import FakeSource, answer, image, in_turn, page, read_scopes, scope_calls, version

SCOPE = Scope("111122223333", "us-east-1")
OTHER = Scope("444455556666", "us-east-1")
FULL = ListingRequest(ListingKind.FULL, 2)


def planned(name: str = "base", scope: Scope = SCOPE) -> PlannedStream:
    """A stream to be listed in full."""
    return PlannedStream(Stream(scope, name), FULL)


def read(source: FakeSource, checkpoints: Iterable[Checkpoint] | None = None) -> list[PageRead]:
    """Read streams; returns every page that reaches the sink. The scope must not be given up."""
    pages: list[PageRead] = []
    chosen = [begin(planned())] if checkpoints is None else checkpoints
    assert read_scopes({SCOPE: scope_calls(source)}, pages.append, chosen) == {}
    return pages


def numbers(pages: Iterable[PageRead]) -> list[int]:
    """The version numbers in these pages."""
    return [row.Version for page_read in pages for row in page_read.rows]


def test_pages_go_to_the_sink_with_what_continues_them() -> None:
    """Each page, also an empty one, goes to the sink with a checkpoint that holds the next token."""
    source = FakeSource(in_turn(page([version(1), version(2)], "a"), page([], "b"), page([version(3)])))
    pages = read(source)
    assert numbers(pages) == [1, 2, 3]
    assert [each.checkpoint.next_token for each in pages] == ["a", "b", None]
    assert [parameters.get("NextToken") for _, parameters in source.asked] == [None, "a", "b"]


def test_two_hundred_empty_pages_are_no_end() -> None:
    """200 empty pages do not end a listing: a service that filters after it pages may send many."""
    tokens = [f"token {number}" for number in range(200)]
    source = FakeSource(in_turn(*[page([], token) for token in tokens], page([version(1)])))
    pages = read(source)
    assert numbers(pages) == [1]
    assert not pages[-1].checkpoint.readable


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("kind", [ListingKind.FULL, ListingKind.INCREMENTAL])
def test_cycle_of_tokens_ends_as_unstable(length: int, kind: ListingKind) -> None:
    """If the tokens form a cycle of any length, the listing is read five times, then the stream is unstable."""
    calls = iter(range(10_000))
    source = FakeSource(lambda *_: page([], f"token {next(calls) % length}"))
    request = ListingRequest(kind, 2, 0)
    pages = read(source, [begin(PlannedStream(Stream(SCOPE, "base"), request))])
    assert len(source.asked) == 5 * (length + 1)
    assert pages[-1].checkpoint.outcome is Outcome.UNSTABLE
    assert pages[-1].checkpoint.error_code == "ListingUnstableError"


def test_contradiction_is_read_once_more() -> None:
    """A listing that contradicts itself is read again from its first page, and the second reading may be accepted."""
    source = FakeSource(
        in_turn(
            page([version(1), version(2)], "a"),
            page([version(2)], "b"),
            page([version(1), version(2)], "c"),
            page([version(3)]),
        )
    )
    pages = read(source)
    assert [parameters.get("NextToken") for _, parameters in source.asked] == [None, "a", None, "c"]
    end = pages[-1].checkpoint
    assert (end.readable, end.reading, end.rows, end.pages) == (False, 2, 3, 2)


def test_version_that_comes_twice_is_a_contradiction() -> None:
    """A version that an incremental listing has on two pages causes another reading, since rows moved meanwhile."""
    request = ListingRequest(ListingKind.INCREMENTAL, 2, 0)
    first = page([version(2, modified_ms=9_000)], "a")
    source = FakeSource(
        in_turn(first, page([version(2, modified_ms=8_000)]), page([version(2, modified_ms=9_500)]))
    )
    pages = read(source, [begin(PlannedStream(Stream(SCOPE, "base"), request))])
    assert pages[-1].checkpoint.reading == 2


def test_refused_token_starts_the_listing_over() -> None:
    """If AWS rejects a checkpointed token, the token is dropped, and the listing begins again."""
    stale = read(FakeSource(in_turn(page([version(1)], "stale"), page([version(2)]))))[0].checkpoint
    rejected = RequestRejectedError("Invalid pagination token", code="ValidationException")
    source = FakeSource(in_turn(rejected, page([version(1)], "fresh"), page([version(2)])))
    pages = read(source, [stale])
    assert [parameters.get("NextToken") for _, parameters in source.asked] == ["stale", None, "fresh"]
    assert numbers(pages) == [1, 2]
    assert pages[-1].checkpoint.reading == 2


def test_request_refused_without_a_token_fails_the_stream() -> None:
    """If AWS rejects a request without a token, the stream fails after this request."""
    source = FakeSource(in_turn(RequestRejectedError("no", code="ValidationException")))
    (end,) = read(source)
    assert (len(source.asked), end.checkpoint.outcome) == (1, Outcome.FAILED)
    assert end.checkpoint.error_code == "ValidationException"


def test_request_refused_after_its_token_was_fails_the_stream() -> None:
    """If AWS rejects a request with its token and then the one without a token, the stream fails."""
    rejected = RequestRejectedError("no", code="ValidationException")
    source = FakeSource(in_turn(page([version(1)], "a"), rejected))
    pages = read(source)
    assert [parameters.get("NextToken") for _, parameters in source.asked] == [None, "a", None]
    assert pages[-1].checkpoint.outcome is Outcome.FAILED


def test_token_refused_every_time_fails_the_stream() -> None:
    """If AWS rejects every token, the listing is read five times, then the stream fails."""

    def refusing(_: str, parameters: Any) -> Answer[Any]:
        if "NextToken" in parameters:
            raise RequestRejectedError("no", code="ValidationException")
        return page([version(1)], "never good")

    source = FakeSource(refusing)
    assert read(source)[-1].checkpoint.outcome is Outcome.FAILED
    assert len(source.asked) == 10


NOON_MS = 1_790_000_000_000


def described(result: Answer[Any] | Exception) -> Callable[[str, Any], Answer[Any]]:
    """The listing does not find the image; DescribeImage gives this answer."""
    describe = in_turn(result)

    def answering(operation: str, parameters: Any) -> Answer[Any]:
        if operation == "DescribeImage":
            return describe(operation, parameters)
        raise ImageNotFoundError("does not exist", date_ms=NOON_MS, code="ResourceNotFound")

    return answering


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        pytest.param(ImageNotFoundError("no", date_ms=NOON_MS + 4000), Outcome.MISSING, id="gone"),
        pytest.param(answer(image("base")), Outcome.FAILED, id="there"),
        pytest.param(AccessDeniedError("no"), Outcome.FAILED, id="denied"),
    ],
)
def test_missing_image_is_gone_only_if_describe_agrees(
    result: Answer[Any] | Exception, outcome: Outcome
) -> None:
    """An image that the listing does not find is missing if, and only if, DescribeImage does not find it either."""
    source = FakeSource(described(result))
    (end,) = read(source)
    assert end.checkpoint.outcome is outcome
    assert end.checkpoint.error_code == "ResourceNotFound"
    if outcome is Outcome.MISSING:
        assert (end.checkpoint.t0_ms, end.checkpoint.t1_ms) == (NOON_MS - 1000, NOON_MS + 5000)
    assert source.operations() == ["ListImageVersions", "DescribeImage"]


def test_missing_image_whose_describe_gets_no_answer_is_not_gone() -> None:
    """If DescribeImage fails in an outage, in a scope that answers otherwise, the stream fails: it is not missing."""
    other = replace(begin(planned("other")), outcome=Outcome.COMPLETE)
    down = FakeSource(described(ServiceUnavailableError("down")))
    (end,) = read(down, [other, begin(planned())])
    assert end.checkpoint.outcome is Outcome.FAILED
    assert end.checkpoint.error_code == "ServiceUnavailableError"


def test_denied_image_leaves_the_others_alone() -> None:
    """A denied stream has the outcome DENIED with AWS's code, and the next stream is read."""
    denied = AccessDeniedError("no", code="AccessDeniedException")
    source = FakeSource(in_turn(denied, page([version(1)])))
    first, second = read(source, [begin(planned("a")), begin(planned("b"))])
    assert (first.checkpoint.outcome, first.checkpoint.error_code) == (
        Outcome.DENIED,
        "AccessDeniedException",
    )
    assert not second.checkpoint.readable


def streams(count: int, scope: Scope = SCOPE) -> list[Checkpoint]:
    """This many streams of one scope."""
    return [begin(planned(f"image-{number}", scope)) for number in range(count)]


def test_scope_that_no_longer_answers_is_given_up() -> None:
    """After three unanswered streams in a row, the scope is given up; its streams stay resumable."""
    down, live = FakeSource(in_turn(ServiceUnavailableError("down"))), FakeSource(in_turn(page([version(1)])))
    pages: list[PageRead] = []
    calls = {SCOPE: scope_calls(down), OTHER: scope_calls(live)}
    lost = read_scopes(calls, pages.append, [*streams(6), *streams(6, OTHER)])
    assert list(lost) == [SCOPE]
    assert isinstance(lost[SCOPE], SourceError)
    assert "AWS no longer answers profile test in us-east-1: down" in str(lost[SCOPE])
    assert (len(down.asked), len(live.asked)) == (3, 6)
    assert {each.checkpoint.stream.scope for each in pages} == {OTHER}


@pytest.mark.parametrize("count", [1, 2])
def test_scope_of_few_streams_that_never_answers_is_given_up(count: int) -> None:
    """If no stream of a scope is answered, the scope is given up, and its streams stay resumable."""
    source, pages = FakeSource(in_turn(ServiceUnavailableError("down"))), list[PageRead]()
    lost = read_scopes({SCOPE: scope_calls(source)}, pages.append, streams(count))
    assert isinstance(lost[SCOPE], SourceError)
    assert (len(source.asked), pages) == (count, [])


def test_scope_that_throttles_to_the_last_is_given_up() -> None:
    """If the last stream of a scope is throttled, the scope is given up, and this stream stays resumable."""
    source, pages = FakeSource(in_turn(page([]), ThrottledError("slow"))), list[PageRead]()
    lost = read_scopes({SCOPE: scope_calls(source)}, pages.append, streams(2))
    assert "slow" in str(lost[SCOPE])
    assert [each.checkpoint.outcome for each in pages] == [Outcome.READ]


def test_scope_that_answers_in_between_is_kept() -> None:
    """If streams in between are answered, failed streams do not give up the scope."""
    down = ServiceUnavailableError("down")
    source = FakeSource(in_turn(down, down, page([]), down, down, page([])))
    pages = read(source, streams(6))
    assert sum(each.checkpoint.outcome is Outcome.FAILED for each in pages) == 4


def test_scope_is_not_given_up_for_malformed_answers() -> None:
    """A scope whose answers are malformed is not given up: each of its streams fails."""
    pages = read(FakeSource(in_turn(MalformedResponseError("html"))), streams(5))
    assert [each.checkpoint.outcome for each in pages] == [Outcome.FAILED] * 5


def test_scope_without_credentials_is_left_at_once() -> None:
    """If the credentials are refused, the scope is given up at its first stream, which stays resumable."""
    source, pages = FakeSource(in_turn(CredentialsError("expired"))), list[PageRead]()
    lost = read_scopes({SCOPE: scope_calls(source)}, pages.append, streams(4))
    assert isinstance(lost[SCOPE], CredentialsError)
    assert (len(source.asked), pages) == (1, [])


def test_scope_that_hangs_keeps_no_other_waiting() -> None:
    """While all calls of one scope hang, another scope, which is added later, is read to its end."""
    released, other_read = threading.Event(), threading.Event()

    def hanging(_: str, __: Any) -> Answer[Any]:
        assert released.wait(30)
        return page([])

    def sink(each: PageRead) -> None:
        if each.checkpoint.stream == Stream(OTHER, "image-8"):
            other_read.set()

    with Extractor(sink, Stop(), threads=2) as extracting:
        extracting.begin(SCOPE, scope_calls(FakeSource(hanging)), streams(5))
        extracting.begin(OTHER, scope_calls(FakeSource(in_turn(page([])))), streams(9, OTHER))
        assert other_read.wait(30)
        released.set()
        assert extracting.finish() == {}


def test_error_of_the_sink_ends_the_run() -> None:
    """If the sink cannot store a page, the run ends with the sink's error, and no further call is made."""
    source = FakeSource(in_turn(page([version(1)], "a"), page([])))

    def full(_: PageRead) -> None:
        raise LandingError("disk full")

    with pytest.raises(LandingError, match="disk full"):
        read_scopes({SCOPE: scope_calls(source)}, full, streams(5))
    assert len(source.asked) == 1


def test_stop_between_pages_leaves_a_checkpoint_to_go_on_from() -> None:
    """After a stop no call begins, and the listing can continue later from the last page's checkpoint."""
    stop, pages = Stop(), list[PageRead]()

    def stopping(page_read: PageRead) -> None:
        pages.append(page_read)
        stop.request(15)

    source = FakeSource(in_turn(page([version(1)], "a"), page([version(2)])))
    read_scopes({SCOPE: scope_calls(source, stop=stop)}, stopping, streams(3), stop=stop)
    assert (len(source.asked), pages[-1].checkpoint.next_token) == (1, "a")
    assert numbers(read(source, [pages[-1].checkpoint])) == [2]


def test_stop_does_not_wait_for_a_call_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop ends the run even while one call hangs."""
    monkeypatch.setattr(workers, "_GRACE_SECONDS", 0.01)
    monkeypatch.setattr(workers, "_POLL_SECONDS", 0.01)
    stop, hanging, released = Stop(), threading.Event(), threading.Event()

    def answering(_: str, parameters: Any) -> Answer[Any]:
        if parameters["ImageName"] == "image-0":
            hanging.set()
            released.wait(30)
        else:
            assert hanging.wait(30)
            stop.request(15)
        return page([])

    source = FakeSource(answering)
    try:
        read_scopes({SCOPE: scope_calls(source, stop=stop)}, lambda _: None, streams(9), stop=stop, threads=2)
        assert not released.is_set()
        assert len(source.asked) <= 3
    finally:
        released.set()


def test_concurrent_streams_lose_no_page() -> None:
    """With 16 threads, every page of every stream reaches the sink, in the order of its stream."""

    def answering(_: str, parameters: Any) -> Answer[Any]:
        number = int(parameters.get("NextToken", "0"))
        return page([version(number + 1)], str(number + 1) if number < 4 else None)

    pages, lock = dict[str, list[int]](), threading.Lock()

    def sink(each: PageRead) -> None:
        with lock:
            pages.setdefault(each.checkpoint.stream.image_name, []).extend(numbers([each]))

    read_scopes({SCOPE: scope_calls(FakeSource(answering))}, sink, streams(60), threads=16)
    assert pages == {f"image-{number}": [1, 2, 3, 4, 5] for number in range(60)}


def test_resumed_run_goes_on_where_it_was() -> None:
    """In a resumed run, streams begin, continue or stay finished, as they were landed; an old token is dropped."""
    going = read(FakeSource(in_turn(page([version(1)], "a"), page([version(2)]))))
    names = ["new", "going", "done"]
    landed = {
        Stream(SCOPE, "going"): going[0].checkpoint,
        Stream(SCOPE, "done"): going[-1].checkpoint,
    }
    live = list(resumed(map(planned, names), landed, tokens_live=True))
    assert live == [begin(planned("new")), going[0].checkpoint, going[-1].checkpoint]
    aged = list(resumed(map(planned, names), landed, tokens_live=False))
    assert aged == [begin(planned("new")), read_again(going[0].checkpoint), going[-1].checkpoint]
