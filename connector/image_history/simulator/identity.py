"""The caller: account, region and service, read from the Authorization header; and STS GetCallerIdentity.

Knows nothing of images. Signatures are not verified: any secret key will do. As at AWS, an access key id
contains its account: credentials from a stand-in for STS belong to the account in their key id.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from image_history.simulator.model import ArnStyle, Scope
from image_history.simulator.protocol import AwsError

if TYPE_CHECKING:
    from image_history.simulator.registry import Registry

XML_TYPE = "text/xml"
_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_FORBIDDEN = 403
_KEY_LENGTH = 20
# STS has its own codes for the same refusals.
_STS_CODES = {
    "UnrecognizedClientException": "InvalidClientTokenId",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "IncompleteSignatureException": "IncompleteSignature",
}
_CREDENTIAL = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/,\s]+)/\d{8}/(?P<region>[^/,\s]+)/(?P<service>[^/,\s]+)"
    r"/aws4_request,"
)
_INVALID_TOKEN = "The security token included in the request is invalid."  # noqa: S105 - AWS's words


@dataclass(frozen=True, slots=True)
class Signer:
    """The credential scope of a request."""

    access_key: str
    region: str
    service: str


def signer_of(authorization: str | None) -> Signer:
    """Read the credential scope. AwsError if there is none."""
    if not authorization:
        raise AwsError("MissingAuthenticationTokenException", "Missing Authentication Token")
    return _signer(authorization.split("SignedHeaders", 1)[0])


@lru_cache(maxsize=1024)
def _signer(credential: str) -> Signer:
    found = _CREDENTIAL.match(credential)
    if found is None:
        text = "Authorization header requires a Credential of the form KEY/DATE/REGION/SERVICE/aws4_request."
        raise AwsError("IncompleteSignatureException", text)
    return Signer(found["key"], found["region"], found["service"])


def scope_of(signer: Signer, world: Registry) -> Scope:
    """Return the account and region. AwsError for an access key of no known account."""
    account_id = world.account_of(signer.access_key)
    if account_id is None:
        named = account_in(signer.access_key)
        account_id = named if named is not None and world.has_account(named) else None
    if account_id is None:
        raise AwsError("UnrecognizedClientException", _INVALID_TOKEN)
    return Scope(account_id, signer.region)


@lru_cache(maxsize=4096)
def account_in(access_key: str) -> str | None:
    """Read the account from a key id in the form that AWS issues; None for any other text.

    The first four letters are the kind of key. The rest is base 32: one bit that is set, then 40 bits with the number
    of the account.
    """
    if len(access_key) != _KEY_LENGTH:
        return None
    try:
        bits = int.from_bytes(base64.b32decode(access_key[4:])[:6], "big")
    except binascii.Error:
        return None
    number = (bits >> 7) & (2**40 - 1)
    return f"{number:012d}" if bits >> 47 and number < 10**12 else None


def sts_operation(body: bytes) -> str:
    """Return the operation that a request of the Query protocol asks for, or an empty text."""
    return parse_qs(body.decode("latin-1")).get("Action", [""])[0]


def caller_identity(operation: str, scope: Scope, arns: ArnStyle, request_id: str) -> bytes:
    """Answer GetCallerIdentity as XML. AwsError for every other operation."""
    if operation != "GetCallerIdentity":
        raise AwsError("InvalidAction", f"Could not find operation {operation} for version 2011-06-15")
    arn = f"arn:{arns.partition_of(scope.region)}:iam::{scope.account_id}:user/simulator"
    return (
        f'<GetCallerIdentityResponse xmlns="{_NAMESPACE}"><GetCallerIdentityResult><Arn>{arn}</Arn>'
        f"<UserId>AIDASIMULATOR{scope.account_id}</UserId><Account>{scope.account_id}</Account>"
        f"</GetCallerIdentityResult><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        "</GetCallerIdentityResponse>"
    ).encode()


def sts_status(error: AwsError) -> int:
    """Return the HTTP status of an error of STS."""
    return _FORBIDDEN if error.code in _STS_CODES else error.status


def sts_error(error: AwsError, request_id: str) -> bytes:
    """Write an error as the Query protocol does."""
    return (
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>Sender</Type>'
        f"<Code>{_STS_CODES.get(error.code, error.code)}</Code><Message>{escape(error.message)}</Message>"
        "</Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()
