"""What is masked in messages, and what stays readable."""

from __future__ import annotations

import pytest

from image_history.errors import SourceError, without_secrets


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        "wJalrXUtnFEMI+K7MDENG+bPxRfiCYEXAMPLEKEY",
        "cIws2QhTXUIa8bi8X9" * 2,
        "FwoGZXIvYXdz/EBYaDGVhc3RlcmVn+" * 9 + "==",
    ],
)
def test_secret_is_masked(secret: str) -> None:
    """Wherever it stands in a sentence, and in an error's message too."""
    assert without_secrets(f"said <{secret}> once") == "said <(hidden)> once"
    assert str(SourceError(f"AWS said {secret}.")) == "AWS said (hidden)."


@pytest.mark.parametrize(
    "text",
    [
        "arn:aws:sagemaker:us-east-1:111122223333:image-version/Team-A.Some-Long-Name-Of-An-Image-2/17",
        "/home/Somebody7/projects/history/image-history.landing/20261123T161526.572Z-5dd3d1c8/plan.json",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "11111111-2222-3333-4444-555555555555",
        "IMAGE_HISTORY_RATE__LIST_PER_SECOND",
        "RefreshWithMFAUnsupportedErrorInAllItsLength",
    ],
)
def test_other_long_words_stay(text: str) -> None:
    """ARNs, paths, digests, ids, and names of settings and errors are what a message is for."""
    assert without_secrets(text) == text
