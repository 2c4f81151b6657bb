"""One answer of AWS: read as what it has to be, and held against the request that it answers.

Must not import botocore, and must not know retry, pages or streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from image_history.aws.bodies import (
    AliasesBody,
    Answer,
    DescribedImage,
    ImagesBody,
    ImageVersion,
    ImageVersionsBody,
    decode_body,
)
from image_history.aws.server_time import http_date
from image_history.errors import MalformedResponseError

_NO_ARN = "None"


def read_answer(operation: str, status: int, headers: Mapping[str, str], body: bytes) -> Answer[Any]:
    """A success, held to its types. MalformedResponseError if it is none."""
    request_id = headers.get("x-amzn-requestid")
    try:
        return _answer(operation, status, headers, body)
    except MalformedResponseError as error:
        # What AWS's support asks for first; the proxy that answered in its place has none.
        raise MalformedResponseError(
            f"{error.message} (request id {request_id or 'none'})",
            operation=operation,
            request_id=request_id or "none",
        ) from error


def _answer(operation: str, status: int, headers: Mapping[str, str], body: bytes) -> Answer[Any]:
    request_id = headers.get("x-amzn-requestid")
    if status != HTTPStatus.OK:
        problem = f"HTTP status {status}"
    elif not request_id:
        problem = "no request id"
    else:
        decoded, drift = decode_body(operation, body)
        return Answer(decoded, request_id, _date_ms(operation, headers.get("date")), len(body), drift)
    raise MalformedResponseError(f"{operation} answered with {problem}", operation=operation)


def _date_ms(operation: str, header: str | None) -> int:
    moment = http_date(header)
    if moment is None:
        raise MalformedResponseError(f"{operation} answered without a valid Date", operation=operation)
    return int(moment.timestamp()) * 1000


def require_subject(operation: str, parameters: Mapping[str, object], answer: Answer[Any]) -> None:
    """MalformedResponseError unless an answer is about the image and the version that were asked for.

    In whatever case, the image's name ends every ARN, unless AWS writes the text None for one. A damaged ARN
    is still a text, so nobody else would notice it.
    """
    body, image_name = answer.body, str(parameters.get("ImageName", ""))
    if isinstance(body, ImagesBody):
        odd = next((row.ImageArn for row in body.Images if not _names(row.ImageArn, row.ImageName)), None)
    elif isinstance(body, ImageVersionsBody):
        odd = _odd_arn(body.ImageVersions, image_name)
    elif isinstance(body, DescribedImage):
        right = body.ImageName == image_name and _names(body.ImageArn, image_name)
        odd = None if right else body.ImageArn
    elif isinstance(body, AliasesBody):
        odd = None  # bare names: nothing in them says whose they are
    else:
        right = body.Version == parameters.get("Version", body.Version)
        odd = _odd_arn((body,), image_name) if right else body.ImageVersionArn
    if odd is not None:
        raise MalformedResponseError(
            f"{operation} answered with the ARN {odd!r}, which is not what was asked for "
            f"(request id {answer.request_id})",
            operation=operation,
            request_id=answer.request_id,
        )


def _names(arn: str, tail: str) -> bool:
    return arn == _NO_ARN or arn.lower().endswith(f"/{tail.lower()}")


def _odd_arn(rows: Sequence[ImageVersion], image_name: str) -> str | None:
    """The first ARN that doesn't end in name and number, or that begins otherwise than those before it."""
    tail = f"/{image_name.lower()}"
    # Each text once: a page of a hundred versions has one ARN of their image.
    images = _first_odd((arn, tail) for arn in dict.fromkeys(row.ImageArn for row in rows))
    if images is not None or _in_step(rows, tail):
        return images
    return _first_odd((row.ImageVersionArn, f"{tail}/{row.Version}") for row in rows)


def _in_step(rows: Sequence[ImageVersion], tail: str) -> bool:
    """Whether every ARN is that of the first row but for its number: how a page looks with which nothing is wrong."""
    if not rows:
        return True
    stem = rows[0].ImageVersionArn.removesuffix(str(rows[0].Version))
    return stem.lower().endswith(f"{tail}/") and all(
        row.ImageVersionArn == f"{stem}{row.Version}" for row in rows
    )


def _first_odd(arns: Iterable[tuple[str, str]]) -> str | None:
    stem: str | None = None
    for arn, tail in arns:
        if arn == _NO_ARN:
            continue
        begins = arn[: -len(tail)]
        if not arn.lower().endswith(tail) or stem not in (None, begins):
            return arn
        stem = begins
    return None
