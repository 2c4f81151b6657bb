"""A simulated cloud of accounts: moto's server for STS, Organizations and EC2, beside our simulator of SageMaker.

Must not know what a test reads from it.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
import pytest

MANAGEMENT = "123456789012"
SERVICES = ("STS", "ORGANIZATIONS", "EC2", "ACCOUNT")


def key_of(account_id: str) -> str:
    """An access key id that encodes its account, as AWS's own key ids do."""
    bits = 1 << 47 | int(account_id) << 7
    return "AKIA" + base64.b32encode(bits.to_bytes(6, "big") + b"TEST").decode()


@dataclass(frozen=True, slots=True)
class Cloud:
    """moto's server. All its accounts are in one organization, managed by `MANAGEMENT`."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make boto3 use this server, except for SageMaker, as the management account."""
        return {
            **{f"AWS_ENDPOINT_URL_{service}": self.url for service in SERVICES},
            "AWS_ACCESS_KEY_ID": key_of(MANAGEMENT),
            "AWS_SECRET_ACCESS_KEY": "simulated-secret",
        }

    def client(self, service: str) -> Any:
        """A plain client of the management account."""
        return botocore.session.Session().create_client(
            service,
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id=key_of(MANAGEMENT),
            aws_secret_access_key="simulated-secret",
        )

    def organization(self, accounts: int) -> list[str]:
        """Make an organization with this many accounts beside the management account; returns their ids."""
        client = self.client("organizations")
        client.create_organization(FeatureSet="ALL")
        made = (
            client.create_account(AccountName=f"a{n}", Email=f"a{n}@example.com") for n in range(accounts)
        )
        return sorted(each["CreateAccountStatus"]["AccountId"] for each in made)

    def asked(self) -> dict[str, int]:
        """How often each operation was requested since the server started."""
        with urllib.request.urlopen(f"{self.url}/asked") as answer:
            counts: dict[str, int] = json.load(answer)
        return counts

    def reset(self) -> None:
        """Forget every account and organization."""
        urllib.request.urlopen(f"{self.url}/moto-api/reset", data=b"").close()


@contextmanager
def serving() -> Iterator[Cloud]:
    """Run the server until the block ends."""
    program = Path(__file__).with_name("moto_server.py")
    with subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield Cloud(f"http://127.0.0.1:{int(process.stdout.readline())}")
        process.kill()


@pytest.fixture(scope="session")
def moto() -> Iterator[Cloud]:
    """One server for all tests."""
    with serving() as cloud:
        yield cloud


@pytest.fixture
def cloud(moto: Cloud) -> Cloud:
    """The server, without any account or organization."""
    moto.reset()
    return moto
