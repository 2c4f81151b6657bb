"""Pagination tokens: opaque, as long as real ones, bound to one request, and with an expiry.

Knows nothing of what is listed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec

from image_history.simulator.protocol import AwsError, Request

_HEADER = b"simulated-tkn\x01"
_SEAL_BYTES = 16
_RAW_BYTES = 468
_KEY = b"image-history simulator tokens"


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a listing continues: after a key (value, identity), or after so many rows (of a snapshot)."""

    value: int | str | None = None
    identity: int | str | None = None
    skip: int = 0
    snapshot: int = 0


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    fingerprint: bytes
    issued_ms: int
    number: int
    position: Position


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Sealed)


class TokenBox:
    """Issues tokens and opens them again.

    Stateless apart from a counter: a token is valid on a later server too, unless it refers to a snapshot.
    """

    def __init__(self) -> None:
        self._issued = 0

    def issue(self, binding: bytes, position: Position, now_ms: int) -> str:
        """Return a new token that is bound to a request."""
        self._issued += 1
        plain = _encoder.encode(_Sealed(binding, now_ms, self._issued, position))
        framed = len(plain).to_bytes(2, "big") + plain
        padded = framed.ljust(_RAW_BYTES - len(_HEADER) - _SEAL_BYTES, b"\0")
        seal = _seal(padded)
        return base64.b64encode(_HEADER + seal + _mask(padded, seal)).decode()

    def open(self, token: str, binding: bytes, now_ms: int, lifetime_seconds: int | None) -> Position:
        """Return the position in a token. AwsError for a forged, foreign or expired one."""
        sealed = _unsealed(token)
        if sealed is None or sealed.fingerprint != binding:
            raise refusal(token)
        if lifetime_seconds is not None and now_ms - sealed.issued_ms >= lifetime_seconds * 1000:
            raise refusal(token)
        return sealed.position


def refusal(token: str) -> AwsError:
    """Make the error for a token that cannot be used."""
    return AwsError("ValidationException", f'Invalid pagination token because "{token[:32]}".')


def binding_of(operation: str, scope: tuple[str, str], request: Request) -> bytes:
    """Fingerprint everything in a request but its token."""
    body = msgspec.json.encode(msgspec.structs.replace(request, next_token=None))
    text = "\n".join((operation, *scope)).encode() + b"\n" + body
    return hashlib.blake2b(text, digest_size=16).digest()


def _unsealed(token: str) -> _Sealed | None:
    try:
        raw = base64.b64decode(token, validate=True)
    except binascii.Error:
        return None
    if not raw.startswith(_HEADER):
        return None
    start = len(_HEADER) + _SEAL_BYTES
    seal, masked = raw[len(_HEADER) : start], raw[start:]
    padded = _mask(masked, seal)
    return _decoded(padded) if _seal(padded) == seal else None


def _decoded(padded: bytes) -> _Sealed:
    # msgpack refuses bytes behind its value, and a position may itself end in zero bytes.
    return _decoder.decode(padded[2 : 2 + int.from_bytes(padded[:2], "big")])


def _seal(padded: bytes) -> bytes:
    return hashlib.blake2b(padded, key=_KEY, digest_size=_SEAL_BYTES).digest()


def _mask(content: bytes, seal: bytes) -> bytes:
    stream = hashlib.shake_256(_KEY + seal).digest(len(content))
    return (int.from_bytes(content, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(content), "big")
