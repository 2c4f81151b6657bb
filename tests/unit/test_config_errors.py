"""Each fault of a configuration file is one sentence: where it is, what is wrong, and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_history.config import load_config
from image_history.errors import ConfigError


def complaint(folder: Path, content: str | bytes) -> str:
    """The message with which loading `content` fails."""
    path = folder / "config.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    prefix = f"{folder}/"
    assert caught.value.message.startswith(prefix)
    return caught.value.message.removeprefix(prefix)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(
            "page_size: 500",
            "config.yaml:1: page_size must be a whole number from 1 to 100, but it is the number 500.",
            id="above",
        ),
        pytest.param(
            "\n\nconcurrency: 0",
            "config.yaml:3: concurrency must be a whole number from 1 to 256, but it is the number 0.",
            id="below",
        ),
        pytest.param(
            'page_size: "50"',
            "config.yaml:1: page_size must be a whole number from 1 to 100, "
            "but it is the text '50'; remove the quotes.",
            id="quoted-number",
        ),
        pytest.param(
            "page_size: 010",
            "config.yaml:1: page_size must be a whole number from 1 to 100, but it is the number 010.",
            id="octal",
        ),
        pytest.param(
            "page_size:",
            "config.yaml:1: page_size has no value; it must be a whole number from 1 to 100.",
            id="none",
        ),
        pytest.param(
            "rate: {list_per_second: .inf}",
            "config.yaml:1: rate.list_per_second must be a number above 0 and up to 10000, "
            "but it is the number .inf.",
            id="infinite",
        ),
        pytest.param(
            "lookback: 15",
            "config.yaml:1: lookback: '15' has no unit; write for example 15s, 15m or 15h.",
            id="bare",
        ),
        pytest.param(
            "timeout: {read: 0s}",
            "config.yaml:1: timeout.read must be a duration longer than 0s, such as 30s, 15m, 26h or 7d, "
            "but it is the text '0s'.",
            id="zero-duration",
        ),
        pytest.param(
            "accounts:\n  - profile: 123",
            "config.yaml:2: accounts[0].profile must be the name of a profile of your AWS configuration, "
            "but it is the number 123; put it in quotes.",
            id="number-for-text",
        ),
        pytest.param(
            "accounts:\n  - profile: on",
            "config.yaml:2: accounts[0].profile must be the name of a profile of your AWS configuration, "
            "but it is on, which YAML reads as true or false; put it in quotes.",
            id="boolean-for-text",
        ),
        pytest.param(
            "warehouse: 2026-01-01",
            "config.yaml:1: warehouse must be a path, "
            "but it is 2026-01-01, which YAML reads as a date; put it in quotes.",
            id="date-for-path",
        ),
        pytest.param(
            "warehouse: ' '", "config.yaml:1: warehouse must be a path, but it is empty.", id="empty-path"
        ),
        pytest.param(
            "rate: 5",
            "config.yaml:1: rate must be a mapping of list_per_second, describe_per_second, "
            "but it is the number 5.",
            id="number-for-group",
        ),
        pytest.param(
            "page_size: [5]",
            "config.yaml:1: page_size must be a whole number from 1 to 100, but it is a list.",
            id="list-for-number",
        ),
        pytest.param(
            "page_size: {rows: 5}",
            "config.yaml:1: page_size must be a whole number from 1 to 100, but it is a mapping.",
            id="mapping-for-number",
        ),
        pytest.param(
            "lookback: yes",
            "config.yaml:1: lookback must be a duration, such as 30s, 15m, 26h or 7d, "
            "but it is yes, which YAML reads as true or false.",
            id="boolean-for-duration",
        ),
        pytest.param(
            "accounts:\n- regions: us-east-1",
            "config.yaml:2: accounts[0].regions must be a list "
            "(each item: the name of one AWS region, such as us-east-1) or the word all, "
            "but it is the text 'us-east-1'; write it in brackets, as a list: [us-east-1].",
            id="text-for-list",
        ),
        pytest.param(
            "details_budget: 0",
            "config.yaml:1: details_budget must be a whole number from 1 on, but it is the number 0.",
            id="no-upper-bound",
        ),
        pytest.param(
            "publish: [{to: s3://bucket/x, sse: kms}]",
            "config.yaml:1: publish[0].sse must be AES256, aws:kms or aws:kms:dsse, but it is the text 'kms'.",
            id="word",
        ),
        pytest.param(
            'page_size: "\\ud800"',
            "config.yaml:1: page_size must be a whole number from 1 to 100, but it is the text '\\ud800'.",
            id="half-a-character-for-number",
        ),
        pytest.param(
            "publish: [{properties: {a: [b]}}]",
            "config.yaml:1: publish[0].properties must be names with a text each, such as {type: glue}, "
            "but it is a mapping.",
            id="list-for-text-of-a-property",
        ),
        pytest.param(
            "rate:\n  - 5",
            "config.yaml:1: rate must be a mapping of list_per_second, describe_per_second, but it is a list.",
            id="below-its-name",
        ),
        pytest.param(
            "accounts: []", "config.yaml:1: accounts is an empty list; it must have at least 1 item.", id="[]"
        ),
    ],
)
def test_wrong_value_says_what_is_allowed(tmp_path: Path, text: str, sentence: str) -> None:
    """The message for a wrong value has line, full name, what is allowed and what was found."""
    assert complaint(tmp_path, text) == sentence


@pytest.mark.parametrize(
    ("text", "part"),
    [
        pytest.param(
            "accounts: [{role_arn: 'arn:aws:iam::1:role/x'}]", "the ARN of an IAM role", id="account-id"
        ),
        pytest.param(
            "accounts: [{role_arn: 'arn:aws:iam::123456789012:user/x'}]",
            "the ARN of an IAM role",
            id="user-arn",
        ),
        pytest.param("accounts: [{external_id: 'a'}]", "2 to 1224 letters", id="external-id"),
        pytest.param(
            "accounts: [{regions: [all]}]", "regions[0] must be the name of one AWS region", id="all"
        ),
        pytest.param("accounts: [{regions: [US-EAST-1]}]", "the name of one AWS region", id="upper-case"),
        pytest.param("accounts: [{regions: []}]", "regions is an empty list", id="no-region"),
        pytest.param("accounts: [{images: {include: []}}]", "include is an empty list", id="no-pattern"),
        pytest.param("accounts: [{images: {exclude: [a/b]}}]", "a pattern for image names", id="pattern"),
        pytest.param("accounts: [null]", "accounts[0] must be a mapping", id="empty-entry"),
        pytest.param('warehouse: "a\\0b"', "contains a control character", id="nul"),
        pytest.param('warehouse: "\\ud800"', "half a character", id="surrogate"),
        pytest.param("warehouse: ~nobody-is-called-so/x", "is no user's home", id="home"),
        pytest.param("warehouse: ..", "warehouse names a folder", id="folder"),
        pytest.param(
            "notify: [{webhook: 'https://[x/y'}]",
            "notify[0].webhook must be an address that begins with https://.",
            id="no-address",
        ),
        pytest.param(
            "warehouse: x\nlanding: x", ":2: the landing folder and the warehouse would both", id="landing"
        ),
    ],
)
def test_impossible_value_is_refused(tmp_path: Path, text: str, part: str) -> None:
    """A value of the right type that can never work is refused when the configuration is loaded."""
    assert part in complaint(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("pagesize: 5", "there is no setting 'pagesize'; did you mean page_size?", id="typo"),
        pytest.param(
            "timeout: {conect: 5s}",
            "there is no setting 'conect' in timeout; did you mean connect?",
            id="nested",
        ),
        pytest.param(
            "accounts: [{regoins: []}]",
            "there is no setting 'regoins' in accounts[0]; did you mean regions?",
            id="item",
        ),
        pytest.param(
            "list_per_second: 3",
            "there is no setting 'list_per_second'; did you mean rate.list_per_second?",
            id="misplaced",
        ),
        pytest.param(
            "rate: {x: 1}", "there is no setting 'x' in rate; there are list_per_second, describe", id="far"
        ),
        pytest.param("5: 1", "there is no setting '5'; there are warehouse, landing", id="number"),
        pytest.param(
            "rate: {list_per_secon: 1}\nretries: {}",
            "there is no setting 'list_per_secon' in rate; did you mean list_per_second?",
            id="first-of-two",
        ),
        pytest.param('"\\a\\n": 1', "there is no setting '\\x07\\n'", id="control-characters"),
    ],
)
def test_unknown_setting_gets_the_nearest_right_one(tmp_path: Path, text: str, sentence: str) -> None:
    """An unknown key is an error with the nearest right name, or with all names if none is near."""
    assert complaint(tmp_path, text).startswith(f"config.yaml:1: {sentence}")


@pytest.mark.parametrize(
    "text",
    [
        "accounts:\n  - aws_access_key_id: hush",
        "accounts:\n  - {profile: a, AWS-Secret-Access-Key: hush}",
        "anything:\n  - [{session_token: hush}]",
        "# \nsecret: hush",
        "\naws_session_token: ${HUSH}",
        "accounts:\n  - profile: AKIAIOSFODNN7EXAMPLE",
        "\nASIAIOSFODNN7EXAMPLE: x",
    ],
)
def test_credentials_are_refused_without_being_repeated(tmp_path: Path, text: str) -> None:
    """A credential is refused anywhere in the file; the message says what to use and does not show the credential."""
    message = complaint(tmp_path, text)
    assert message.startswith("config.yaml:2: ")
    assert "credentials don't belong in this configuration; name a profile" in message
    assert "hush" not in message
    assert "IOSFODNN7EXAMPLE" not in message


@pytest.mark.parametrize(
    "text",
    [
        "notify: https://hooks.slack.com/services/HUSH",
        "notify: [HTTPS://hooks.slack.com/services/HUSH]",
        "notify: ${HUSH}",
        "AKIAIOSFODNN7EXAMPLE: 1\nAKIAIOSFODNN7EXAMPLE: 2",
    ],
)
def test_what_a_message_quotes_is_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A message quotes neither the address of a webhook nor a repeated name, which may be an access key."""
    monkeypatch.setenv("HUSH", "https://hooks.slack.com/services/HUSH")
    message = complaint(tmp_path, text)
    assert "/HUSH" not in message
    assert "IOSFODNN7EXAMPLE" not in message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        pytest.param(
            "profile: a\n    role_arn: R", ":2: accounts[0] has both profile and role_arn", id="both"
        ),
        pytest.param("external_id: abc", ":2: accounts[0].external_id needs a role_arn", id="external-id"),
        pytest.param("source_profile: abc", ":2: accounts[0].source_profile needs a role_arn", id="source"),
        pytest.param(
            "profile: a\n  - profile: a", ":3: the default region with profile a is covered twice", id="same"
        ),
        pytest.param(
            "regions: [us-east-1, us-east-1]", ":2: us-east-1 with the default credentials", id="within"
        ),
        pytest.param(
            "regions: [us-east-1]\n  - regions: [eu-west-1, us-east-1]",
            ":3: us-east-1 with the default credentials is covered twice, by accounts[0] and accounts[1]",
            id="overlap",
        ),
        pytest.param(
            "role_arn: R\n  - {role_arn: R, source_profile: b}", "with role arn:aws:iam::1", id="same-role"
        ),
        pytest.param(
            "regions: all\n  - {profile: null, regions: [us-east-1]}",
            "us-east-1 with the default credentials is covered twice, by accounts[0] and accounts[1]",
            id="all-and-one",
        ),
        pytest.param(
            "profile: a\n  - {profile: a, regions: all}", "every region with profile a is covered", id="all"
        ),
    ],
)
def test_accounts_that_contradict_each_other_are_refused(tmp_path: Path, text: str, part: str) -> None:
    """An entry with two identities is refused, and so is a region that two entries read with the same identity."""
    arn = "arn:aws:iam::123456789012:role/reader"
    assert part in complaint(
        tmp_path, f"accounts:\n  - {text}".replace(" R", f" {arn}").replace("R,", f"{arn},")
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        pytest.param("{profile: root}", ":1: organization needs a role_name", id="no-role"),
        pytest.param("{exclude: {units: [ou-ab12-cdef3456]}}", "organization needs a role_name", id="filter"),
        pytest.param("{role_name: a b}", "the name of an IAM role", id="role-name"),
        pytest.param("{role_name: 'arn:aws:iam::1:role/x'}", "the name of an IAM role", id="role-arn"),
        pytest.param("{role_name: r, regions: every}", "or the word all, but it is", id="regions"),
        pytest.param("{role_name: r, include: {units: [o-ab12cd34ef]}}", "organizational unit", id="unit"),
        pytest.param(
            "{role_name: r, include: {accounts: [111122223333]}}",
            "an account id of 12 digits, in quotes, but it is the number 111122223333; put it in quotes",
            id="number",
        ),
        pytest.param(
            "{role_name: r, include: {accounts: ['111122223333']}, exclude: {accounts: ['111122223333']}}",
            "organization includes and excludes 111122223333",
            id="both",
        ),
    ],
)
def test_organization_that_contradicts_itself_is_refused(tmp_path: Path, text: str, part: str) -> None:
    """An organization without a role is refused, and so is an account that is both included and excluded."""
    assert part in complaint(tmp_path, f"organization: {text}")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(
            "page_size: 5\npage_size: 6", "2: 'page_size' is given twice (first in line 1)", id="twice"
        ),
        pytest.param("rate: {a: 1, a: 2}", "1: 'a' is given twice", id="twice-nested"),
        pytest.param("a: 1\n---\nb: 2", "2: a second document begins", id="two-documents"),
        pytest.param("- a", "1: the file must consist of settings", id="list"),
        pytest.param("\nhello", "2: the file must consist of settings", id="text"),
        pytest.param("rate:\n\tlist_per_second: 5", "2: there is a tab", id="tab"),
        pytest.param(
            "landing: x\nwarehouse: caf\xe9".encode("latin-1"), "2: this is not UTF-8", id="latin-1"
        ),
        pytest.param("page_size: 5".encode("utf-16"), "1: this is not UTF-8", id="utf-16"),
        pytest.param("a: 1\nb: \x07", "2: there is a control character", id="control"),
        pytest.param("a: &x [1]\nb: *x", "1: YAML anchors and aliases", id="anchor"),
        pytest.param("a: *x", "1: YAML anchors and aliases", id="alias"),
        pytest.param("accounts: [{images: {include: [*]}}]", "1: YAML anchors and aliases", id="star"),
        pytest.param(
            "accounts: [{images: {include: [*-dev]}}]", "1: YAML anchors and aliases", id="star-suffix"
        ),
        pytest.param("a: !!python/object/apply:os.system [x]", "1: YAML tags", id="python-tag"),
        pytest.param("a: !x!y z", "1: YAML tags", id="undefined-tag"),
        pytest.param("? [a]\n: b", "1: the name of a setting must be plain text", id="list-as-key"),
        pytest.param("warehouse: 'x", "1: a quote is not closed", id="quote"),
        pytest.param("accounts: [a\nrate: x", "2: a bracket is not closed", id="bracket"),
        pytest.param("warehouse: a: b", "1: this ': ' doesn't fit", id="colon"),
        pytest.param("warehouse: @x", "1: a value that begins with @", id="at"),
        pytest.param("warehouse: x\nlanding\n", "3: this is no 'name: value'", id="no-colon"),
        pytest.param("rate:\n  a: 1\n b: 2", "3: this isn't valid YAML", id="indentation"),
        pytest.param("[" * 5000, "1: this is nested deeper than 12 levels", id="deep"),
        pytest.param('a: "\\UFFFFFFFF"', "1: there is an impossible number", id="escape"),
        pytest.param(f"%YAML 1.{'9' * 5000}\n---\na: 1", "1: there is an impossible number", id="version"),
    ],
)
def test_malformed_file_names_the_line(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    """A file that is not a plain YAML mapping is refused with its line and a hint."""
    assert complaint(tmp_path, content).startswith(f"config.yaml:{sentence}")


def test_alias_bomb_is_refused_at_its_first_anchor(tmp_path: Path) -> None:
    """YAML aliases, which could expand without bound, are refused and not expanded."""
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert "anchors and aliases" in complaint(tmp_path, "\n".join(["a0: &a0 [x]", *levels]))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        pytest.param("to: d\n    sse: AES256", "publish[0].sse is for S3, and 'to' is a folder", id="sse"),
        pytest.param("to: d\n    kms_key_id: k", "publish[0].kms_key_id is for S3", id="key-in-folder"),
        pytest.param(
            "to: s3://b/x\n    kms_key_id: k", "publish[0].kms_key_id needs sse: aws:kms", id="key-alone"
        ),
        pytest.param(
            "to: s3://b/x\n    sse: AES256\n    kms_key_id: k",
            "publish[0].kms_key_id needs sse: aws:kms",
            id="key",
        ),
        pytest.param(
            "to: s3://b/x\n    group: staff", "publish[0].group is for a dataset in a folder", id="group"
        ),
        pytest.param(
            "to: r.html\n    group: staff", "publish[0].group is for a dataset in a folder", id="report"
        ),
        pytest.param("to: s3://b/x\n    sse: kms", "publish[0].sse", id="unknown-sse"),
        pytest.param("to: d\n    group: 100", "publish[0].group must be the name or the number", id="number"),
    ],
)
def test_setting_of_a_dataset_stands_beside_the_place_that_it_is_for(
    tmp_path: Path, entry: str, said: str
) -> None:
    """Encryption is only for S3, a group is only for a folder, and a key needs its kind of encryption."""
    path = tmp_path / "config.yaml"
    path.write_text(f"publish:\n  - {entry}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_config(path, {})
    assert said in raised.value.message
