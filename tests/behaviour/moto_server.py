"""moto's server as a program: serves STS, Organizations, EC2, Glue and S3 on loopback until its standard input ends.

Prints its port. Counts the requests of each operation, and serves the counts at /asked. It runs in its own process,
since importing moto adds a handler to every client of botocore in the process.
"""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def operation_of(environ: dict[str, Any]) -> str:
    """The operation of a request: the last part of X-Amz-Target, else the form's Action, else the path."""
    target = str(environ.get("HTTP_X_AMZ_TARGET", ""))
    if target:
        return target.rpartition(".")[2]
    if "form-urlencoded" not in str(environ.get("CONTENT_TYPE", "")):
        # The length of the body may be unknown, so only moto may read it.
        return str(environ["PATH_INFO"])
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    form = parse_qs(body.decode("latin-1"))
    return form["Action"][0] if "Action" in form else str(environ["PATH_INFO"])


def counting(inner: Wsgi) -> Wsgi:
    """The application, with its requests counted."""
    asked: Counter[str] = Counter()

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/asked":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(asked).encode()]
        asked[operation_of(environ)] += 1
        return inner(environ, start_response)

    return serve


def main() -> None:
    """Serve until the standard input ends."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = counting(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
