"""Decodes and validates SageMaker's answers in botocore's `before-parse` event; botocore gets an empty object.

botocore needs 3 ms to parse 100 versions, and treats malformed bodies as an empty last page. Must not know retry,
pages or streams.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from image_history.aws.answers import read_answer
from image_history.aws.bodies import Answer, readable_error

_MEMBER = "(decoded answer)"


def decode_answer(
    operation_model: Any, response_dict: Any, customized_response_dict: Any, **_: object
) -> None:
    """Handle botocore's `before-parse` event. MalformedResponseError for an invalid success."""
    status, body = response_dict["status_code"], response_dict["body"]
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        # botocore fails on error bodies that are not an object of texts.
        response_dict["body"] = readable_error(body)
        return
    answer = read_answer(operation_model.name, status, response_dict["headers"], body)
    response_dict["body"] = b"{}"
    customized_response_dict[_MEMBER] = answer


def decoded(response: Any) -> Answer[Any]:
    """The decoded answer in a client's response."""
    answer: Answer[Any] = response[_MEMBER]
    return answer
