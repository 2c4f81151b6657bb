"""The configuration as a frozen value: every setting with its type, default, bounds and meaning.

The text below a setting is its meaning, which also appears in the JSON Schema and in docs/configuration.md. Must
not know where values come from: no YAML, no environment, no clock, no AWS.
"""

# Annotations are read at run time: the reader, the JSON Schema and the list of settings are built from them.
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

# A list that must not be empty.
SOME = Meta(min_length=1)


def _text(expected: str, pattern: str | None = None, *, longest: int | None = None) -> Meta:
    """The rules for a text; `expected` describes it in messages, after "must be"."""
    return Meta(min_length=1, max_length=longest, pattern=pattern, extra={"expected": expected})


def _one_of(*words: str) -> Meta:
    """One of these words."""
    return _text(f"{', '.join(words[:-1])} or {words[-1]}", f"^({'|'.join(words)})$")


Profile = Annotated[str, _text("the name of a profile of your AWS configuration", longest=256)]
ROLE_ARN = _text(
    "the ARN of an IAM role, such as arn:aws:iam::123456789012:role/image-history",
    r"^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/([\x21-\x7e]{1,510}/)?[A-Za-z0-9_+=,.@-]{1,64}$",
)
ROLE_NAME = _text(
    "the name of an IAM role, with its path if it has one, such as image-history",
    # A colon is allowed in a path, but most likely it comes from an ARN.
    r"^([!-.0-9;-~][!-9;-~]{0,509}/)?[A-Za-z0-9_+=,.@-]{1,64}$",
)
EXTERNAL_ID = _text(
    "the external id of a role: 2 to 1224 letters, digits and _+=,.@:/-", r"^[A-Za-z0-9_+=,.@:/-]{2,1224}$"
)
ACCOUNT_ID = _text("an account id of 12 digits, in quotes", r"^[0-9]{12}$")
UNIT_ID = _text(
    "the id of an organizational unit or of a root, such as ou-ab12-cdef3456",
    r"^(r-[0-9a-z]{4,32}|ou-[0-9a-z]{4,32}-[0-9a-z]{8,32})$",
)
REGION = _text(
    "the name of one AWS region, such as us-east-1", r"^[a-z]{2,10}(-[a-z]{2,12}){1,3}-[0-9]{1,2}$"
)
Regions = Annotated[tuple[Annotated[str, REGION], ...], SOME] | Literal["all"]
GLOB = _text(
    "a pattern for image names: letters, digits, '.', '-', and *, ? or [abc] as wildcards",
    r"^[A-Za-z0-9.*?\[\]!-]{1,256}$",
)
Globs = tuple[Annotated[str, GLOB], ...]
LOCATION = _text(
    "a folder, or an address such as s3://bucket/folder, iceberg://CATALOG/NAMESPACE, "
    "delta+s3://bucket/folder or delta+file:/folder",
    longest=4096,
)
RELATION = _text(
    "the name of a table or view of the warehouse, such as image_versions", r"^[a-z_][a-z0-9_]{0,62}$"
)
Relations = tuple[Annotated[str, RELATION], ...]
ENCRYPTION = _one_of("AES256", "aws:kms", "aws:kms:dsse")
KMS_KEY = _text(
    "the id, the alias or the ARN of a KMS key, such as alias/history", r"^[A-Za-z0-9:/_-]{1,2048}$"
)
UNIX_GROUP = _text(
    "the name or the number of a group of this machine, in quotes if it is a number",
    r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$",
)
PROPERTIES = Meta(extra={"expected": "names with a text each, such as {type: glue}"})
LABEL = _text(
    "a label of up to 63 letters, digits and _.-, such as gov", r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
)
QUEUE_URL = _text(
    "the address of an SQS queue, such as https://sqs.us-east-1.amazonaws.com/123456789012/image-history",
    r"^https?://[A-Za-z0-9.:\[\]-]{1,255}/[0-9]{12}/[A-Za-z0-9_-]{1,80}(\.fifo)?$",
)
NEWS = ("deleted", "failed", "stuck", "held_back", "stale", "unread", "drift")
News = tuple[Annotated[str, _one_of(*NEWS)], ...]
Command = tuple[Annotated[str, _text("a word of a command", longest=4096)], ...]
# Checked in checks.py, whose messages do not repeat the address.
WEBHOOK = _text("an address, as in ${SLACK_WEBHOOK}", longest=4096)
PositiveDuration = Annotated[timedelta, Meta(extra={"positive": True})]


class Group(Struct, frozen=True, forbid_unknown_fields=True):
    """What all groups of settings have in common."""

    def __post_init__(self) -> None:
        """Expand `~` to a home directory, in Python as in the file."""
        for name in ("warehouse", "landing", "queries", "folder"):
            path = getattr(self, name, None)
            if path is not None:
                structs.force_setattr(self, name, Path(path).expanduser())


class Images(Group, frozen=True):
    """Which images of an account are read: those that match `include` and don't match `exclude`."""

    include: Annotated[Globs, SOME] = ("*",)
    """Images to read: names or patterns, case-sensitive."""
    exclude: Globs = ()
    """Images to leave out, even if `include` matches them."""


class Account(Group, frozen=True):
    """One set of credentials and the regions to read with it. By default, those that the AWS CLI would use."""

    profile: Profile | None = None
    """Profile of your AWS configuration. Default: AWS's own credential chain."""
    role_arn: Annotated[str, ROLE_ARN] | None = None
    """Role to assume instead of a profile; any partition."""
    external_id: Annotated[str, EXTERNAL_ID] | None = None
    """External id that the role requires. Only with `role_arn`."""
    source_profile: Profile | None = None
    """Profile whose credentials assume the role. Only with `role_arn`. Default: AWS's own credential chain."""
    regions: Regions | None = None
    """Regions to read, or `all`: every region that has SageMaker and that the account has enabled. Default: the one
    region of the profile or of the environment."""
    images: Images = Images()
    """Which images are read."""

    @property
    def identity(self) -> str:
        """Whose credentials these are, in words: the role, else the profile."""
        if self.role_arn is not None:
            return f"role {self.role_arn}"
        return "the default credentials" if self.profile is None else f"profile {self.profile}"


class Members(Group, frozen=True):
    """Accounts of an organization, by id or by their organizational units."""

    units: tuple[Annotated[str, UNIT_ID], ...] = ()
    """Organizational units or roots: all accounts in them and in the units below them."""
    accounts: tuple[Annotated[str, ACCOUNT_ID], ...] = ()
    """Accounts, by id."""


class Organization(Group, frozen=True):
    """The accounts of an AWS organization, each read with a role of the same name. Without `role_name`: none."""

    role_name: Annotated[str, ROLE_NAME] | None = None
    """Role to assume in each active account of the organization. Default: no organization is read."""
    profile: Profile | None = None
    """Profile of the management account, or of a delegated administrator. It lists the accounts and assumes the
    roles; its own account is read without a role. Default: AWS's own credential chain."""
    external_id: Annotated[str, EXTERNAL_ID] | None = None
    """External id that the roles require."""
    include: Members = Members()
    """Accounts to read. Default: all of the organization."""
    exclude: Members = Members()
    """Accounts to leave out, even if `include` has them."""
    regions: Regions | None = None
    """Regions to read in each account, as in `accounts[].regions`."""
    images: Images = Images()
    """Which images are read."""


class Rate(Group, frozen=True):
    """Most calls a second of one scope, which is an account in a region."""

    list_per_second: Annotated[float, Meta(gt=0, le=10_000)] = 2.0
    """Most list calls a second in one account and region."""
    describe_per_second: Annotated[float, Meta(gt=0, le=10_000)] = 5.0
    """Most describe calls a second in one account and region."""


class Retry(Group, frozen=True):
    """How a call that AWS throttles or fails is retried."""

    attempts: Annotated[int, Meta(ge=1, le=100)] = 8
    """Most attempts of one call, including the first."""
    max_wait: PositiveDuration = timedelta(seconds=60)
    """Longest wait between two attempts; the waits grow up to it and are random below it."""
    budget: Annotated[int, Meta(ge=1, le=1_000_000)] = 200
    """Failed attempts allowed in one account and region in one run. When more attempts have failed than this, and
    more than were answered, the account and region is given up for this run."""


class Timeout(Group, frozen=True):
    """How long the network may stay silent."""

    connect: PositiveDuration = timedelta(seconds=5)
    """Longest wait for a connection to AWS."""
    read: PositiveDuration = timedelta(seconds=30)
    """Longest wait for an answer from AWS."""


class Publish(Group, frozen=True):
    """One Parquet dataset, or one lake of Iceberg or Delta tables, that is updated from the warehouse."""

    to: Annotated[str, LOCATION, Meta(extra={"location": True})] | None = None
    """Destination: a folder or s3://bucket/folder for a dataset; iceberg://CATALOG/NAMESPACE,
    delta+s3://bucket/folder or delta+file:/folder for tables. If the name ends in .html, the report is written; if
    it ends in .duckdb, a copy of the warehouse. Always required."""
    tables: Annotated[Relations, SOME] = ("image_versions", "image_version_events", "images")
    """Tables and views to publish."""
    grace: timedelta = timedelta(hours=1)
    """How long a replaced file of a dataset is kept for readers that still use it."""
    profile: Profile | None = None
    """Profile for S3 and Glue. Default: AWS's own credential chain. Not for a folder."""
    sse: Annotated[str, ENCRYPTION] | None = None
    """Encryption of each object in S3. Default: the bucket's own. Only for an address in S3."""
    kms_key_id: Annotated[str, KMS_KEY] | None = None
    """KMS key. Default: the account's own key for S3. Only with an `sse` of aws:kms or aws:kms:dsse."""
    group: Annotated[str, UNIX_GROUP] | None = None
    """Group of this machine that may read the dataset. Default: only its owner may. Only for a folder."""
    properties: Annotated[dict[str, str], PROPERTIES] | None = None
    """Properties of the Iceberg catalog, as pyiceberg names them, or of Delta's object store. Only for tables."""
    label: Annotated[str, LABEL] | None = None
    """Lets several warehouses write to the same tables: each has a partition `source` with its label. Only for
    tables. Default: only one warehouse writes to them."""
    keep: timedelta | None = timedelta(days=7)
    """How long old versions of a table are kept for time travel. null: they are not removed here, but for example
    by AWS. Only for tables."""

    def __post_init__(self) -> None:
        """Expand `~` to a home directory, in Python as in the file."""
        if self.to is not None and self.to.startswith("~"):
            structs.force_setattr(self, "to", str(Path(self.to).expanduser()))


class Hints(Group, frozen=True):
    """The source of AWS's events, which say which images may have changed; the others may rest. Without one: none."""

    queue: Annotated[str, QUEUE_URL] | None = None
    """Address of the SQS queue to which EventBridge sends SageMaker's image events. Default: no hints."""
    folder: Path | None = None
    """Folder with these events, instead of a queue: *.jsonl files, one event per line."""
    profile: Profile | None = None
    """Profile for the queue. Default: AWS's own credential chain. Only with `queue`."""
    trust: PositiveDuration = timedelta(days=1)
    """How long an image may rest without being listed. After that it is listed even without a hint, in case one was
    lost. Must be shorter than the queue keeps a message."""
    trust_image_time: bool = False
    """Without hints, let an image rest while its LastModifiedTime stays the same, in accounts and regions whose
    stored history proves that a new version changes it. Not with `queue` or `folder`."""

    @property
    def rests_for(self) -> timedelta | None:
        """How long an image may rest; None if no image may: no hints, and image times are not trusted."""
        sources = self.queue is not None or self.folder is not None
        return self.trust if sources or self.trust_image_time else None


class Notify(Group, frozen=True):
    """One receiver of news: a command or a web address. After a load, it gets what changed since the last news."""

    name: Annotated[str, LABEL] | None = None
    """Name under which the warehouse remembers what was sent to the receiver. Default: `run` or `webhook` with its
    number in the list, such as run-1."""
    on: Annotated[News, SOME] = NEWS
    """What the news is about: versions that are `deleted`, `failed` or `stuck` in CREATING or DELETING; scopes
    that are `stale` or whose deletions are `held_back`; what could not be read (`unread`); members and values from
    AWS that this version does not know (`drift`)."""
    run: Annotated[Command, SOME] | None = None
    """Command with its arguments. It gets the news as JSON on its standard input."""
    webhook: Annotated[str, WEBHOOK] | None = None
    """Address to which the news is sent by POST, as JSON with a `text` that Slack shows. It is a secret, so it
    must come from a variable. Instead of `run`."""
    timeout: PositiveDuration = timedelta(seconds=10)
    """Longest time for one delivery."""
    stale_after: PositiveDuration = timedelta(hours=26)
    """A scope is `stale` if it was not read completely for this long."""
    stuck_after: PositiveDuration = timedelta(hours=24)
    """A version is `stuck` if it is in CREATING or DELETING for longer than this."""

    def called(self, index: int) -> str:
        """The name under which the warehouse remembers what was sent to the entry at this index of the list."""
        return self.name or f"{'run' if self.webhook is None else 'webhook'}-{index + 1}"


class Config(Group, frozen=True):
    """All settings. `Config()` is the configuration that is used if there is no other."""

    warehouse: Path = Path("image-history.duckdb")
    """The DuckDB file that holds the history."""
    landing: Path | None = None
    """Folder for fetched rows until they are loaded. Default: next to the warehouse and named after it, such as
    ./image-history.landing."""
    accounts: Annotated[tuple[Account, ...], SOME] = (Account(),)
    """The accounts and regions to read."""
    organization: Organization = Organization()
    """An organization whose accounts are also read."""
    page_size: Annotated[int, Meta(ge=1, le=100)] = 100
    """Rows per list call. Fewer rows mean more calls."""
    concurrency: Annotated[int, Meta(ge=1, le=256)] = 16
    """Images that are read at the same time."""
    lookback: timedelta = timedelta(minutes=15)
    """How far before its watermark an image is read again, to catch changes that AWS shows late."""
    reconcile_every: timedelta = timedelta(hours=24)
    """How often an image with more than one page is listed in full, which finds deletions. 0s: every time."""
    details: bool = False
    """Read the details of versions, which only DescribeImageVersion and ListAliases return: two more calls for each
    new or changed version."""
    details_every: timedelta = timedelta(days=7)
    """How old details may become before they are read again, since no list shows that an alias has moved. Only with
    `details`. 0s: every time."""
    details_budget: Annotated[int, Meta(ge=1)] | None = 2000
    """Most calls for details in one sync, the newest versions first; the next syncs read the rest. Only with
    `details`. null: all in one sync."""
    resume_within: timedelta = timedelta(hours=24)
    """An interrupted run is continued where it stopped if it is no older than this. The rows of an older run are
    kept, and its unfinished images are listed again. 0s: never continue."""
    checkpoint_rows: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Fetched rows are saved to disk when there are this many ..."""
    checkpoint_seconds: Annotated[float, Meta(gt=0, le=3600)] = 5.0
    """... or when this many seconds have passed, whichever is first."""
    lock_wait: timedelta = timedelta(seconds=30)
    """How long a load waits while another program has the warehouse open. 0s: not at all. The fetched rows stay in
    the landing folder."""
    rate: Rate = Rate()
    """Pace: most calls a second in one account and region."""
    retry: Retry = Retry()
    """How a call that AWS throttles or fails is retried."""
    timeout: Timeout = Timeout()
    """How long the network may stay silent."""
    publish: tuple[Publish, ...] = ()
    """Parquet datasets and lake tables that are updated after each sync."""
    hints: Hints = Hints()
    """Events that say which images may have changed; the others may rest."""
    notify: tuple[Notify, ...] = ()
    """Receivers of news about changes and problems after each sync."""
    queries: Path | None = None
    """Folder with your own saved queries: each *.sql file in it is run as @NAME."""

    @property
    def own_accounts(self) -> tuple[Account, ...]:
        """`accounts`; none if they are the default and an organization is read."""
        untouched = self.accounts == (Account(),)
        return () if untouched and self.organization.role_name is not None else self.accounts

    @property
    def landing_folder(self) -> Path:
        """`landing`, or its default next to the warehouse, also after `warehouse` was replaced."""
        if self.landing is not None:
            return self.landing
        own = self.warehouse.stem if self.warehouse.suffix == ".duckdb" else self.warehouse.name
        return self.warehouse.parent / f"{own}.landing"
