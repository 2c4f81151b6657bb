"""The servers on loopback forward all bytes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import urllib3

from tests.loopback.stage import Stage

CONNECTIONS = 100


def test_a_proxy_over_tls_breaks_no_connection(stage: Stage) -> None:
    """Each of 100 requests through a TLS proxy gets its response; two threads on one connection broke 5 of 100."""
    address = f"https://127.0.0.1:{stage.wire.https}/"

    def asked(_: int) -> int:
        proxied = urllib3.ProxyManager(
            f"https://127.0.0.1:{stage.ports['secure']}", ca_certs=str(stage.authority.bundle)
        )
        with proxied:
            return proxied.request("GET", address, retries=False).status

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(asked, range(CONNECTIONS))) == [400] * CONNECTIONS
