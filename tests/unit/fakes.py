"""A source of answers without HTTP, for tests of code that works on answers.

Must not know what is tested.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from image_history.aws.bodies import Answer, Image, ImagesBody, ImageVersion, ImageVersionsBody
from image_history.errors import FatalError
from image_history.extract.calls import Pace, ScopeCalls
from image_history.extract.extractor import Extractor
from image_history.extract.pace import Pacer
from image_history.extract.retry import RetryPolicy
from image_history.listing.pages import Sink
from image_history.model import Checkpoint, Scope, Stop

DATE_MS = 1_795_435_200_000
Parameters = Mapping[str, Any]
Answering = Callable[[str, Parameters], Answer[Any]]


def version(number: int, *, modified_ms: int | None = None, status: str = "CREATED") -> ImageVersion:
    """One well-formed item; by default each version is modified one second after the version before it."""
    modified = number * 1000 if modified_ms is None else modified_ms
    arn = f"arn:aws:sagemaker:us-east-1:111122223333:image-version/base/{number}"
    return ImageVersion(number, arn, arn, status, 0.0, modified / 1000)


def image(name: str, account_id: str = "111122223333") -> Image:
    """One well-formed image."""
    arn = f"arn:aws:sagemaker:us-east-1:{account_id}:image/{name.lower()}"
    return Image(name, arn, "CREATED", 0.0, 0.0)


def answer(body: Any, date_ms: int = DATE_MS) -> Answer[Any]:
    """An answer as it is after validation."""
    return Answer(body, "request-id", date_ms, 100)


def page(rows: Sequence[ImageVersion], token: str | None = None, date_ms: int = DATE_MS) -> Answer[Any]:
    """One page of versions."""
    return answer(ImageVersionsBody(tuple(rows), token), date_ms)


def images_page(names: Sequence[str], token: str | None = None, date_ms: int = DATE_MS) -> Answer[Any]:
    """One page of images."""
    return answer(ImagesBody(tuple(map(image, names)), token), date_ms)


class FakeSource:
    """Answers each call with the result of a function, and records the calls."""

    def __init__(self, answering: Answering, where: str = "profile test in us-east-1") -> None:
        self.where = where
        self.account_id: str | None = None
        self.repeated: Callable[[str], object] = lambda _: None
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._answering = answering
        self._lock = threading.Lock()

    def call(self, operation: str, parameters: Parameters) -> Answer[Any]:
        """Answer one call."""
        with self._lock:
            self.asked.append((operation, dict(parameters)))
        return self._answering(operation, parameters)

    def operations(self) -> list[str]:
        """The operations, in the order of the calls."""
        return [operation for operation, _ in self.asked]


def in_turn(*results: Answer[Any] | Exception) -> Answering:
    """Return these results one after another, then repeat the last one; an exception is raised."""
    left = list(results)

    def answering(_: str, __: Parameters) -> Answer[Any]:
        result = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(result, Exception):
            raise result
        return result

    return answering


def scope_calls(source: FakeSource, *, attempts: int = 1, stop: Stop | None = None) -> ScopeCalls:
    """The calls of a scope, with a pace so high that they do not wait for each other."""
    pace = Pace(lists=Pacer(1e9), describes=Pacer(1e9))
    return ScopeCalls(source, policy=RetryPolicy(attempts), pace=pace, stop=stop or Stop())


def read_scopes(
    scopes: Mapping[Scope, ScopeCalls],
    sink: Sink,
    checkpoints: Iterable[Checkpoint],
    *,
    stop: Stop | None = None,
    threads: int = 1,
) -> Mapping[Scope, FatalError]:
    """Read the streams to their end; returns the error of each scope that was given up."""
    marks = list(checkpoints)
    with Extractor(sink, stop or Stop(), threads=threads) as extractor:
        for scope, calls in scopes.items():
            extractor.begin(scope, calls, [mark for mark in marks if mark.stream.scope == scope])
        return extractor.finish()
