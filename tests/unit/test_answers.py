"""Answers are checked against the request."""

from __future__ import annotations

import msgspec
import pytest

from image_history.aws.answers import Owner, require_subject
from image_history.aws.bodies import Answer, DescribedImage, DescribedImageVersion, ImagesBody
from image_history.errors import MalformedResponseError
from tests.unit.fakes import answer, image, images_page, page, version

STEM = "arn:aws:sagemaker:us-east-1:111122223333"
OWNER = Owner("us-east-1", "111122223333")
FOREIGN = "arn:aws:sagemaker:us-east-1:999988887777:image/base"
NAMED = {"ImageName": "Base", "Version": 3}


def described(number: int = 3, **changes: str) -> Answer[DescribedImageVersion]:
    """The answer of DescribeImageVersion for a version of Base."""
    arns = {"ImageArn": f"{STEM}:image/base", "ImageVersionArn": f"{STEM}:image-version/base/{number}"}
    members = {"CreationTime": 0, "LastModifiedTime": 0, "ImageVersionStatus": "CREATED", **arns, **changes}
    return answer(msgspec.convert({"Version": number, **members}, DescribedImageVersion))


def described_image(name: str = "Base", arn: str = f"{STEM}:image/base") -> Answer[DescribedImage]:
    """The answer of DescribeImage."""
    return answer(DescribedImage(name, arn, "CREATED", 0.0, 0.0))


@pytest.mark.parametrize(
    ("operation", "right"),
    [
        ("ListImages", images_page(["Base", "other"])),
        ("ListImages", images_page([])),
        ("DescribeImage", described_image()),
        ("DescribeImage", described_image(arn="None")),
        ("DescribeImageVersion", described()),
        ("DescribeImageVersion", described(ImageVersionArn="None")),
    ],
)
def test_answer_about_what_was_asked_is_taken(operation: str, right: Answer[object]) -> None:
    """Upper and lower case may differ between name and ARN, and an ARN may be the text None: AWS answers so."""
    assert require_subject(operation, NAMED, right, OWNER) == "111122223333"


@pytest.mark.parametrize(
    ("operation", "wrong"),
    [
        (
            "ListImages",
            answer(ImagesBody((image("Base"), described_image("x").body))),
        ),
        ("ListImageVersions", page([version(3)])),
        ("DescribeImage", described_image("Other")),
        ("DescribeImage", described_image(arn=f"{STEM}:image/case")),
        ("DescribeImage", described_image(arn=FOREIGN)),
        ("DescribeImageVersion", described(ImageArn=FOREIGN)),
        (
            "DescribeImageVersion",
            described(ImageVersionArn=f"{FOREIGN.replace('image/', 'image-version/')}/3"),
        ),
        ("DescribeImageVersion", described(ImageArn=f"{STEM}:image/base".replace("us-east-1", "eu-west-1"))),
        ("DescribeImageVersion", described(ImageArn=f"{STEM}:image/base".replace("aws", "aws-cn"))),
        ("DescribeImageVersion", described(4)),
        ("DescribeImageVersion", described(ImageArn=f"{STEM}:image/database")),
        ("DescribeImageVersion", described(ImageVersionArn=f"{STEM}:image-version/base/33")),
    ],
)
def test_answer_about_something_else_is_malformed(operation: str, wrong: Answer[object]) -> None:
    """An answer with an ARN that names another image, version, region, partition or account is malformed."""
    with pytest.raises(MalformedResponseError, match=f"{operation} answered with the ARN .* request-id"):
        require_subject(operation, NAMED, wrong, OWNER)


@pytest.mark.parametrize("account_id", [None, "111122223333"])
def test_answer_of_two_accounts_is_malformed(account_id: str | None) -> None:
    """If the account is not known, all ARNs of an answer must name the same account."""
    mixed = answer(ImagesBody((image("Base"), described_image(arn=FOREIGN).body)))
    with pytest.raises(MalformedResponseError, match="999988887777"):
        require_subject("ListImages", {}, mixed, Owner("us-east-1", account_id))
    alone = answer(ImagesBody((described_image(arn=FOREIGN).body,)))
    assert require_subject("ListImages", {}, alone, Owner("us-east-1")) == "999988887777"
