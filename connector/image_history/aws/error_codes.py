"""Maps AWS's error codes and botocore's exceptions to our own errors.

Tables of names only; must not import botocore, so that a test can compare them with the botocore that is installed.
Codes and exceptions are sorted by whether a second attempt can succeed.
"""

from __future__ import annotations

from http import HTTPStatus

from image_history.errors import (
    AccessDeniedError,
    ConfigError,
    ConnectorError,
    CredentialsError,
    ImageNotFoundError,
    RequestRejectedError,
    ServiceUnavailableError,
    SourceError,
    ThrottledError,
)

# Operations on an account rather than on its images.
ACCOUNT_OPERATIONS = frozenset(
    {
        "DescribeRegions",
        "GetCallerIdentity",
        "ListAccounts",
        "ListAccountsForParent",
        "ListOrganizationalUnitsForParent",
        "ListRegions",
    }
)
THROTTLING_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
UNAVAILABLE_CODES = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "InternalServiceError",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)
EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException"})
CLOCK_CODES = frozenset(
    {"InvalidSignatureException", "RequestExpired", "RequestTimeTooSkewed", "SignatureDoesNotMatch"}
)
# Returned for keys that AWS does not know, and for all keys of an account that has not enabled the region.
UNKNOWN_KEY_CODES = frozenset({"InvalidClientTokenId", "UnrecognizedClientException"})
CREDENTIAL_CODES = (
    frozenset(
        {
            "IncompleteSignature",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
        }
    )
    | UNKNOWN_KEY_CODES
    | EXPIRED_CODES
    | CLOCK_CODES
)
DENIED_CODES = frozenset(
    {"AccessDenied", "AccessDeniedException", "NotAuthorized", "OptInRequired", "UnauthorizedOperation"}
)
NOT_FOUND_CODES = frozenset({"ResourceNotFound", "ResourceNotFoundException"})
VALIDATION_CODES = frozenset({"ValidationException", "ValidationError"})

_THROTTLING_STATUSES = frozenset({429, 509})
_TRANSIENT_STATUSES = frozenset({408, 425})
_PERMANENT_SERVER_STATUSES = frozenset({501, 505})

_BY_CODE: tuple[tuple[frozenset[str], type[ConnectorError]], ...] = (
    (THROTTLING_CODES, ThrottledError),
    (UNAVAILABLE_CODES, ServiceUnavailableError),
    (CREDENTIAL_CODES, CredentialsError),
    (DENIED_CODES, AccessDeniedError),
    (NOT_FOUND_CODES, ImageNotFoundError),
    (VALIDATION_CODES, RequestRejectedError),
)


def error_class(code: str, status: int) -> type[ConnectorError]:
    """The class of an error answer: by its code, else by its HTTP status. Unknown errors are not retried."""
    for codes, kind in _BY_CODE:
        if code in codes:
            return kind
    if status in _THROTTLING_STATUSES:
        return ThrottledError
    if status in _TRANSIENT_STATUSES or (
        status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _PERMANENT_SERVER_STATUSES
    ):
        return ServiceUnavailableError
    if status in {401, 403}:
        return AccessDeniedError
    return RequestRejectedError


# By class name, looked up along an exception's ancestors, nearest first; the last row catches the rest.
EXCEPTIONS: dict[str, type[ConnectorError]] = {
    # no answer, or half of one
    "ConnectionError": ServiceUnavailableError,
    "HTTPClientError": ServiceUnavailableError,
    "IncompleteReadError": ServiceUnavailableError,
    "CredentialRetrievalError": ServiceUnavailableError,
    "MetadataRetrievalError": ServiceUnavailableError,
    # credentials
    "NoCredentialsError": CredentialsError,
    "PartialCredentialsError": CredentialsError,
    "NoAuthTokenError": CredentialsError,
    "TokenRetrievalError": CredentialsError,
    "SSOError": CredentialsError,
    "LoginError": CredentialsError,
    "RefreshWithMFAUnsupportedError": CredentialsError,
    "InfiniteLoopConfigError": CredentialsError,
    "UnauthorizedSSOTokenError": CredentialsError,
    "UnknownCredentialError": CredentialsError,
    "InvalidIMDSEndpointError": CredentialsError,
    "InvalidIMDSEndpointModeError": CredentialsError,
    "UnknownTokenProviderError": CredentialsError,
    "UnknownSignatureVersionError": CredentialsError,
    "UnsupportedSignatureVersionError": CredentialsError,
    # configuration: ours, AWS's files, the environment
    "ProfileNotFound": ConfigError,
    "ConfigNotFound": ConfigError,
    "ConfigParseError": ConfigError,
    "InvalidConfigError": ConfigError,
    "NoRegionError": ConfigError,
    "InvalidRegionError": ConfigError,
    "InvalidEndpointConfigurationError": ConfigError,
    "UnknownEndpointError": ConfigError,
    "UnknownRegionError": ConfigError,
    "BaseEndpointResolverError": ConfigError,
    "EndpointProviderError": ConfigError,
    "EndpointVariantError": ConfigError,
    "InvalidChecksumConfigError": ConfigError,
    "InvalidEndpointDiscoveryConfigurationError": ConfigError,
    "InvalidProxiesConfigError": ConfigError,
    "InvalidRetryConfigurationError": ConfigError,
    "InvalidRetryModeError": ConfigError,
    "InvalidDefaultsMode": ConfigError,
    "InvalidSTSRegionalEndpointsConfigError": ConfigError,
    "UnsupportedTLSVersionWarning": ConfigError,
    "MissingDependencyException": ConfigError,
    # a request that botocore refuses to send
    "ParamValidationError": RequestRejectedError,
    "ValidationError": RequestRejectedError,
    # any other exception of botocore is a defect of the installation: not retried, never hidden
    "BotoCoreError": SourceError,
}
