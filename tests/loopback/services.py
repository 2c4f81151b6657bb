"""The responses of each service of the small AWS.

Must not know how a request was received.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from tests.loopback.cloud import (
    IMAGE,
    JSON,
    XML,
    Cloud,
    Key,
    Seen,
    dated,
    parameters,
    refusal,
    xml_refusal,
)
from tests.loopback.signature import Received, Signed
from tests.loopback.wire import Answer, Way

_CREATED = 1_666_064_247.19
_BUCKET_HOST = re.compile(r"(?P<bucket>[a-z0-9-]+)\.s3[.-]")
_JSON_SERVICES = {"sagemaker", "organizations"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, with its signature and its key."""

    request: Received
    signed: Signed | None
    key: Key | None

    @property
    def account(self) -> str:
        return "" if self.key is None else self.key.account

    @property
    def region(self) -> str:
        return "" if self.signed is None else self.signed.region


def serve(cloud: Cloud, request: Received, way: Way) -> Answer:
    """Record a request, and answer it."""
    signed = Signed.of(request)
    key = cloud.keys.get(signed.key) if signed is not None else None
    service = signed.service if signed is not None else _unsigned_service(request)
    token = request.headers.get("x-amz-security-token")
    valid = signed is None or (key is not None and signed.holds(request, key.secret) and token == key.token)
    cloud.seen.append(
        Seen(
            service,
            operation_of(service, request),
            way.scheme,
            request.headers.get("host", ""),
            request.path,
            None if signed is None else signed.region,
            None if signed is None else signed.key,
            token,
            way.proxy,
            valid,
        )
    )
    if signed is not None and (refused := _refused(cloud, signed, key, valid=valid)) is not None:
        return dated(refused)
    return dated(_SERVICES.get(service, _unknown)(cloud, Asked(request, signed, key)))


def operation_of(service: str, request: Received) -> str:
    """The operation's name, or the method and path if it has no name."""
    target = request.headers.get("x-amz-target", "")
    if target:
        return target.rpartition(".")[2]
    if service in {"sts", "ec2"}:
        return parameters(request).get("Action", "")
    if service == "account":
        return "ListRegions"
    return f"{request.method} {request.path}"


def _unsigned_service(request: Received) -> str:
    if request.path.startswith("/latest/"):
        return "imds"
    if request.path.startswith("/federation/"):
        return "sso"
    if request.path == "/token":
        return "sso-oidc"
    if request.path.startswith(("/v2/credentials", "/v1/credentials", "/eks")):
        return "container"
    return "sts" if b"Action=" in request.body else "unsigned"


def _refused(cloud: Cloud, signed: Signed, key: Key | None, *, valid: bool) -> Answer | None:
    """AWS's error for credentials that it refuses; None if it accepts them."""
    said = refusal if signed.service in _JSON_SERVICES else xml_refusal
    if key is None or (key.account, signed.region) in cloud.disabled_regions:
        code = "UnrecognizedClientException" if said is refusal else "InvalidClientTokenId"
        return said(code, "The security token included in the request is invalid.")
    if cloud.ends_after is not None and signed.key.endswith("1") and signed.service == "sagemaker":
        cloud.ends_after -= 1
        if cloud.ends_after < 0:
            cloud.expired.add(signed.key)
    if signed.key in cloud.expired:
        code = "ExpiredTokenException" if said is refusal else "ExpiredToken"
        return said(code, "The security token included in the request is expired")
    if not valid:
        code = "InvalidSignatureException" if said is refusal else "SignatureDoesNotMatch"
        return said(code, "The request signature we calculated does not match the signature you provided.")
    return None


def _sagemaker(cloud: Cloud, asked: Asked) -> Answer:
    operation = operation_of("sagemaker", asked.request)
    if operation in cloud.denied:
        return refusal("AccessDeniedException", f"not authorized to perform: sagemaker:{operation}")
    partition = (
        "aws-cn" if asked.region.startswith("cn-") else "aws-us-gov" if "-gov-" in asked.region else "aws"
    )
    image = f"arn:{partition}:sagemaker:{asked.region}:{asked.account}:image/{IMAGE}"
    version = f"{image.replace(':image/', ':image-version/')}/1"
    times = {"CreationTime": _CREATED, "LastModifiedTime": _CREATED}
    one = {
        "ImageArn": image,
        "ImageVersionArn": version,
        "ImageVersionStatus": "CREATED",
        "Version": 1,
        **times,
    }
    answers: Mapping[str, object] = {
        "ListImages": {
            "Images": [{"ImageArn": image, "ImageName": IMAGE, "ImageStatus": "CREATED", **times}]
        },
        "ListImageVersions": {"ImageVersions": [one]},
        "DescribeImage": {"ImageArn": image, "ImageName": IMAGE, "ImageStatus": "CREATED", **times},
        "DescribeImageVersion": {**one, "BaseImage": "b", "ContainerImage": "c"},
        "ListAliases": {"SageMakerImageVersionAliases": []},
    }
    return Answer(200, json.dumps(answers[operation]).encode(), JSON)


def _sts(cloud: Cloud, asked: Asked) -> Answer:
    form = parameters(asked.request)
    answering: Mapping[str, Callable[[Cloud, Asked, Mapping[str, str]], Answer]] = {
        "GetCallerIdentity": _identity,
        "AssumeRole": _assume,
        "AssumeRoleWithWebIdentity": _assume_by_web,
    }
    return answering[form["Action"]](cloud, asked, form)


def _identity(_: Cloud, asked: Asked, __: Mapping[str, str]) -> Answer:
    arn = f"arn:aws:sts::{asked.account}:assumed-role/reader/x"
    return _xml("GetCallerIdentity", f"<Account>{asked.account}</Account><Arn>{arn}</Arn>")


def _assume(cloud: Cloud, asked: Asked, form: Mapping[str, str]) -> Answer:
    role = form["RoleArn"]
    if "AssumeRole" in cloud.denied or cloud.external_ids.get(role) != form.get("ExternalId"):
        return xml_refusal("AccessDenied", f"not authorized to perform: sts:AssumeRole on {role}")
    if "SerialNumber" in form and form.get("TokenCode") != cloud.mfa_code:
        return xml_refusal(
            "AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code."
        )
    assert asked.signed is not None
    return _lent(cloud, "AssumeRole", role, asked.signed.key)


def _assume_by_web(cloud: Cloud, _: Asked, form: Mapping[str, str]) -> Answer:
    subject = cloud.web_tokens.get(form["WebIdentityToken"])
    if subject is None:
        return xml_refusal(
            "InvalidIdentityToken", "The web identity token that was passed is not valid.", 400
        )
    return _lent(cloud, "AssumeRoleWithWebIdentity", form["RoleArn"], subject)


def _lent(cloud: Cloud, operation: str, role: str, lender: str) -> Answer:
    key, made = cloud.mint(f"{role} by {lender}", role.split(":")[4], role)
    credentials = (
        f"<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{made.secret}</SecretAccessKey>"
        f"<SessionToken>{made.token}</SessionToken><Expiration>{cloud.expiry}</Expiration></Credentials>"
    )
    user = f"<AssumedRoleUser><AssumedRoleId>A:x</AssumedRoleId><Arn>{role}</Arn></AssumedRoleUser>"
    return _xml(operation, credentials + user)


def _xml(operation: str, inner: str) -> Answer:
    body = f"<{operation}Response><{operation}Result>{inner}</{operation}Result></{operation}Response>"
    return Answer(200, body.encode(), XML)


def _unknown(_: Cloud, __: Asked) -> Answer:
    return refusal("UnknownOperationException", "This small AWS has no such service.")


def _account(cloud: Cloud, asked: Asked) -> Answer:
    if operation_of("account", asked.request) in cloud.denied:
        return refusal("AccessDeniedException", "not authorized to perform: account:ListRegions", 403)
    regions = [{"RegionName": name, "RegionOptStatus": "ENABLED"} for name in ("us-east-1", "eu-west-1")]
    return Answer(200, json.dumps({"Regions": regions}).encode(), {"Content-Type": "application/json"})


def _sso(cloud: Cloud, asked: Asked) -> Answer:
    if asked.request.headers.get("x-amz-sso_bearer_token") not in cloud.access_tokens:
        return refusal("UnauthorizedException", "Session token not found or invalid", 401)
    wanted = {name: values[0] for name, values in parse_qs(asked.request.query).items()}
    key, made = cloud.mint(f"sso {wanted['account_id']} {wanted['role_name']}", wanted["account_id"])
    given = {"accessKeyId": key, "secretAccessKey": made.secret, "sessionToken": made.token}
    body = json.dumps({"roleCredentials": {**given, "expiration": 4_070_908_800_000}})
    return Answer(200, body.encode(), {"Content-Type": "application/json"})


def _oidc(cloud: Cloud, asked: Asked) -> Answer:
    given = json.loads(asked.request.body)
    if given["refreshToken"] not in cloud.refresh_tokens:
        told = {"error": "invalid_grant", "error_description": "Invalid refresh token provided"}
        headers = {"Content-Type": "application/json", "x-amzn-ErrorType": "InvalidGrantException"}
        return Answer(400, json.dumps(told).encode(), headers)
    # A refresh token works once.
    cloud.refresh_tokens.remove(given["refreshToken"])
    cloud.access_tokens["renewed"] = "renewed"
    body = {"accessToken": "renewed", "expiresIn": 28_800, "refreshToken": "next", "tokenType": "Bearer"}
    return Answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})


def _imds(cloud: Cloud, asked: Asked) -> Answer:
    path = asked.request.path
    if path == "/latest/api/token":
        return Answer(200, b"imds-session")
    if asked.request.headers.get("x-aws-ec2-metadata-token") != "imds-session":
        return Answer(401, b"")
    if path.endswith("/iam/security-credentials/"):
        return Answer(200, b"instance-role")
    if path.endswith("/instance-role"):
        return Answer(200, _metadata(cloud, "instance").encode())
    return Answer(200, b"us-east-1a")


def _container(cloud: Cloud, asked: Asked) -> Answer:
    wanted = cloud.container_tokens.get(asked.request.path)
    if wanted is not None and asked.request.headers.get("authorization") != wanted:
        return Answer(401, b'{"Message": "wrong token"}')
    return Answer(200, _metadata(cloud, f"container {asked.request.path}").encode())


def _metadata(cloud: Cloud, name: str) -> str:
    key, made = cloud.mint(name, "777788889999")
    given = {
        "AccessKeyId": key,
        "SecretAccessKey": made.secret,
        "Token": made.token,
        "Expiration": cloud.expiry,
    }
    return json.dumps({"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z", **given})


def _s3(cloud: Cloud, asked: Asked) -> Answer:
    request = asked.request
    found = _BUCKET_HOST.match(request.headers.get("host", ""))
    path = f"/{found['bucket']}{request.path}" if found else request.path
    query = parse_qs(request.query, keep_blank_values=True)
    if request.method == "GET" and "list-type" in query:
        return _s3_list(cloud, path.strip("/"), query.get("prefix", [""])[0])
    if request.method == "PUT":
        return _s3_put(cloud, path, request)
    if request.method == "DELETE":
        cloud.objects.pop(path, None)
        return Answer(204)
    if path not in cloud.objects:
        return Answer(404, b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>", XML)
    return Answer(200, cloud.objects[path], {"ETag": _etag(cloud.objects[path])})


def _s3_put(cloud: Cloud, path: str, request: Received) -> Answer:
    before, headers = cloud.objects.get(path), request.headers
    matched = before is not None and headers.get("if-match") == _etag(before)
    if ("if-none-match" in headers and before is not None) or ("if-match" in headers and not matched):
        return Answer(412, b"<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>", XML)
    body = request.body
    if "aws-chunked" in headers.get("content-encoding", ""):
        body = _unchunked(body)
    cloud.objects[path] = body
    return Answer(200, b"", {"ETag": _etag(body)})


def _unchunked(body: bytes) -> bytes:
    parts: list[bytes] = []
    rest = body
    while True:
        head, _, rest = rest.partition(b"\r\n")
        size = int(head.split(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(rest[:size])
        rest = rest[size + 2 :]


def _etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def _s3_list(cloud: Cloud, bucket: str, prefix: str) -> Answer:
    start = f"/{bucket}/{prefix}"
    contents = "".join(
        f"<Contents><Key>{path.removeprefix(f'/{bucket}/')}</Key><Size>{len(body)}</Size>"
        "<LastModified>2026-11-23T12:00:00.000Z</LastModified></Contents>"
        for path, body in sorted(cloud.objects.items())
        if path.startswith(start)
    )
    return Answer(
        200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>".encode(), XML
    )


_SERVICES: Mapping[str, Callable[[Cloud, Asked], Answer]] = {
    "sagemaker": _sagemaker,
    "sts": _sts,
    "account": _account,
    "sso": _sso,
    "sso-oidc": _oidc,
    "imds": _imds,
    "container": _container,
    "s3": _s3,
}
