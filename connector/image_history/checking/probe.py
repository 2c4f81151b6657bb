"""Observes how AWS behaves where it is not documented, on one image, with requests that only read.

Each experiment is a function from the subject to its observations. If the image cannot answer a question, the answer
is "not tested", with the reason: nothing is guessed. Must not know boto3, or how it is shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from image_history.aws.bodies import ImageVersion, epoch_ms
from image_history.checking.subject import (
    CREATED,
    FIELDS,
    MODIFIED,
    NOBODY,
    Field,
    Question,
    Subject,
    numbers,
)
from image_history.counting import counted
from image_history.hints.resting import LAG_MS

NOT_TESTED = "not tested"
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_EPOCH = 0


@dataclass(frozen=True, slots=True)
class Observation:
    """One question, its answer, and the evidence, which names no account and no image."""

    question: str
    answer: str
    evidence: str


Experiment = Callable[[Subject], Iterator[Observation]]


def observe(subject: Subject) -> tuple[Observation, ...]:
    """Run all experiments, one after the other, at the scope's pace.

    Raises a TransientError or a FatalError of the calls; a refusal is an observation.
    """
    loaded = subject.loaded()
    return tuple(observation for experiment in _EXPERIMENTS for observation in experiment(loaded))


def _not_tested(question: str, why: str) -> Observation:
    return Observation(question, NOT_TESTED, why)


def _version_numbers(subject: Subject) -> Iterator[Observation]:
    found = numbers(subject.rows)
    if not found:
        yield _not_tested("version numbers", "the image has no version")
        return
    gaps = found[-1] - found[0] + 1 - len(found)
    answer = "without gaps" if not gaps else f"{gaps:,} missing between the first and the last"
    part = "" if subject.whole else " of those that were read"
    yield Observation("version numbers", answer, f"{len(found):,}{part}, from {found[0]} to {found[-1]}")


def _defaults(subject: Subject) -> Iterator[Observation]:
    page = subject.ask(Question())
    if page.token is None:
        yield _not_tested(
            "default page size", f"{counted(len(page.rows), 'version')} came at once, and no more follow"
        )
    else:
        yield Observation("default page size", counted(len(page.rows), "row"), "a request without MaxResults")
    times = [CREATED.ms(row) for row in page.rows]
    if len(set(times)) < 2:  # noqa: PLR2004 - an order needs two
        yield _not_tested("default order", "the versions differ too little in CreationTime")
        return
    newest_first = times == sorted(times, reverse=True)
    answer = "newest creation first" if newest_first else "another than newest creation first"
    yield Observation("default order", answer, "a request without SortBy and SortOrder")


def _filter_paging(subject: Subject) -> Iterator[Observation]:
    for field in FIELDS:
        yield _paging_of(subject, field)


def _paging_of(subject: Subject, field: Field) -> Observation:
    """Request one row, where the first row in the order is older than the filter allows."""
    question = f"filter and pages, {field.name}After"
    by_number = subject.rows
    by_time = sorted(subject.rows, key=field.ms)
    for rows, sort_by in ((by_number, "VERSION"), (by_time, field.sort_by)):
        after = _between(rows, field)
        if after is not None:
            requested = replace(field.question(after=after), sort_by=sort_by, page_size=1)
            page = subject.ask(requested)
            break
    else:
        return _not_tested(
            question, f"no version is a second or more younger than the first, by {field.name}"
        )
    evidence = f"MaxResults 1 by {sort_by}, where the first row is too old"
    if page.refusal is not None:
        return Observation(question, "refused", page.refusal)
    if any(field.ms(row) < after * 1000 for row in page.rows):
        return Observation(question, "the filter is ignored", f"{evidence}: that row came")
    if page.rows:
        return Observation(
            question, "filtered before paging", f"{evidence}: the next that is young enough came"
        )
    answer = "filtered after paging" if page.token is not None else "an empty end"
    return Observation(
        question, answer, f"{evidence}: no row came, {'and' if page.token else 'without'} a token"
    )


def _between(rows: Sequence[ImageVersion], field: Field) -> int | None:
    """A whole second after the first row's time, and before another's; None if there is none."""
    if not rows:
        return None
    after = field.ms(rows[0]) // 1000 + 1
    return after if any(field.ms(row) > after * 1000 for row in rows) else None


def _filter_bounds(subject: Subject) -> Iterator[Observation]:
    for field in FIELDS:
        for bound in ("After", "Before"):
            yield _bound_of(subject, field, bound)


def _bound_of(subject: Subject, field: Field, bound: str) -> Observation:
    """Use the exact time of a version as the limit, if that time is a whole second."""
    question = f"bound, {field.name}{bound}"
    exact = [row for row in subject.rows if field.ms(row) % 1000 == 0]
    if not exact:
        return _not_tested(question, f"no version has a {field.name} on a whole second")
    edge = max(exact, key=field.ms) if bound == "After" else min(exact, key=field.ms)
    limit = field.ms(edge) // 1000
    if not any(_beyond(field.ms(row), limit * 1000, bound) for row in subject.rows):
        return _not_tested(question, "no version lies beyond one whose time is a whole second")
    requested = field.question(after=limit) if bound == "After" else field.question(before=limit)
    found = subject.read(requested)
    evidence = f"the limit was the time of a version, to the millisecond; {counted(len(found), 'row')} came"
    if any(_beyond(field.ms(row), limit * 1000, bound) for row in found):
        return Observation(question, "the filter is ignored", evidence)
    inside = any(row.Version == edge.Version for row in found)
    return Observation(question, "inclusive" if inside else "exclusive", evidence)


def _beyond(time_ms: int, limit_ms: int, bound: str) -> bool:
    return time_ms < limit_ms if bound == "After" else time_ms > limit_ms


def _ties(subject: Subject) -> Iterator[Observation]:
    for field in FIELDS:
        yield _ties_of(subject, field)


def _ties_of(subject: Subject, field: Field) -> Observation:
    question = f"order within ties of {field.sort_by}"
    times = [field.ms(row) for row in subject.rows]
    tied = {time for time in times if times.count(time) > 1}
    if not tied or not subject.whole:
        return _not_tested(
            question, f"no two versions that were read share a {field.name}, or not all were read"
        )
    smaller = max(1, math.ceil(len(subject.rows) / 3))
    orders = [
        _tied(subject.read(replace(field.question(), page_size=size)), field, tied)
        for size in (100, 100, min(100, smaller))
    ]
    found = f"{counted(len(orders[0]), 'version')} in {counted(len(tied), 'tie')}"
    evidence = f"{found}, read thrice, with pages of two sizes"
    if orders[0] != orders[1] or orders[0] != orders[2]:
        return Observation(question, "not stable", evidence)
    return Observation(question, f"stable, {_direction(orders[0])}", evidence)


def _tied(rows: Sequence[ImageVersion], field: Field, tied: set[int]) -> list[tuple[int, int]]:
    """Time and number of the versions that share their time with another, in the order in which they came."""
    return [(field.ms(row), row.Version) for row in rows if field.ms(row) in tied]


def _direction(order: list[tuple[int, int]]) -> str:
    if order == sorted(order):
        return "by ascending version"
    if order == sorted(order, key=lambda each: (each[0], -each[1])):
        return "by descending version"
    return "in no order of versions"


_FIRST = Question("VERSION", "ASCENDING", 1)


def _tokens(subject: Subject) -> Iterator[Observation]:
    first = subject.ask(_FIRST)
    if first.token is None:
        yield _not_tested("tokens", "the image has fewer than two versions")
        return
    kind = "base64" if _BASE64.fullmatch(first.token) else "other characters than base64"
    again = subject.ask(_FIRST)
    same = "the same for the same request" if again.token == first.token else "another for each answer"
    yield Observation("token", counted(len(first.token), "character"), f"{kind}; {same}")
    pages = [subject.ask(_FIRST, first.token) for _ in range(2)]
    if pages[1].refusal is not None:
        yield Observation("token used twice", "refused", pages[1].refusal)
    else:
        equal = "the same rows" if pages[0].numbers == pages[1].numbers else "other rows"
        yield Observation("token used twice", "accepted", equal)
    yield from _bindings(subject, first.token)
    damaged = subject.ask(_FIRST, f"{first.token[:-6]}AAAAAA")
    yield Observation("damaged token", "refused" if damaged.refusal else "accepted", damaged.refusal or "")


def _bindings(subject: Subject, token: str) -> Iterator[Observation]:
    """Which requests accept a token, other than the one that it came from."""
    changed = {
        "MaxResults": replace(_FIRST, page_size=2),
        "SortOrder": replace(_FIRST, sort_order="DESCENDING"),
        "SortBy": replace(_FIRST, sort_by="CREATION_TIME"),
        "filter": replace(_FIRST, modified_after=_EPOCH),
    }
    for name, question in changed.items():
        refusal = subject.ask(question, token).refusal
        yield Observation(f"token with another {name}", "refused" if refusal else "accepted", refusal or "")
    if subject.others:
        refusal = subject.ask(_FIRST, token, image_name=subject.others[0]).refusal
        yield Observation("token with another image", "refused" if refusal else "accepted", refusal or "")


def _absences(subject: Subject) -> Iterator[Observation]:
    """How AWS answers for what does not exist, and whether Describe finds a version that the list lacks."""
    calls = subject.calls
    listed = subject.ask(Question(page_size=1), image_name=NOBODY).refusal
    yield Observation(
        "no such image, ListImageVersions", "refused" if listed else "an empty list", listed or ""
    )
    said = subject.attempt(lambda: calls.describe_image(NOBODY))
    answer = "refused" if isinstance(said, str) else "found"
    yield Observation("no such image, DescribeImage", answer, said if isinstance(said, str) else "")
    if not subject.rows or not subject.whole:
        yield _not_tested("list behind Describe", "not all versions were read")
        return
    following = subject.rows[-1].Version + 1
    answered = subject.attempt(lambda: calls.describe_image_version(subject.image_name, following))
    if isinstance(answered, str):
        yield Observation("no such version, DescribeImageVersion", "refused", answered)
        yield Observation("list behind Describe", "no", "Describe knows no version after the last one listed")
    else:
        yield Observation("list behind Describe", "yes", "Describe knows a version that the list lacks")


def _arns(subject: Subject) -> Iterator[Observation]:
    name = next((each for each in (subject.image_name, *subject.others) if each != each.lower()), None)
    if name is None:
        yield _not_tested("case in ARNs", "no image's name has a capital letter")
        return
    rows = subject.ask(Question(page_size=1), image_name=name).rows
    if not rows:
        yield _not_tested("case in ARNs", "the image with capital letters in its name has no version")
        return
    for what, arn in (("ImageArn", rows[0].ImageArn), ("ImageVersionArn", rows[0].ImageVersionArn)):
        yield Observation(f"case in {what}", _case(arn, name), "of an image with capital letters in its name")


def _case(arn: str, name: str) -> str:
    if arn == "None":
        return "the text None"
    if f"/{name}" in arn:
        return "as in the name"
    return "lower case" if f"/{name.lower()}" in arn else "neither as in the name nor lower case"


def _details(subject: Subject) -> Iterator[Observation]:
    """Whether Describe returns the same times as the list."""
    if not subject.rows:
        return
    row = subject.rows[-1]
    answer = subject.attempt(lambda: subject.calls.describe_image_version(subject.image_name, row.Version))
    if isinstance(answer, str):
        yield Observation("times of Describe and list", "refused", answer)
        return
    same = all(field.ms(answer.body) == field.ms(row) for field in (MODIFIED, CREATED))
    yield Observation(
        "times of Describe and list", "the same" if same else "different", "of the last version"
    )


_IMAGE_TIME = "image's LastModifiedTime after a new version"


def _image_time(subject: Subject) -> Iterator[Observation]:
    """Whether a new version moves its image's time in the list of images, as hints.trust_image_time assumes."""
    image = subject.image
    if image is None or not subject.rows or not subject.whole:
        yield _not_tested(_IMAGE_TIME, "not all versions were read")
        return
    newest = max(subject.rows, key=CREATED.ms)
    made_ms, moved_ms = CREATED.ms(newest), epoch_ms(image.LastModifiedTime)
    if made_ms <= epoch_ms(image.CreationTime) + LAG_MS:
        yield _not_tested(_IMAGE_TIME, "the last version was created together with the image")
    elif moved_ms < made_ms and made_ms + LAG_MS <= subject.listed_ms:
        yield Observation(_IMAGE_TIME, "as before", "older than the last version in ListImages")
    elif made_ms <= moved_ms <= MODIFIED.ms(newest) + LAG_MS:
        yield Observation(_IMAGE_TIME, "moved", "that of the last version in ListImages")
    else:
        yield _not_tested(_IMAGE_TIME, "the image was changed otherwise since its last version")


_EXPERIMENTS: tuple[Experiment, ...] = (
    _version_numbers,
    _defaults,
    _filter_paging,
    _filter_bounds,
    _ties,
    _tokens,
    _absences,
    _arns,
    _details,
    _image_time,
)
