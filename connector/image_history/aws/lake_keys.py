"""Finds the credentials, region and endpoint for a lake in S3, through botocore's credential chain.

botocore supports more sources of credentials than the libraries that write the lake. Must not know what is kept
there.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from botocore.config import Config as BotoConfig

from image_history.aws.access import Access
from image_history.aws.sessions import Login
from image_history.aws.store import AbsentError, OvertakenError, Store
from image_history.aws.translation import RAISED
from image_history.durable.effects import Effect, File, fault_point
from image_history.errors import CredentialsError


@dataclass(frozen=True, slots=True)
class Keys:
    """The current credentials, for one publication. `endpoint` is None for AWS's own endpoint."""

    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    region: str | None = None
    endpoint: str | None = None


def keys(profile: str | None) -> Keys:
    """The keys of a profile, or of AWS's own chain. CredentialsError without any, ConfigError for a bad endpoint."""
    login = Login(Access(profile))
    region = login.default_region
    try:
        frozen = login.frozen()
    except RAISED as error:
        raise login.translated_error(error, f"Opening the lake with {login.access}", region or "") from error
    if frozen is None:
        raise CredentialsError(
            "There are no AWS credentials to open the lake with. Set AWS_PROFILE, log in, or name a profile."
        )
    return Keys(frozen.access_key, frozen.secret_key, frozen.token, region, _endpoint(login))


def _endpoint(login: Login) -> str | None:
    """The endpoint configured in the environment or in AWS's files; None if it is AWS's own."""
    configured = login.plain_client("s3", BotoConfig()).meta.endpoint_url
    own = login.plain_client("s3", BotoConfig(ignore_configured_endpoint_urls=True)).meta.endpoint_url
    return None if configured == own else str(configured)


def require_may_put(place: str, profile: str | None) -> None:
    """Raise a ConnectorError if the credentials may not put objects below an address.

    No object is written: the If-Match condition of the request cannot be met, and S3 checks permissions before the
    condition.
    """
    bucket, _, key = place.removeprefix("s3://").partition("/")
    name = f"{key.rstrip('/')}/image-history-check".lstrip("/")
    store = Store(profile)
    fault_point(Effect.PUT, File.TABLE_FILE)
    with suppress(AbsentError, OvertakenError), store.translated(place):
        store.api.put_object(Bucket=bucket, Key=name, Body=b"", IfMatch='"image-history-check"')
