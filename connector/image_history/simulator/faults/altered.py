"""Faults inside an answer: it is complete HTTP, but its content is one that the service should never send.

Pure functions of an exchange; each returns None for an exchange that it cannot damage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from email.utils import formatdate, parsedate_to_datetime
from math import ceil
from typing import TYPE_CHECKING, Any

import msgspec

from image_history.simulator.protocol import JSON_TYPE, AwsError, error_body

if TYPE_CHECKING:
    from image_history.simulator.faults.rules import FaultRule
    from image_history.simulator.server import Exchange

Alteration = Callable[["Exchange", "FaultRule"], "Exchange | None"]

LISTS = {"ListImageVersions": "ImageVersions", "ListImages": "Images"}
_OK = 200
_HTML = {"Content-Type": "text/html"}
_HOTEL = b"<html><head><title>Welcome</title></head><body>Accept our terms to go online.</body></html>"
_TOKEN_CHARACTERS = 8193
_HOUR = 3600.0
_DAY = 86_400.0
_SKEW = 1200.0
_RETRY_AFTER = 7.0


def body(content: bytes, headers: Mapping[str, str] | None = None) -> Alteration:
    """A success with this body, in place of any other success."""

    def alter(exchange: Exchange, _: FaultRule) -> Exchange | None:
        if exchange.status != _OK:
            return None
        return replace(exchange, headers={**exchange.headers, **(headers or {})}, body=content)

    return alter


html = body(_HOTEL, _HTML)


def cut_json(exchange: Exchange, _: FaultRule) -> Exchange | None:
    """The first half of the JSON, with a Content-Length to match."""
    return (
        replace(exchange, body=exchange.body[: len(exchange.body) // 2]) if exchange.status == _OK else None
    )


def without_request_id(exchange: Exchange, _: FaultRule) -> Exchange | None:
    """A success without a request id, which cannot come from an AWS service."""
    if exchange.status != _OK:
        return None
    kept = {name: text for name, text in exchange.headers.items() if name.lower() != "x-amzn-requestid"}
    return replace(exchange, headers=kept)


def the_list(change: Callable[[list[Any]], object]) -> Alteration:
    """A list answer with another value in place of its list."""

    def alter(exchange: Exchange, _: FaultRule) -> Exchange | None:
        name = LISTS.get(exchange.operation)
        if name is None or exchange.status != _OK:
            return None
        answer = msgspec.json.decode(exchange.body)
        return _with_body(exchange, {**answer, name: change(answer[name])})

    return alter


def _rows(exchange: Exchange, answer: Any) -> list[dict[str, Any]]:
    """The rows of a list answer; the answer of a Describe call is one row."""
    name = LISTS.get(exchange.operation)
    rows: list[dict[str, Any]] = [answer] if name is None else answer[name]
    return rows


def member(name: str, value: object, *, row: int = 0) -> Alteration:
    """One row with another value of one member; bytes are inserted unchanged."""
    return changed(name, lambda *_: value, row=row)


def changed(name: str, change: Callable[[dict[str, Any], FaultRule], object], *, row: int = 0) -> Alteration:
    """One row with a member's value computed from the row; only rows that have the member."""

    def alter(exchange: Exchange, rule: FaultRule) -> Exchange | None:
        if exchange.status != _OK:
            return None
        answer = msgspec.json.decode(exchange.body)
        rows = _rows(exchange, answer)
        if not rows or name not in rows[row]:
            return None
        value = change(rows[row], rule)
        rows[row][name] = msgspec.Raw(value) if isinstance(value, bytes) else value
        return _with_body(exchange, answer)

    return alter


def missing_member(exchange: Exchange, _: FaultRule) -> Exchange | None:
    """A row that lacks its LastModifiedTime."""
    answer = msgspec.json.decode(exchange.body) if exchange.status == _OK else {}
    rows = _rows(exchange, answer) if answer else []
    if not rows or rows[0].pop("LastModifiedTime", None) is None:
        return None
    return _with_body(exchange, answer)


def unknown_member(exchange: Exchange, _: FaultRule) -> Exchange | None:
    """A row with a member that no client knows yet."""
    answer = msgspec.json.decode(exchange.body) if exchange.status == _OK else {}
    rows = _rows(exchange, answer) if answer else []
    if not rows:
        return None
    rows[0]["ArchivedBy"] = {"Reason": "a member of next year", "Days": [1, 2]}
    return _with_body(exchange, answer)


def unknown_status(exchange: Exchange, rule: FaultRule) -> Exchange | None:
    """A row with a status that no client knows yet."""
    name = "ImageVersionStatus" if "Version" in exchange.operation else "ImageStatus"
    return member(name, "ARCHIVED")(exchange, rule)


def arn_bit_flip(exchange: Exchange, rule: FaultRule) -> Exchange | None:
    """One bit of one ARN is wrong, in the name at its end; ARNs without a name are left unchanged."""
    name = "ImageVersionArn" if "Version" in exchange.operation else "ImageArn"

    def flipped(row: dict[str, Any], _: FaultRule) -> str:
        stem, slash, named = str(row[name]).partition("/")
        return f"{stem}{slash}{chr(ord(named[0]) ^ 1)}{named[1:]}" if slash else stem

    found = changed(name, flipped)(exchange, rule)
    return found if found is not None and found.body != exchange.body else None


def shifted(name: str, default_seconds: float, *, row: int) -> Alteration:
    """A row with an instant moved by the rule's seconds."""

    def change(found: dict[str, Any], rule: FaultRule) -> float:
        seconds = abs(default_seconds) if rule.seconds is None else rule.seconds
        return round(float(found[name]) + (seconds if default_seconds > 0 else -seconds), 3)

    return changed(name, change, row=row)


def error(code: str, status: int = 400, message: str = "") -> Callable[[Exchange, FaultRule], Exchange]:
    """A refusal in place of any answer."""

    def alter(exchange: Exchange, _: FaultRule) -> Exchange:
        refused = error_body(AwsError(code, message or f"{code} by a fault"))
        headers = {**exchange.headers, "Content-Type": JSON_TYPE}
        return replace(exchange, status=status, headers=headers, body=refused)

    return alter


def status(
    number: int, content: bytes = b"", headers: Mapping[str, str] | None = None
) -> Callable[[Exchange, FaultRule], Exchange]:
    """A bare HTTP status, as a proxy or a load balancer gives it."""

    def alter(exchange: Exchange, _: FaultRule) -> Exchange:
        return replace(exchange, status=number, headers={**exchange.headers, **(headers or {})}, body=content)

    return alter


def retry_after(exchange: Exchange, rule: FaultRule) -> Exchange:
    """A 503 that requests a wait, with both of AWS's headers."""
    seconds = _RETRY_AFTER if rule.seconds is None else rule.seconds
    headers = {"Retry-After": str(ceil(seconds)), "x-amz-retry-after": str(ceil(seconds * 1000))}
    return status(503, headers=headers)(exchange, rule)


def date_skew(exchange: Exchange, rule: FaultRule) -> Exchange:
    """An answer whose Date is ahead by the rule's seconds, an hour by default."""
    return _dated(exchange, _HOUR if rule.seconds is None else rule.seconds)


def request_expired(exchange: Exchange, rule: FaultRule) -> Exchange:
    """The refusal of a request with a wrong clock, with a Date that is behind, 20 minutes by default."""
    seconds = _SKEW if rule.seconds is None else rule.seconds
    refused = error("RequestExpired", 400, "Request has expired")(exchange, rule)
    return _dated(refused, -seconds)


def _dated(exchange: Exchange, seconds: float) -> Exchange:
    moment = parsedate_to_datetime(exchange.headers["Date"]).timestamp() + seconds
    return replace(exchange, headers={**exchange.headers, "Date": formatdate(moment, usegmt=True)})


def request_token(exchange: Exchange) -> str | None:
    """The token that the request carried."""
    token = msgspec.json.decode(exchange.request_body).get("NextToken")
    return None if token is None else str(token)


def given_token(exchange: Exchange) -> str | None:
    """The token that the answer carries."""
    if exchange.status != _OK or exchange.operation not in LISTS:
        return None
    token = msgspec.json.decode(exchange.body).get("NextToken")
    return None if token is None else str(token)


def with_token(exchange: Exchange, token: str | None) -> Exchange | None:
    """A page with a wrong token for the next page; only for pages that have one."""
    if token is None or given_token(exchange) in (None, token):
        return None
    return _with_body(exchange, {**msgspec.json.decode(exchange.body), "NextToken": token})


def same_token(exchange: Exchange, _: FaultRule) -> Exchange | None:
    """A page whose token is the one with which it was requested."""
    return with_token(exchange, request_token(exchange))


def token_none(exchange: Exchange, _: FaultRule) -> Exchange | None:
    """A page whose token is the text None."""
    return with_token(exchange, "None")


def token_too_long(exchange: Exchange, _: FaultRule) -> Exchange | None:
    """A page whose token is longer than AWS allows one to be."""
    return with_token(exchange, "x" * _TOKEN_CHARACTERS)


def token_expired(exchange: Exchange, rule: FaultRule) -> Exchange | None:
    """The refusal of a token, for requests that carry one."""
    if request_token(exchange) is None:
        return None
    return error("ValidationException", 400, "Invalid pagination token.")(exchange, rule)


def rows_omitted(exchange: Exchange, rule: FaultRule) -> Exchange | None:
    """A list that lacks some existing rows: those of the rule, or the last one of the page."""
    name = LISTS.get(exchange.operation)
    if name is None or exchange.status != _OK:
        return None
    answer = msgspec.json.decode(exchange.body)
    rows = answer[name]
    kept = [row for row in rows if _identity(row) not in rule.rows] if rule.rows else rows[:-1]
    return _with_body(exchange, {**answer, name: kept}) if len(kept) < len(rows) else None


def _identity(row: dict[str, Any]) -> int | str:
    identity: int | str = row["Version"] if "Version" in row else row["ImageName"]
    return identity


def _with_body(exchange: Exchange, answer: object) -> Exchange:
    return replace(exchange, body=msgspec.json.encode(answer))


in_future = shifted("LastModifiedTime", _DAY, row=0)
in_past = shifted("LastModifiedTime", -_DAY, row=-1)
