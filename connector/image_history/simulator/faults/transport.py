"""Faults of the connection: the HTTP answer is incomplete, or it comes too late.

Each fault writes to the connection itself, and nothing is sent after it; knows no rows.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from image_history.simulator.faults.rules import FaultRule
    from image_history.simulator.server import Exchange

# Makes the fault; returns True if the answer itself is to be sent after it.
Breakage = Callable[[asyncio.Transport, "Exchange", "FaultRule"], Awaitable[bool]]

_STALL_SECONDS = 60.0
_DRIP_SECONDS = 0.3
_LOOK_SECONDS = 0.02
_HALF_WAY_SECONDS = 0.01


def _head(exchange: Exchange, *, length: int | None) -> bytes:
    """The status line and the headers; `length` None leaves Content-Length out."""
    headers = exchange.headers if length is None else {**exchange.headers, "Content-Length": str(length)}
    lines = [f"HTTP/1.1 {exchange.status} OK", *(f"{name}: {text}" for name, text in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def _reset(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    if connection is not None:
        # Closing with a linger time of zero makes the kernel send a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def close(transport: asyncio.Transport, _: Exchange, __: FaultRule) -> bool:
    """Close before any byte."""
    transport.close()
    return False


async def reset(transport: asyncio.Transport, _: Exchange, __: FaultRule) -> bool:
    """Reset before any byte."""
    _reset(transport)
    return False


async def half_then_reset(transport: asyncio.Transport, exchange: Exchange, _: FaultRule) -> bool:
    """Half of the body, then a reset."""
    transport.write(_head(exchange, length=len(exchange.body)) + exchange.body[: len(exchange.body) // 2])
    await asyncio.sleep(_HALF_WAY_SECONDS)
    _reset(transport)
    return False


async def short_body(transport: asyncio.Transport, exchange: Exchange, _: FaultRule) -> bool:
    """A body that is one byte shorter than Content-Length says, and a clean end."""
    transport.write(_head(exchange, length=len(exchange.body) + 1) + exchange.body)
    transport.close()
    return False


async def cut_chunk(transport: asyncio.Transport, exchange: Exchange, _: FaultRule) -> bool:
    """A chunked body whose only chunk is cut, and a clean end."""
    head = _head(exchange, length=None)[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
    half = exchange.body[: len(exchange.body) // 2]
    transport.write(head + f"{len(exchange.body):x}\r\n".encode() + half)
    transport.close()
    return False


async def garbage(transport: asyncio.Transport, _: Exchange, __: FaultRule) -> bool:
    """Bytes that are no HTTP."""
    transport.write(b"\x15\x03\x01\x00\x02\x02\x28 this is no HTTP\r\n\r\n")
    transport.close()
    return False


async def status_line_only(transport: asyncio.Transport, _: Exchange, __: FaultRule) -> bool:
    """A success that ends after its status line."""
    transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
    transport.close()
    return False


async def stall(transport: asyncio.Transport, _: Exchange, rule: FaultRule) -> bool:
    """Nothing for the rule's seconds, a minute by default; then the answer, if the client still waits."""
    return await _silent(transport, _STALL_SECONDS if rule.seconds is None else rule.seconds)


async def stall_in_body(transport: asyncio.Transport, exchange: Exchange, rule: FaultRule) -> bool:
    """Half of the body, then nothing for the rule's seconds, a minute by default, then the rest."""
    half = len(exchange.body) // 2
    transport.write(_head(exchange, length=len(exchange.body)) + exchange.body[:half])
    if await _silent(transport, _STALL_SECONDS if rule.seconds is None else rule.seconds):
        transport.write(exchange.body[half:])
        transport.close()
    return False


async def drip(transport: asyncio.Transport, exchange: Exchange, rule: FaultRule) -> bool:
    """The body byte by byte, with the rule's seconds between two bytes, 0.3 by default."""
    pause = _DRIP_SECONDS if rule.seconds is None else rule.seconds
    transport.write(_head(exchange, length=len(exchange.body)))
    for byte in exchange.body:
        if transport.is_closing():
            break
        transport.write(bytes([byte]))
        await asyncio.sleep(pause)
    transport.close()
    return False


async def _silent(transport: asyncio.Transport, seconds: float) -> bool:
    """Wait; False as soon as the client has left."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    # No event reports that the client has left: only its transport shows it.
    while loop.time() < end and not transport.is_closing():  # noqa: ASYNC110 - see above
        await asyncio.sleep(min(_LOOK_SECONDS, max(0.0, end - loop.time())))
    return not transport.is_closing()
