"""Whose keys open a lake in S3, and where its S3 is: by botocore's chain, which knows more sources than others.

Must not know what is kept there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import botocore.session
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError

from image_history.aws.clients import refuse_plain_http
from image_history.durable.effects import Effect, File, reach
from image_history.errors import ConfigError, CredentialsError, OutputError

# What S3 says to a conditional put of an object that is not there: who is not allowed to put is told so before.
_MET_NO_CONDITION = frozenset({"NoSuchKey", "PreconditionFailed", "412", "404"})


@dataclass(frozen=True, slots=True)
class Keys:
    """Credentials as they are now, good for one publication. `endpoint` is None for AWS's own."""

    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    region: str | None = None
    endpoint: str | None = None


def keys(profile: str | None) -> Keys:
    """The keys of a profile, or of AWS's own chain. CredentialsError without any, ConfigError for a bad endpoint."""
    try:
        session = botocore.session.Session(profile=profile)
        found = session.get_credentials()
        if found is None:
            raise CredentialsError(
                "There are no AWS credentials to open the lake with. Set AWS_PROFILE, log in, or name a profile."
            )
        frozen = found.get_frozen_credentials()
        region = session.get_config_variable("region")
        endpoint = _endpoint(session, region)
    except BotoCoreError as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise CredentialsError(
            f"There are no usable AWS credentials to open the lake with: {said}."
        ) from error
    except ValueError as error:
        raise ConfigError(f"{error}. Check AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL.") from error
    return Keys(frozen.access_key, frozen.secret_key, frozen.token, region, endpoint)


def _endpoint(session: botocore.session.Session, region: str | None) -> str | None:
    """The endpoint that the environment or the configuration names in place of AWS's own."""
    where = region or "us-east-1"
    configured = session.create_client("s3", region_name=where).meta.endpoint_url
    own = session.create_client(
        "s3", region_name=where, config=BotoConfig(ignore_configured_endpoint_urls=True)
    ).meta.endpoint_url
    if configured == own:
        return None
    refuse_plain_http(configured)
    return str(configured)


def require_may_put(place: str, profile: str | None) -> None:
    """OutputError if an object may not be put below an address. None is: the condition names no object that is."""
    bucket, _, key = place.removeprefix("s3://").partition("/")
    name = f"{key.rstrip('/')}/image-history-check".lstrip("/")
    try:
        session = botocore.session.Session(profile=profile)
        client = session.create_client("s3", region_name=session.get_config_variable("region") or "us-east-1")
        reach(Effect.PUT, File.TABLE_FILE)
        client.put_object(Bucket=bucket, Key=name, Body=b"", IfMatch='"image-history-check"')
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code not in _MET_NO_CONDITION:
            raise OutputError(f"Objects may not be put below {place}: {code}.") from error
    except BotoCoreError as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise OutputError(f"Cannot reach {place}: {said}.") from error
