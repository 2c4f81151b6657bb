"""Sends a message to a receiver: to a command's standard input, or by POST to an address, within a time limit.

The address is a secret: it is in no message and no log line. Must not know the news.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import BinaryIO
from urllib import request
from urllib.error import HTTPError, URLError

from image_history.config import Notify
from image_history.errors import OutputError
from image_history.hiding import keep_hidden_in_url, without_secrets
from image_history.version import __version__

_MOST_ANSWERED = 4096
_LONGEST_REASON = 200


def deliver(entry: Notify, content: bytes) -> None:
    """Send the message; OutputError if the receiver did not accept it within the entry's timeout."""
    seconds = entry.timeout.total_seconds()
    if entry.run is not None:
        _run(entry.run, content, seconds)
    else:
        _post(entry.webhook or "", content, seconds)


def _run(command: Sequence[str], content: bytes, seconds: float) -> None:
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(  # noqa: S603 - the command is the user's own, and no shell reads it
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
        except OSError as error:
            raise OutputError(f"{command[0]} cannot be started: {error.strerror or error}.") from error
        try:
            process.communicate(content, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise OutputError(f"{command[0]} did not end within {seconds:g} s, and was stopped.") from None
        finally:
            _end(process)
        if process.returncode:
            raise OutputError(f"{command[0]} failed ({_code(process.returncode)}){_last_line(said)}.")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the command and the processes that it started, if it is still running."""
    if process.poll() is None:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _code(returned: int) -> str:
    return f"exit code {returned}" if returned > 0 else f"signal {-returned}"


def _last_line(said: BinaryIO) -> str:
    said.seek(0, os.SEEK_END)
    said.seek(max(said.tell() - _MOST_ANSWERED, 0))
    lines = said.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1][:_LONGEST_REASON].rstrip('.')}" if lines else ""


class _NoRedirects(request.HTTPRedirectHandler):
    """Follows no redirect: a redirected POST would become a GET, without the message."""

    def redirect_request(self, *_: object) -> None:
        """Return no new request, so that the redirect is treated as an error."""
        return


def _post(address: str, content: bytes, seconds: float) -> None:
    """POST on a thread of its own, so that an endless name lookup or a slow answer is given up after `seconds`."""
    keep_hidden_in_url(address, path=True)
    failed: list[OutputError] = []
    thread = threading.Thread(target=_posted, args=(address, content, seconds, failed), daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise OutputError(f"the address did not answer within {seconds:g} s.")
    if failed:
        raise failed[0]


def _posted(address: str, content: bytes, seconds: float, failed: list[OutputError]) -> None:
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": f"image-history/{__version__}",
    }
    post = request.Request(address, data=content, headers=headers, method="POST")  # noqa: S310 - checked in config
    try:
        with request.build_opener(_NoRedirects).open(post, timeout=seconds) as answer:
            answer.read(_MOST_ANSWERED)
    except HTTPError as error:
        with error:
            failed.append(OutputError(f"the address answered {error.code}{_answered(error)}."))
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        failed.append(OutputError(f"the address cannot be reached: {_shortened(str(reason))}."))


def _answered(error: HTTPError) -> str:
    try:
        words = error.read(_MOST_ANSWERED).decode(errors="replace").split()
    except OSError:
        return ""
    return f": {_shortened(' '.join(words))}" if words else ""


def _shortened(text: str) -> str:
    return without_secrets(text)[:_LONGEST_REASON].rstrip(". ")
