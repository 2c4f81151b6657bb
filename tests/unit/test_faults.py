from __future__ import annotations

import inspect
import re
from typing import Any

import botocore.exceptions
import pytest

from image_history.aws import error_codes as faults
from image_history.aws.translation import translate
from image_history.errors import ConnectorError, SourceError

# These classes belong to the table's last row: they end the scope with botocore's own words. They mean a defect of
# the installation or of this program, and the connector's calls raise none of them. A class that a new botocore
# adds belongs either here or, by its name or an ancestor's, into faults.EXCEPTIONS.
DEFECTS = {
    "ApiVersionNotFoundError",
    "AwsChunkedWrapperError",
    "BotoCoreError",
    "CapacityNotAvailableError",
    "ChecksumError",
    "DataNotFoundError",
    "FlexibleChecksumError",
    "InvalidDNSNameError",
    "InvalidExpressionError",
    "InvalidHostLabelError",
    "InvalidS3AddressingStyleError",
    "InvalidS3UsEast1RegionalEndpointConfigError",
    "MD5UnavailableError",
    "MissingParametersError",
    "OperationNotPageableError",
    "PaginationError",
    "ServiceNotInRegionError",
    "StubAssertionError",
    "StubResponseError",
    "UnStubbedResponseError",
    "UnknownClientMethodError",
    "UnknownServiceError",
    "UnknownServiceStyle",
    "UnseekableStreamError",
    "UnsupportedOutpostResourceError",
    "UnsupportedS3AccesspointConfigurationError",
    "UnsupportedS3ArnError",
    "UnsupportedS3ConfigurationError",
    "UnsupportedS3ControlArnError",
    "UnsupportedS3ControlConfigurationError",
    "UnsupportedServiceProtocolsError",
    "WaiterConfigError",
    "WaiterError",
}


def botocore_exceptions() -> dict[str, type[Exception]]:
    """Every BotoCoreError of the installed botocore, by name."""
    classes: list[tuple[str, Any]] = inspect.getmembers(botocore.exceptions, inspect.isclass)
    return {name: kind for name, kind in classes if issubclass(kind, botocore.exceptions.BotoCoreError)}


def row_of(kind: type[Exception]) -> str:
    """The row of the table that applies to an exception."""
    return next(base.__name__ for base in kind.__mro__ if base.__name__ in faults.EXCEPTIONS)


def test_every_exception_of_botocore_is_sorted() -> None:
    """Every BotoCoreError has a row of its own or an ancestor's, or is listed here as a defect."""
    fallen = {name for name, kind in botocore_exceptions().items() if row_of(kind) == "BotoCoreError"}
    assert fallen - DEFECTS == set()


def test_every_row_is_an_exception_of_botocore() -> None:
    """The table names only classes that botocore has, so that a renamed class is noticed."""
    known = {name for name, _ in inspect.getmembers(botocore.exceptions, inspect.isclass)}
    assert set(faults.EXCEPTIONS) - known == set()


def test_exceptions_beside_botocores_root_are_known() -> None:
    """Besides BotoCoreError, ClientError and warnings, botocore has only two exceptions, both known."""
    others = {
        name
        for name, kind in inspect.getmembers(botocore.exceptions, inspect.isclass)
        if issubclass(kind, Exception)
        and kind.__module__ == "botocore.exceptions"
        and not issubclass(
            kind, botocore.exceptions.BotoCoreError | botocore.exceptions.ClientError | Warning
        )
    }
    # Both mean that the service model in botocore itself is broken.
    assert others == {"MissingServiceIdError", "UndefinedModelAttributeError"}


@pytest.mark.parametrize(
    "said", ["first line\nsecond line", "first line\r\n second line.", "first line second line..."]
)
@pytest.mark.parametrize("name", sorted(botocore_exceptions()))
def test_exception_becomes_a_sentence(name: str, said: str) -> None:
    """Each exception becomes the error of its row, in one line of whole sentences; its class name is the code."""
    kind = botocore_exceptions()[name]
    fault = kind.__new__(kind)
    Exception.__init__(fault, said)
    found = translate(fault, "here")
    assert type(found) is faults.EXCEPTIONS[row_of(kind)]
    first, *hint = re.split(r"(?<=\.) ", found.message)
    assert first == "here failed: first line second line."
    assert len(found.message.splitlines()) == 1
    assert all(re.fullmatch(r"[A-Z].*[^.]\.", each) for each in hint), found.message
    assert found.context["code"] == name


def test_anything_else_ends_the_scope() -> None:
    """An exception that is not botocore's becomes a SourceError, which ends the scope."""
    assert type(translate(ValueError("odd"), "here")) is SourceError


def test_codes_are_in_one_table_each() -> None:
    """No error code is in two tables."""
    tables: list[tuple[frozenset[str], type[ConnectorError]]] = list(faults._BY_CODE)
    codes = [code for table, _ in tables for code in table]
    assert len(codes) == len(set(codes))
    assert faults.EXPIRED_CODES | faults.CLOCK_CODES <= faults.CREDENTIAL_CODES
