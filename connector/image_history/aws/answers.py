"""Reads one answer of AWS, validates it, and checks that it belongs to the request.

Must not import botocore, and must not know retry, pages or streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from image_history.aws.bodies import (
    AliasesBody,
    Answer,
    DescribedImage,
    Image,
    ImagesBody,
    ImageVersion,
    ImageVersionsBody,
    decode_body,
)
from image_history.aws.catalog import partition_of
from image_history.aws.server_time import http_date
from image_history.errors import MalformedResponseError

_NO_ARN = "None"


def read_answer(operation: str, status: int, headers: Mapping[str, str], body: bytes) -> Answer[Any]:
    """Decode and validate a success. MalformedResponseError if it is invalid."""
    request_id = headers.get("x-amzn-requestid")
    try:
        return _answer(operation, status, headers, body)
    except MalformedResponseError as error:
        # AWS's support asks for the request id first; the answer of a proxy has none.
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


@dataclass(frozen=True, slots=True)
class Owner:
    """The region and account to which an answer must belong; `account_id` is None while it is unknown."""

    region: str
    account_id: str | None = None

    def prefix(self, arns: Iterable[str]) -> str:
        """How every ARN must begin, in lower case. Unknown parts are taken from the first ARN."""
        partition, account_id = partition_of(self.region), self.account_id
        if partition is None or account_id is None:
            parts = [*next((arn for arn in arns if arn != _NO_ARN), "").split(":"), *[""] * 5]
            partition, account_id = partition or parts[1], account_id or parts[4]
        return f"arn:{partition}:sagemaker:{self.region}:{account_id}:".lower()


def require_subject(
    operation: str, parameters: Mapping[str, object], answer: Answer[Any], owner: Owner
) -> str | None:
    """The account of an answer; MalformedResponseError unless it is the owner's, and about the requested subject.

    AWS may write a name in lower case in ARNs, and the text None for an ARN. A damaged ARN is still a text, so no
    other check would notice it.
    """
    body, image_name = answer.body, str(parameters.get("ImageName", ""))
    right = True
    versions: Sequence[ImageVersion] = ()
    images: Sequence[Image] = ()
    if isinstance(body, ImagesBody):
        images = body.Images
    elif isinstance(body, ImageVersionsBody):
        versions = body.ImageVersions
    elif isinstance(body, DescribedImage):
        images, right = (body,), body.ImageName == image_name
    elif not isinstance(body, AliasesBody):  # bare names, which do not say whose they are
        versions, right = (body,), body.Version == parameters.get("Version", body.Version)
    arns = [image.ImageArn for image in images] or [row.ImageArn for row in versions]
    begins = owner.prefix(arns)
    odd = arns[0] if not right else _odd_image(images, begins) or _odd_version(versions, image_name, begins)
    if odd is not None:
        raise MalformedResponseError(
            f"{operation} answered with the ARN {odd!r}, which is not what was asked for "
            f"(request id {answer.request_id})",
            operation=operation,
            request_id=answer.request_id,
        )
    return begins.split(":")[4] or None


def _odd_image(images: Sequence[Image], begins: str) -> str | None:
    return _first_odd((image.ImageArn, f"{begins}image/{image.ImageName.lower()}") for image in images)


def _odd_version(rows: Sequence[ImageVersion], image_name: str, begins: str) -> str | None:
    name = image_name.lower()
    # Each text is checked once: a page of a hundred versions repeats one ARN of their image.
    arns = dict.fromkeys(row.ImageArn for row in rows)
    stem = f"{begins}image-version/{name}/"
    return _first_odd((arn, f"{begins}image/{name}") for arn in arns) or _first_odd(
        (row.ImageVersionArn, f"{stem}{row.Version}") for row in rows
    )


def _first_odd(arns: Iterable[tuple[str, str]]) -> str | None:
    """The first ARN that differs from the expected one."""
    return next((arn for arn, right in arns if arn.lower() != right and arn != _NO_ARN), None)
