"""Configurations of AWS's SDKs: their files and variables.

In texts, {home}, {ca}, {http}, {https} and the proxies' names are placeholders that a test fills. Must not know how
a configuration is tested.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.loopback.stage import ACCOUNT, ROLES

STATIC = "aws_access_key_id = AKIASTATIC\naws_secret_access_key = static+secret/\n"
SESSION = (
    "aws_access_key_id = ASIASESSION\naws_secret_access_key = session secret\n"
    "aws_session_token = session+token/==\n"
)
SECOND_KEY = "AKIASECOND"
OTHER = "aws_access_key_id = AKIAOTHER\naws_secret_access_key = other secret\n"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "AKIASTATIC", "AWS_SECRET_ACCESS_KEY": "static+secret/"}
READER = f"arn:aws:iam::{ROLES}:role/reader"
FURTHER = f"arn:aws:iam::{ROLES}:role/further"
EXTERNAL = f"arn:aws:iam::{ROLES}:role/external"
REGION = "region = eu-west-1\n"
PRINTED = json.dumps(
    {
        "Version": 1,
        "AccessKeyId": "ASIASESSION",
        "SecretAccessKey": "session secret",
        "SessionToken": "session+token/==",
    }
)
WEB = {
    "AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token",
    "AWS_ROLE_ARN": READER,
}
TOKEN = {"token": "eyJhbGciOi.of-a-service-account"}
START = "https://example.awsapps.com/start"
SSO_SESSION = (
    f"[sso-session corp]\nsso_region = us-east-1\nsso_start_url = {START}\n"
    "sso_registration_scopes = sso:account:access\n"
)
SSO_PROFILE = f"sso_session = corp\nsso_account_id = {ACCOUNT}\nsso_role_name = reader\n"
SSO_LEGACY = (
    f"sso_start_url = {START}\nsso_region = us-east-1\nsso_account_id = {ACCOUNT}\nsso_role_name = reader\n"
)


def login(
    name: str, access: str, *, expires: str = "2099-01-01T00:00:00Z", refresh: str = "refresh"
) -> Mapping[str, str]:
    """The cache file that `aws sso login` writes."""
    told = {
        "startUrl": START,
        "region": "us-east-1",
        "accessToken": access,
        "expiresAt": expires,
        "clientId": "client",
        "clientSecret": "client secret",
        "registrationExpiresAt": "2099-01-01T00:00:00Z",
        "refreshToken": refresh,
    }
    return {f".aws/sso/cache/{hashlib.sha1(name.encode()).hexdigest()}.json": json.dumps(told)}  # noqa: S324 - AWS's name for it


@dataclass(frozen=True, slots=True)
class Configuration:
    """One configuration. `profile` is the profile for image-history and boto3; `account` is an entry of `accounts`.

    `beside` are further lines of the second account's profile; `trusting` sets AWS_CA_BUNDLE.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    credentials: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    profile: str | None = None
    account: Mapping[str, str] | None = None
    region: str = "eu-west-1"
    beside: str = ""
    config_path: str = ".aws/config"
    trusting: bool = True

    @property
    def everything(self) -> Mapping[str, str]:
        """All environment variables."""
        return {**({"AWS_CA_BUNDLE": "{ca}"} if self.trusting else {}), **self.environment}

    @property
    def written(self) -> Mapping[str, str]:
        """All files, including the second account's profile."""
        keys = f"aws_access_key_id = {SECOND_KEY}\naws_secret_access_key = second secret\n"
        second = f"[profile second]\n{keys}{self.beside}"
        credentials = {".aws/credentials": self.credentials} if self.credentials else {}
        return {self.config_path: f"{self.config}\n{second}", **credentials, **self.files}


def role(source: str, *, arn: str = READER, more: str = "") -> str:
    """The lines of a profile that assumes a role."""
    return f"role_arn = {arn}\n{source}\n{more}"


_ALONE: Mapping[str, Configuration] = {
    "env-keys": Configuration(ENVIRONMENT),
    "env-session-token": Configuration(
        {
            "AWS_ACCESS_KEY_ID": "ASIASESSION",
            "AWS_SECRET_ACCESS_KEY": "session secret",
            "AWS_SESSION_TOKEN": "session+token/==",
        }
    ),
    "env-security-token": Configuration(
        {
            "AWS_ACCESS_KEY_ID": "ASIASESSION",
            "AWS_SECRET_ACCESS_KEY": "session secret",
            "AWS_SECURITY_TOKEN": "session+token/==",
        }
    ),
    "credentials-file": Configuration(credentials=f"[default]\n{STATIC}"),
    "config-file": Configuration(config=f"[default]\n{STATIC}"),
    "credentials-file-first": Configuration(config=f"[default]\n{OTHER}", credentials=f"[default]\n{STATIC}"),
    "profile-named": Configuration(config=f"[profile work]\n{STATIC}", profile="work"),
    "profile-with-blank": Configuration(config=f"[profile 'my work']\n{STATIC}", profile="my work"),
    "profile-with-umlaut": Configuration(config=f"[profile bücher]\n{STATIC}", profile="bücher"),
    "profile-named-default": Configuration(credentials=f"[default]\n{STATIC}", profile="default"),
    "profile-session-token": Configuration(config=f"[profile work]\n{SESSION}", profile="work"),
    "profile-beats-env": Configuration(
        {"AWS_ACCESS_KEY_ID": "AKIAOTHER", "AWS_SECRET_ACCESS_KEY": "other secret"},
        config=f"[profile work]\n{STATIC}",
        profile="work",
    ),
    "env-beats-env-profile": Configuration(
        {**ENVIRONMENT, "AWS_PROFILE": "work"}, config=f"[profile work]\n{OTHER}"
    ),
    "env-profile": Configuration({"AWS_PROFILE": "work"}, config=f"[profile work]\n{STATIC}"),
    "env-default-profile": Configuration({"AWS_DEFAULT_PROFILE": "work"}, config=f"[profile work]\n{STATIC}"),
    "env-credentials-file": Configuration(
        {"AWS_SHARED_CREDENTIALS_FILE": "{home}/elsewhere"}, files={"elsewhere": f"[default]\n{STATIC}"}
    ),
    "env-config-file": Configuration(
        {"AWS_CONFIG_FILE": "{home}/elsewhere"}, config=f"[default]\n{STATIC}", config_path="elsewhere"
    ),
    "boto-config": Configuration(
        {"BOTO_CONFIG": "{home}/boto.cfg"}, files={"boto.cfg": f"[Credentials]\n{STATIC}"}
    ),
    "ec2-credential-file": Configuration(
        {"AWS_CREDENTIAL_FILE": "{home}/old"},
        files={"old": "AWSAccessKeyId=AKIASTATIC\nAWSSecretKey=static+secret/\n"},
    ),
}
_ROLES: Mapping[str, Configuration] = {
    "source-profile": Configuration(
        config=f"[profile work]\n{REGION}{role('source_profile = base')}[profile base]\n{STATIC}",
        profile="work",
    ),
    "source-profile-in-credentials-file": Configuration(
        config=f"[profile work]\n{REGION}{role('source_profile = base')}",
        credentials=f"[base]\n{STATIC}",
        profile="work",
    ),
    "source-profile-chain": Configuration(
        config=f"[profile work]\n{REGION}{role('source_profile = middle', arn=FURTHER)}"
        f"[profile middle]\n{REGION}{role('source_profile = base')}[profile base]\n{STATIC}",
        profile="work",
    ),
    "source-profile-itself": Configuration(
        config=f"[profile work]\n{REGION}{role('source_profile = work')}{STATIC}", profile="work"
    ),
    "role-as-default-profile": Configuration(
        config=f"[default]\n{REGION}{role('source_profile = base')}[profile base]\n{STATIC}"
    ),
    "role-external-id": Configuration(
        config=f"[profile work]\n{REGION}"
        f"{role('source_profile = base', arn=EXTERNAL, more='external_id = tenant-7')}\n[profile base]\n{STATIC}",
        profile="work",
    ),
    "role-name-and-duration": Configuration(
        config=f"[profile work]\n{REGION}"
        f"{role('source_profile = base', more='role_session_name = me')}\nduration_seconds = 900\n"
        f"[profile base]\n{STATIC}",
        profile="work",
    ),
    "source-environment": Configuration(
        ENVIRONMENT,
        config=f"[profile work]\n{REGION}{role('credential_source = Environment')}",
        profile="work",
    ),
    "source-instance": Configuration(
        config=f"[profile work]\n{REGION}{role('credential_source = Ec2InstanceMetadata')}", profile="work"
    ),
    "source-container": Configuration(
        {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/task"},
        config=f"[profile work]\n{REGION}{role('credential_source = EcsContainer')}",
        profile="work",
    ),
    "source-process": Configuration(
        config=f"[profile work]\n{REGION}{role('source_profile = base')}"
        f"[profile base]\ncredential_process = cat {{home}}/printed\n",
        files={"printed": PRINTED},
        profile="work",
    ),
    "source-sso": Configuration(
        config=f"[profile work]\n{REGION}{role('source_profile = base')}[profile base]\n{SSO_PROFILE}{SSO_SESSION}",
        files=login("corp", "fresh"),
        profile="work",
    ),
    "source-web-identity": Configuration(
        config=f"[profile work]\n{REGION}{role('source_profile = base', arn=FURTHER)}"
        f"[profile base]\n{REGION}{role('web_identity_token_file = {home}/token')}",
        files=TOKEN,
        profile="work",
    ),
    "ours-from-default-chain": Configuration(
        ENVIRONMENT,
        config=f"[default]\n{REGION}[profile same]\n{REGION}{role('credential_source = Environment')}",
        account={"role_arn": READER},
        profile="same",
    ),
    "ours-from-profile": Configuration(
        config=f"[profile same]\n{REGION}{role('source_profile = base')}[profile base]\n{REGION}{STATIC}",
        account={"role_arn": READER, "source_profile": "base"},
        profile="same",
    ),
    "ours-with-external-id": Configuration(
        config=f"[profile same]\n{REGION}"
        f"{role('source_profile = base', arn=EXTERNAL, more='external_id = tenant-7')}\n"
        f"[profile base]\n{REGION}{STATIC}",
        account={"role_arn": EXTERNAL, "source_profile": "base", "external_id": "tenant-7"},
        profile="same",
    ),
    "ours-from-sso": Configuration(
        config=f"[profile same]\n{REGION}{role('source_profile = base')}"
        f"[profile base]\n{REGION}{SSO_PROFILE}{SSO_SESSION}",
        files=login("corp", "fresh"),
        account={"role_arn": READER, "source_profile": "base"},
        profile="same",
    ),
    "ours-from-web-identity": Configuration(
        config=f"[profile same]\n{REGION}{role('source_profile = base', arn=FURTHER)}"
        f"[profile base]\n{REGION}{role('web_identity_token_file = {home}/token')}",
        files=TOKEN,
        account={"role_arn": FURTHER, "source_profile": "base"},
        profile="same",
    ),
    "ours-from-role": Configuration(
        config=f"[profile same]\n{REGION}{role('source_profile = middle', arn=FURTHER)}"
        f"[profile middle]\n{REGION}{role('source_profile = base')}[profile base]\n{STATIC}",
        account={"role_arn": FURTHER, "source_profile": "middle"},
        profile="same",
    ),
}
_TOKENS: Mapping[str, Configuration] = {
    "web-identity-env": Configuration({**WEB, "AWS_DEFAULT_REGION": "eu-west-1"}, files=TOKEN),
    "web-identity-env-session-name": Configuration(
        {**WEB, "AWS_ROLE_SESSION_NAME": "pod", "AWS_DEFAULT_REGION": "eu-west-1"}, files=TOKEN
    ),
    "web-identity-profile": Configuration(
        config=f"[profile work]\n{REGION}{role('web_identity_token_file = {home}/token')}",
        files=TOKEN,
        profile="work",
    ),
    "web-identity-default-profile": Configuration(
        config=f"[default]\n{REGION}{role('web_identity_token_file = {home}/token')}", files=TOKEN
    ),
    "sso-session": Configuration(
        config=f"[profile work]\n{SSO_PROFILE}{SSO_SESSION}", files=login("corp", "fresh"), profile="work"
    ),
    "sso-session-refreshed": Configuration(
        config=f"[profile work]\n{SSO_PROFILE}{SSO_SESSION}",
        files=login("corp", "stale", expires="2020-01-01T00:00:00Z"),
        profile="work",
    ),
    "sso-legacy": Configuration(
        config=f"[profile work]\n{SSO_LEGACY}", files=login(START, "fresh"), profile="work"
    ),
    "sso-default-profile": Configuration(
        config=f"[default]\n{SSO_PROFILE}{SSO_SESSION}", files=login("corp", "fresh")
    ),
    "container-relative": Configuration({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/task"}),
    "container-full": Configuration({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{http}/v2/credentials/task"}),
    "container-full-token": Configuration(
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{http}/v2/credentials/secured",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Basic abc",
        }
    ),
    "container-full-token-file": Configuration(
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{http}/v2/credentials/secured",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "{home}/token",
        },
        files={"token": "Basic abc"},
    ),
    "container-pod-identity": Configuration(
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "{home}/token",
        },
        files={"token": "pod-token"},
    ),
    "instance": Configuration({"AWS_METADATA_SERVICE_TIMEOUT": "10"}),
    "instance-elsewhere": Configuration(
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "{http}", "AWS_METADATA_SERVICE_TIMEOUT": "10"}
    ),
    "instance-ipv6-mode": Configuration(
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "ipv6", "AWS_METADATA_SERVICE_TIMEOUT": "10"}
    ),
    "process": Configuration(
        config="[profile work]\ncredential_process = cat {home}/printed\n",
        files={"printed": PRINTED},
        profile="work",
    ),
    "process-that-expires": Configuration(
        config="[profile work]\ncredential_process = cat {home}/printed\n",
        files={"printed": PRINTED[:-1] + ', "Expiration": "2099-01-01T00:00:00Z"}'},
        profile="work",
    ),
    "process-default-profile": Configuration(
        config="[default]\ncredential_process = cat {home}/printed\n", files={"printed": PRINTED}
    ),
}
_SERVICES = "[services own]\n" + "".join(
    f"{name} =\n  endpoint_url = {{http}}\n" for name in ("sagemaker", "sts", "s3")
)
_NOWHERE = "https://nowhere.example"
_ENDPOINTS: Mapping[str, Configuration] = {
    "endpoint-all": Configuration({**ENVIRONMENT, "AWS_ENDPOINT_URL": "{http}"}),
    "endpoint-all-tls": Configuration({**ENVIRONMENT, "AWS_ENDPOINT_URL": "{https}"}),
    "endpoint-with-path": Configuration({**ENVIRONMENT, "AWS_ENDPOINT_URL_SAGEMAKER": "{http}/gate/sm"}),
    "endpoint-sagemaker": Configuration({**ENVIRONMENT, "AWS_ENDPOINT_URL_SAGEMAKER": "{http}"}),
    "endpoint-sts": Configuration({**ENVIRONMENT, "AWS_ENDPOINT_URL_STS": "{http}"}),
    "endpoint-sts-of-role": Configuration(
        {"AWS_ENDPOINT_URL_STS": "{http}"},
        config=f"[profile work]\n{REGION}{role('source_profile = base')}[profile base]\n{STATIC}",
        profile="work",
    ),
    "endpoint-s3": Configuration({**ENVIRONMENT, "AWS_ENDPOINT_URL_S3": "{http}"}),
    "endpoint-profile": Configuration(
        config=f"[profile work]\n{STATIC}endpoint_url = {{http}}\n", profile="work"
    ),
    "endpoint-services": Configuration(
        config=f"[profile work]\n{STATIC}services = own\n{_SERVICES}", profile="work"
    ),
    "endpoint-services-of-default": Configuration(config=f"[default]\n{STATIC}services = own\n{_SERVICES}"),
    "endpoint-service-beats-all": Configuration(
        {**ENVIRONMENT, "AWS_ENDPOINT_URL": "{https}", "AWS_ENDPOINT_URL_SAGEMAKER": "{http}"}
    ),
    "endpoint-env-beats-profile": Configuration(
        {"AWS_ENDPOINT_URL": "{https}"},
        config=f"[profile work]\n{STATIC}endpoint_url = {{http}}\n",
        profile="work",
    ),
    "endpoint-ignored-env": Configuration(
        {**ENVIRONMENT, "AWS_ENDPOINT_URL": _NOWHERE, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
    ),
    "endpoint-ignored-profile": Configuration(
        {"AWS_ENDPOINT_URL": _NOWHERE},
        config=f"[profile work]\n{STATIC}endpoint_url = {_NOWHERE}\nignore_configured_endpoint_urls = true\n",
        profile="work",
        beside="ignore_configured_endpoint_urls = true\n",
    ),
    "fips-env": Configuration({**ENVIRONMENT, "AWS_USE_FIPS_ENDPOINT": "true"}, region="us-east-1"),
    "fips-profile": Configuration(
        config=f"[profile work]\n{STATIC}use_fips_endpoint = true\n", profile="work", region="us-west-2"
    ),
    "dual-stack-env": Configuration({**ENVIRONMENT, "AWS_USE_DUALSTACK_ENDPOINT": "true"}),
    "dual-stack-profile": Configuration(
        config=f"[profile work]\n{STATIC}use_dualstack_endpoint = true\n", profile="work"
    ),
    "fips-and-dual-stack": Configuration(
        {**ENVIRONMENT, "AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
        region="us-east-2",
    ),
    "sts-legacy": Configuration({**ENVIRONMENT, "AWS_STS_REGIONAL_ENDPOINTS": "legacy"}),
    "sts-regional-profile": Configuration(
        config=f"[profile work]\n{STATIC}sts_regional_endpoints = regional\n", profile="work"
    ),
    "sts-legacy-of-role": Configuration(
        {"AWS_STS_REGIONAL_ENDPOINTS": "legacy"},
        config=f"[profile work]\n{REGION}{role('source_profile = base')}[profile base]\n{STATIC}",
        profile="work",
    ),
    "china": Configuration(ENVIRONMENT, region="cn-north-1"),
    "government": Configuration(ENVIRONMENT, region="us-gov-west-1"),
    "opt-in-region": Configuration(ENVIRONMENT, region="af-south-1"),
    "s3-path-style": Configuration(
        config=f"[profile work]\n{STATIC}s3 =\n  addressing_style = path\n", profile="work"
    ),
    "s3-signed-payload": Configuration(
        config=f"[profile work]\n{STATIC}s3 =\n  payload_signing_enabled = true\n", profile="work"
    ),
    "s3-legacy-us-east-1": Configuration(
        {**ENVIRONMENT, "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "legacy"}, region="us-east-1"
    ),
    "defaults-mode": Configuration({**ENVIRONMENT, "AWS_DEFAULTS_MODE": "in-region"}),
    "retry-mode": Configuration({**ENVIRONMENT, "AWS_RETRY_MODE": "adaptive", "AWS_MAX_ATTEMPTS": "3"}),
    "app-id": Configuration({**ENVIRONMENT, "AWS_SDK_UA_APP_ID": "nightly"}),
}
_WIRE: Mapping[str, Configuration] = {
    "ca-profile": Configuration(
        config=f"[profile work]\n{STATIC}ca_bundle = {{ca}}\n",
        profile="work",
        trusting=False,
        beside="ca_bundle = {ca}\n",
    ),
    "ca-requests": Configuration({**ENVIRONMENT, "REQUESTS_CA_BUNDLE": "{ca}"}, trusting=False),
    "ca-aws-beats-requests": Configuration({**ENVIRONMENT, "REQUESTS_CA_BUNDLE": "{home}/.aws/config"}),
    "proxy": Configuration({**ENVIRONMENT, "HTTPS_PROXY": "http://127.0.0.1:{open}"}),
    "proxy-lower-case": Configuration({**ENVIRONMENT, "https_proxy": "http://127.0.0.1:{open}"}),
    "proxy-without-scheme": Configuration({**ENVIRONMENT, "HTTPS_PROXY": "127.0.0.1:{open}"}),
    "proxy-authentication": Configuration(
        {**ENVIRONMENT, "HTTPS_PROXY": "http://us%20er:p%40ss@127.0.0.1:{guarded}"}
    ),
    "proxy-not-for-these": Configuration(
        {
            **ENVIRONMENT,
            "HTTPS_PROXY": "http://127.0.0.1:{open}",
            "NO_PROXY": "api.sagemaker.eu-west-1.amazonaws.com",
        }
    ),
    "proxy-not-for-suffix": Configuration(
        {**ENVIRONMENT, "HTTPS_PROXY": "http://127.0.0.1:{open}", "no_proxy": ".amazonaws.com"}
    ),
    "proxy-for-none": Configuration(
        {**ENVIRONMENT, "HTTPS_PROXY": "http://127.0.0.1:{open}", "NO_PROXY": "*"}
    ),
    "proxy-over-tls": Configuration(
        {**ENVIRONMENT, "HTTPS_PROXY": "https://127.0.0.1:{secure}", "SSL_CERT_FILE": "{ca}"}
    ),
    "proxy-of-plain-http": Configuration(
        {**ENVIRONMENT, "HTTP_PROXY": "http://127.0.0.1:{open}", "AWS_ENDPOINT_URL": "{http}"}
    ),
    "proxy-of-roles": Configuration(
        {"HTTPS_PROXY": "http://127.0.0.1:{open}"},
        config=f"[profile work]\n{REGION}{role('source_profile = base')}[profile base]\n{STATIC}",
        profile="work",
    ),
    "proxy-of-sso": Configuration(
        {"HTTPS_PROXY": "http://127.0.0.1:{open}"},
        config=f"[profile work]\n{SSO_PROFILE}{SSO_SESSION}",
        files=login("corp", "fresh"),
        profile="work",
    ),
}
CONFIGURATIONS = {**_ALONE, **_ROLES, **_TOKENS, **_ENDPOINTS, **_WIRE}
