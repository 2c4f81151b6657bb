from __future__ import annotations

import inspect
from typing import Any

import botocore.exceptions
import pytest

from image_history.aws import error_codes as faults
from image_history.aws.translation import translate
from image_history.errors import ConnectorError, SourceError

# These fall to the table's last row: they end the scope with botocore's own words. They mean a defect of the
# installation or of this program, and none of them is raised by the calls that are made here. A class that a
# new botocore brings belongs either here or, by its name or an ancestor's, into faults.EXCEPTIONS.
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
    """The row of the table that an exception falls on."""
    return next(base.__name__ for base in kind.__mro__ if base.__name__ in faults.EXCEPTIONS)


def test_every_exception_of_botocore_is_sorted() -> None:
    """Whatever botocore can raise has a row of its own or an ancestor's, or is named here as a defect."""
    fallen = {name for name, kind in botocore_exceptions().items() if row_of(kind) == "BotoCoreError"}
    assert fallen - DEFECTS == set()


def test_every_row_is_an_exception_of_botocore() -> None:
    """The table names no class that botocore doesn't have, so a renamed one is noticed."""
    known = {name for name, _ in inspect.getmembers(botocore.exceptions, inspect.isclass)}
    assert set(faults.EXCEPTIONS) - known == set()


def test_exceptions_beside_botocores_root_are_known() -> None:
    """Beside BotoCoreError and ClientError there is no error that a call could raise, but for warnings."""
    others = {
        name
        for name, kind in inspect.getmembers(botocore.exceptions, inspect.isclass)
        if issubclass(kind, Exception)
        and kind.__module__ == "botocore.exceptions"
        and not issubclass(
            kind, botocore.exceptions.BotoCoreError | botocore.exceptions.ClientError | Warning
        )
    }
    # Both say that the service model in botocore itself is broken.
    assert others == {"MissingServiceIdError", "UndefinedModelAttributeError"}


@pytest.mark.parametrize("name", sorted(botocore_exceptions()))
def test_exception_becomes_a_sentence(name: str) -> None:
    """Each becomes the error of its row, in one line that ends in a full stop."""
    kind = botocore_exceptions()[name]
    fault = kind.__new__(kind)
    Exception.__init__(fault, "first line\nsecond line.")
    found = translate(fault, "here")
    assert type(found) is faults.EXCEPTIONS[row_of(kind)]
    assert found.message.startswith("here failed: first line second line.")
    assert found.context["code"] == name


def test_anything_else_ends_the_scope() -> None:
    """An exception that isn't botocore's is no outage: it is told, and not repeated."""
    assert type(translate(ValueError("odd"), "here")) is SourceError


def test_codes_are_in_one_table_each() -> None:
    """No code means two things."""
    tables: list[tuple[frozenset[str], type[ConnectorError]]] = list(faults._BY_CODE)
    codes = [code for table, _ in tables for code in table]
    assert len(codes) == len(set(codes))
    assert faults.EXPIRED_CODES | faults.CLOCK_CODES <= faults.CREDENTIAL_CODES
