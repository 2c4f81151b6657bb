"""Which texts are masked in messages, and which stay readable."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest

from image_history.aws.quiet import keep_passwords
from image_history.config import Publish
from image_history.errors import OutputError, SourceError
from image_history.hiding import Hidden, keep_hidden, keep_hidden_in_url, without_secrets
from image_history.publish.lakes import opened

SECRET = 'wJalr XUtnFEMI/K7MDENG+bPx"RfiCY<EXAMPLE>KEY=='
FORMS = {
    "raw": SECRET,
    "json": json.dumps(SECRET)[1:-1],
    "url": quote(SECRET, safe=""),
    "form": quote_plus(SECRET),
    "html": html.escape(SECRET),
    "base64": base64.b64encode(SECRET.encode()).decode().rstrip("="),
}


@pytest.fixture
def hidden() -> Hidden:
    """A secret in use."""
    made = Hidden(most=3)
    made.keep(SECRET)
    return made


@pytest.mark.parametrize("form", FORMS)
def test_secret_is_masked_in_every_form(hidden: Hidden, form: str) -> None:
    """A secret is masked in every form, each time that it occurs."""
    assert hidden.without(f"said <{FORMS[form]}> and {FORMS[form]}.") == "said <(hidden)> and (hidden)."


@pytest.mark.parametrize("length", [12, 20, len(SECRET) - 1])
def test_beginning_of_a_secret_is_masked(hidden: Hidden, length: int) -> None:
    """The beginning of a secret is masked, because AWS may quote a part of a token."""
    assert hidden.without(f"said {SECRET[:length]}... once") == "said (hidden)... once"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_secrets_that_begin_alike_are_masked_whole(order: tuple[int, ...]) -> None:
    """Session tokens of one account begin alike: whichever is kept last, no rest of another one is left."""
    same = "IQoJb3JpZ2luX2VjEHsaCXVzLWVhc3QtMSJ"
    secrets = (same + "A" * 300, same + "B" * 280, f"Z{same[:16]}C{'D' * 20}")
    kept = Hidden()
    kept.keep(*(secrets[number] for number in order))
    for secret in secrets:
        assert kept.without(f"the token {secret} is expired") == "the token (hidden) is expired"
    assert kept.without(f"{secrets[0]} {secrets[1]}") == "(hidden) (hidden)"
    # Places that overlap are masked as one.
    kept.keep(f"{same[-20:]}{'E' * 20}")
    assert kept.without(f"<{same}{'E' * 20}>") == "<(hidden)>"


def test_short_secret_is_masked_whole_only(hidden: Hidden) -> None:
    """Only the whole of a short secret is masked, and a text of less than eight letters is not masked at all."""
    hidden.keep("password-1", "open", None)
    assert hidden.without("the password password-1 is open") == "the password (hidden) is open"


def test_what_was_kept_last_is_masked(hidden: Hidden) -> None:
    """The number of secrets is limited: the oldest is dropped, and a secret that is kept again counts as new."""
    hidden.keep("token-no-1", "token-no-2", SECRET, "token-no-3")
    assert hidden.without(f"token-no-1 token-no-2 token-no-3 {SECRET}") == (
        "token-no-1 (hidden) (hidden) (hidden)"
    )


def test_password_of_a_proxy_is_masked() -> None:
    """The password of a proxy is masked as it is in the URL, decoded, and in a header."""
    keep_passwords({"https": "http://us%20er:p%40ssword-9@127.0.0.1:8080", "http": "http://127.0.0.1:8080"})
    header = base64.b64encode(b"us er:p@ssword-9").decode().rstrip("=")
    assert without_secrets(f"p%40ssword-9 p@ssword-9 Basic {header}") == "(hidden) (hidden) Basic (hidden)"


@pytest.mark.parametrize("hide", ["url", "catalog"])
def test_secrets_of_an_address_are_masked(hide: str) -> None:
    """Secrets in the address of a webhook or of a lake's catalog are masked in every form."""
    address = f"https://some%20body:word%2B{hide}-7@host.example/path-of-{hide}?sig=signed-{hide}"
    if hide == "url":
        keep_hidden_in_url(address, path=True)
        assert without_secrets(f"GET /path-of-{hide}") == "GET (hidden)"
    else:
        with pytest.raises(OutputError):
            opened(Publish(to="iceberg://lake/ns", properties={"type": "sql", "uri": address}))
    assert without_secrets(f"word%2B{hide}-7 word+{hide}-7 sig=signed-{hide}") == "(hidden) (hidden) (hidden)"
    keep_hidden_in_url("http://[no-address")


def test_error_has_no_secret_in_its_message() -> None:
    """A secret in an error's message is masked, without any action by the code that raises the error."""
    keep_hidden("AKIAIOSFODNN7EXAMPLE")
    assert str(SourceError("AWS said AKIAIOSFODNN7EXAMPLE.")) == "AWS said (hidden)."


@pytest.mark.parametrize(
    "text",
    [
        "arn:aws:sagemaker:us-east-1:111122223333:image-version/Team-A.Some-Long-Name-Of-An-Image-2/17",
        "/home/Somebody7/projects/history/image-history.landing/20261123T161526.572Z-5dd3d1c8/plan.json",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "wJalrXUtnFEMI0K7MDENG0bPxRfiCYNobodysKEY and AKIANOBODYS7EXAMPLE",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """A text that only looks like a secret is not masked."""
    hidden = Hidden()
    hidden.keep("AKIAIOSFODNN7EXAMPLE")
    assert hidden.without(text) == text
