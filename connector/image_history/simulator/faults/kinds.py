"""Every kind of fault by its name, with what it does and whether a client should repeat the request.

A table and nothing else; knows nothing of when a fault is made.
"""

from __future__ import annotations

from dataclasses import dataclass

from image_history.simulator.faults import altered, transport
from image_history.simulator.faults.altered import Alteration
from image_history.simulator.faults.transport import Breakage


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault: what it does to the connection, to the answer, or to the time of the state in the answer.

    `repeated` says that the same request may succeed when it is repeated. For kinds that only delay the answer
    (stall, drip) that depends on the client's timeout.
    """

    meaning: str
    breaks: Breakage | None = None
    alters: Alteration | None = None
    remembers: str | None = None
    repeated: bool = True


_BROKEN = {
    "close": Kind("the connection is closed before any byte", transport.close),
    "reset": Kind("the connection is reset before any byte", transport.reset),
    "half_then_reset": Kind("half of the body, then a reset", transport.half_then_reset),
    "short_body": Kind("a byte less than Content-Length says, and a clean end", transport.short_body),
    "cut_chunk": Kind("a chunked body that is cut", transport.cut_chunk),
    "garbage": Kind("bytes that are no HTTP", transport.garbage),
    "status_line_only": Kind("a success that ends after its status line", transport.status_line_only),
    "stall": Kind("silence before the answer", transport.stall),
    "stall_in_body": Kind("silence within the body", transport.stall_in_body),
    "drip": Kind("the body byte by byte", transport.drip),
}

_MALFORMED: dict[str, tuple[str, Alteration]] = {
    "html": ("the page of a captive portal", altered.html),
    "cut_json": ("half of the JSON", altered.cut_json),
    "empty_body": ("no body", altered.body(b"")),
    "empty_object": ("an object without members", altered.body(b"{}")),
    "null_body": ("null", altered.body(b"null")),
    "list_body": ("a list", altered.body(b"[]")),
    "no_request_id": ("a success without a request id", altered.without_request_id),
    "null_list": ("null for the list", altered.the_list(lambda _: None)),
    "object_list": ("an object for the list", altered.the_list(lambda _: {})),
    "null_item": ("null among the rows", altered.the_list(lambda rows: [*rows, None])),
    "missing_member": ("a row without its LastModifiedTime", altered.missing_member),
    "version_text": ("a version that is a text", altered.member("Version", "7")),
    "version_fraction": ("a version that is a fraction", altered.member("Version", 1.5)),
    "version_huge": ("a version of 2^40", altered.member("Version", 2**40)),
    "invalid_utf8": ("a text that is no UTF-8", altered.member("ImageArn", b'"arn:\xff\xfe"')),
    "time_nan": ("an instant of NaN", altered.member("CreationTime", b"NaN")),
    "time_infinity": ("an instant of Infinity", altered.member("CreationTime", b"Infinity")),
    "time_milliseconds": ("an instant in milliseconds", altered.member("CreationTime", 1_666_064_247_561)),
    "time_true": ("an instant of true", altered.member("CreationTime", value=True)),
    "arn_bit_flip": ("one wrong bit in an ARN", altered.arn_bit_flip),
    "token_too_long": ("a token of 8,193 characters", altered.token_too_long),
}

_REFUSED: dict[str, tuple[str, Alteration]] = {
    "throttling": (
        "400 ThrottlingException",
        altered.error("ThrottlingException", message="Rate exceeded"),
    ),
    "too_many_requests": ("400 TooManyRequestsException", altered.error("TooManyRequestsException")),
    "status_429": ("429 without a code", altered.status(429)),
    "status_408": ("408 without a code", altered.status(408)),
    "status_509": ("509 without a code", altered.status(509)),
    "internal_failure": ("500 InternalFailure", altered.error("InternalFailure", 500)),
    "bad_gateway": (
        "502 with a page of HTML",
        altered.status(
            502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", {"Content-Type": "text/html"}
        ),
    ),
    "unavailable": ("503 without a body", altered.status(503)),
    "retry_after": ("503 that asks for a wait", altered.retry_after),
    "gateway_timeout": ("504", altered.status(504)),
}

_BELIEVED = {
    "same_token": Kind("a page with the token that asked for it", alters=altered.same_token, repeated=False),
    "token_cycle": Kind("tokens that go A, B, A, B", remembers="cycle", repeated=False),
    "token_none": Kind("a token that is the text None", alters=altered.token_none, repeated=False),
    "token_expired": Kind("the refusal of a token", alters=altered.token_expired, repeated=False),
    "date_skew": Kind("a Date that is ahead", alters=altered.date_skew, repeated=False),
    "future_time": Kind("a LastModifiedTime in the future", alters=altered.in_future, repeated=False),
    "past_time": Kind("a LastModifiedTime that goes back", alters=altered.in_past, repeated=False),
    "expired_credentials": Kind(
        "ExpiredTokenException", alters=altered.error("ExpiredTokenException"), repeated=False
    ),
    "unknown_credentials": Kind(
        "UnrecognizedClientException", alters=altered.error("UnrecognizedClientException"), repeated=False
    ),
    "request_expired": Kind(
        "RequestExpired with a Date behind", alters=altered.request_expired, repeated=False
    ),
    "access_denied": Kind(
        "AccessDeniedException",
        alters=altered.error("AccessDeniedException", message="User is not authorized"),
        repeated=False,
    ),
    "rows_omitted": Kind("a list that lacks rows", alters=altered.rows_omitted, repeated=False),
    "list_lag": Kind("a list as it was some seconds ago", remembers="lag", repeated=False),
    "unknown_status": Kind("a status of next year", alters=altered.unknown_status, repeated=False),
    "unknown_member": Kind("a member of next year", alters=altered.unknown_member, repeated=False),
}

KINDS: dict[str, Kind] = {
    **_BROKEN,
    **{name: Kind(meaning, alters=alters) for name, (meaning, alters) in (_MALFORMED | _REFUSED).items()},
    **_BELIEVED,
}

REPEATED = tuple(name for name, kind in KINDS.items() if kind.repeated)
