"""The servers on loopback do not break what they hand on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import urllib3

from tests.loopback.stage import Stage

CONNECTIONS = 100


def test_a_proxy_over_tls_breaks_no_connection(stage: Stage) -> None:
    """Bytes go both ways over each connection; two threads that shared one broke five in a hundred."""
    address = f"https://127.0.0.1:{stage.wire.https}/"

    def asked(_: int) -> int:
        proxied = urllib3.ProxyManager(
            f"https://127.0.0.1:{stage.ports['secure']}", ca_certs=str(stage.authority.bundle)
        )
        with proxied:
            return proxied.request("GET", address, retries=False).status

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(asked, range(CONNECTIONS))) == [400] * CONNECTIONS
