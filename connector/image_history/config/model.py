"""The configuration as a frozen value: every setting with its type, default, bounds and meaning.

The text below a setting is its meaning, as the JSON Schema and docs/configuration.md have it too.
Must not know where values come from: no YAML, no environment, no clock, no AWS.
"""

# Annotations are read at run time: the reader, the JSON Schema and the list of settings are built from them.
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

# A list that must not be empty.
SOME = Meta(min_length=1)


def _text(expected: str, pattern: str | None = None, *, longest: int | None = None) -> Meta:
    """What a text must be like; `expected` is how messages call it, after "must be"."""
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
    # A colon may stand in a path, but is rather that of an ARN.
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
# Checked in checks.py, whose sentences do not repeat it.
WEBHOOK = _text("an address, as in ${SLACK_WEBHOOK}", longest=4096)
PositiveDuration = Annotated[timedelta, Meta(extra={"positive": True})]


class Group(Struct, frozen=True, forbid_unknown_fields=True):
    """What every group of settings has."""

    def __post_init__(self) -> None:
        """A `~` is somebody's home, in Python as in the file."""
        for name in ("warehouse", "landing", "queries", "folder"):
            path = getattr(self, name, None)
            if path is not None:
                structs.force_setattr(self, name, Path(path).expanduser())


class Images(Group, frozen=True):
    """Which images of an account are read: those that match `include` and don't match `exclude`."""

    include: Annotated[Globs, SOME] = ("*",)
    """Images to read: names or patterns, upper and lower case told apart."""
    exclude: Globs = ()
    """Images to leave out, even though `include` matches them."""


class Account(Group, frozen=True):
    """One set of credentials and the regions to read with it. All defaults: what the AWS CLI would use."""

    profile: Profile | None = None
    """Profile of your AWS configuration. Default: AWS's own credential chain."""
    role_arn: Annotated[str, ROLE_ARN] | None = None
    """Role to assume instead of a profile; any partition."""
    external_id: Annotated[str, EXTERNAL_ID] | None = None
    """External id that the role asks for. Only beside `role_arn`."""
    source_profile: Profile | None = None
    """Profile whose credentials assume the role. Only beside `role_arn`. Default: AWS's own credential chain."""
    regions: Regions | None = None
    """Regions to read, or `all`: those that have SageMaker and that the account has enabled. Default: the one region
    of the profile or of the environment."""
    images: Images = Images()
    """Which images are read."""

    @property
    def identity(self) -> str:
        """Whose credentials these are, in words: the role, else the profile."""
        if self.role_arn is not None:
            return f"role {self.role_arn}"
        return "the default credentials" if self.profile is None else f"profile {self.profile}"


class Members(Group, frozen=True):
    """Accounts of an organization, one by one or by the units that they are in."""

    units: tuple[Annotated[str, UNIT_ID], ...] = ()
    """Organizational units or roots: all accounts in them and in the units below them."""
    accounts: tuple[Annotated[str, ACCOUNT_ID], ...] = ()
    """Accounts, by id."""


class Organization(Group, frozen=True):
    """The accounts of an AWS organization, each read with a role of the same name. Without `role_name`: none."""

    role_name: Annotated[str, ROLE_NAME] | None = None
    """Role to assume in each active account of the organization. Default: no organization is read."""
    profile: Profile | None = None
    """Profile of the management account, or of a delegated administrator: lists the accounts and assumes the roles;
    its own account is read without one. Default: AWS's own credential chain."""
    external_id: Annotated[str, EXTERNAL_ID] | None = None
    """External id that the roles ask for."""
    include: Members = Members()
    """Accounts to read. Default: all of the organization."""
    exclude: Members = Members()
    """Accounts to leave out, even though `include` has them."""
    regions: Regions | None = None
    """Regions to read in each account, as in `accounts[].regions`."""
    images: Images = Images()
    """Which images are read."""


class Rate(Group, frozen=True):
    """Calls a second that one scope, an account in a region, may make at most."""

    list_per_second: Annotated[float, Meta(gt=0, le=10_000)] = 2.0
    """List calls a second in one account and region."""
    describe_per_second: Annotated[float, Meta(gt=0, le=10_000)] = 5.0
    """Describe calls a second in one account and region."""


class Retry(Group, frozen=True):
    """How long one call is repeated when AWS throttles or fails."""

    attempts: Annotated[int, Meta(ge=1, le=100)] = 8
    """Attempts of one call, the first one included."""
    max_wait: PositiveDuration = timedelta(seconds=60)
    """Longest wait between two attempts; the waits grow up to it and are random below it."""
    budget: Annotated[int, Meta(ge=1, le=1_000_000)] = 200
    """Attempts that may fail in one account and region in one run. Beyond that, AWS counts as unreachable there once
    more attempts have failed than were answered."""


class Timeout(Group, frozen=True):
    """How long the network may stay silent."""

    connect: PositiveDuration = timedelta(seconds=5)
    """Longest wait for a connection to AWS."""
    read: PositiveDuration = timedelta(seconds=30)
    """Longest wait for an answer of AWS."""


class Publish(Group, frozen=True):
    """One Parquet dataset, or one lake of Iceberg or Delta tables, that is kept in step with the warehouse."""

    to: Annotated[str, LOCATION, Meta(extra={"location": True})] | None = None
    """Where it lies: a folder or s3://bucket/folder for a dataset; iceberg://CATALOG/NAMESPACE,
    delta+s3://bucket/folder or delta+file:/folder for tables; a name that ends in .html is the report, one that ends
    in .duckdb a copy of the warehouse. Always to be given."""
    tables: Annotated[Relations, SOME] = ("image_versions", "image_version_events", "images")
    """Tables and views that are in it."""
    grace: timedelta = timedelta(hours=1)
    """How long a file of a dataset that was replaced stays for readers that have begun with it."""
    profile: Profile | None = None
    """Profile for S3 and Glue. Default: AWS's own credential chain. Not beside a folder."""
    sse: Annotated[str, ENCRYPTION] | None = None
    """Encryption that S3 is asked for with each object. Default: the bucket's own. Only beside an address in S3."""
    kms_key_id: Annotated[str, KMS_KEY] | None = None
    """Key for aws:kms. Default: the account's own for S3. Only beside such an sse."""
    group: Annotated[str, UNIX_GROUP] | None = None
    """Group of this machine that may read the dataset. Default: only its owner may. Only beside a folder."""
    properties: Annotated[dict[str, str], PROPERTIES] | None = None
    """Of the Iceberg catalog, as pyiceberg names them, or of Delta's store. Only for tables."""
    label: Annotated[str, LABEL] | None = None
    """Lets several warehouses fill the same tables, each a partition `source` of that name. Only for tables. Default:
    one warehouse fills them."""
    keep: timedelta | None = timedelta(days=7)
    """How long versions of a table are kept for time travel; null leaves upkeep to another, as to AWS. Only for
    tables."""

    def __post_init__(self) -> None:
        """A `~` is somebody's home, in Python as in the file."""
        if self.to is not None and self.to.startswith("~"):
            structs.force_setattr(self, "to", str(Path(self.to).expanduser()))


class Hints(Group, frozen=True):
    """Where AWS's events say which images may have changed; all others may rest. Without a source: none does."""

    queue: Annotated[str, QUEUE_URL] | None = None
    """Address of an SQS queue that EventBridge sends SageMaker's image events to. Default: no hints."""
    folder: Path | None = None
    """Folder with *.jsonl files of such events, one a line, in place of a queue."""
    profile: Profile | None = None
    """Profile for the queue. Default: AWS's own credential chain. Only beside `queue`."""
    trust: PositiveDuration = timedelta(days=1)
    """How long an image may rest without being listed: a lost hint is made up for by then. Shorter than the queue
    keeps a message."""
    trust_image_time: bool = False
    """Without hints, let an image rest while its LastModifiedTime stays the same, in accounts and regions whose
    stored history proves that a new version moves it. Not beside `queue` or `folder`."""

    @property
    def rests_for(self) -> timedelta | None:
        """How long an image may rest; None where nothing tells of changes: then none may."""
        sources = self.queue is not None or self.folder is not None
        return self.trust if sources or self.trust_image_time else None


class Notify(Group, frozen=True):
    """One receiver of news: a command or a web address, told after a load of what changed since it was told last."""

    name: Annotated[str, LABEL] | None = None
    """Under which the warehouse remembers what the receiver was told. Default: `run` or `webhook` with its place in
    the list."""
    on: Annotated[News, SOME] = NEWS
    """What it is told of: versions `deleted`, `failed` or `stuck` in CREATING or DELETING; scopes with deletions
    `held_back`, `stale` ones, what was left `unread`; `drift`, what AWS sends and we don't know."""
    run: Annotated[Command, SOME] | None = None
    """Command with its arguments; the news are JSON on its standard input."""
    webhook: Annotated[str, WEBHOOK] | None = None
    """Address that the news are sent to by POST, as JSON with a `text` that Slack shows; from a variable, for it is a
    secret. Instead of `run`."""
    timeout: PositiveDuration = timedelta(seconds=10)
    """Longest time that telling it may take."""
    stale_after: PositiveDuration = timedelta(hours=26)
    """Since when a scope was not read whole to be `stale`."""
    stuck_after: PositiveDuration = timedelta(hours=24)
    """Since when a version is in CREATING or DELETING to be `stuck`."""

    def called(self, index: int) -> str:
        """Under which the warehouse remembers what the entry at this place of the list was told."""
        return self.name or f"{'run' if self.webhook is None else 'webhook'}-{index + 1}"


class Config(Group, frozen=True):
    """All settings. `Config()` is what runs without any configuration."""

    warehouse: Path = Path("image-history.duckdb")
    """The DuckDB file that holds the history."""
    landing: Path | None = None
    """Folder for fetched rows until they are loaded. Default: beside the warehouse, named after it, such as
    ./image-history.landing."""
    accounts: Annotated[tuple[Account, ...], SOME] = (Account(),)
    """Whose images are read, and where."""
    organization: Organization = Organization()
    """An organization whose accounts are read as well."""
    page_size: Annotated[int, Meta(ge=1, le=100)] = 100
    """Rows that one list call asks for. Fewer rows mean more calls."""
    concurrency: Annotated[int, Meta(ge=1, le=256)] = 16
    """Images that are read at the same time."""
    lookback: timedelta = timedelta(minutes=15)
    """How far before its watermark an image is read again, for changes shown late."""
    reconcile_every: timedelta = timedelta(hours=24)
    """How often an image of more than one page is listed in full, which finds deletions. 0s: every time."""
    details: bool = False
    """Read what only DescribeImageVersion and ListAliases tell of versions: two more calls for each version that is
    new or changed."""
    details_every: timedelta = timedelta(days=7)
    """How old details may get before they are read again: an alias may move without a trace in any list. Only with
    `details`. 0s: every time."""
    details_budget: Annotated[int, Meta(ge=1)] | None = 2000
    """Most calls for details in one sync; what is left is read by the next ones, the newest versions first. Only with
    `details`. null: all in one sync."""
    resume_within: timedelta = timedelta(hours=24)
    """How old an interrupted run may be to be continued where it stopped; an older one keeps its rows and lists its
    unfinished images anew. 0s: never continue."""
    checkpoint_rows: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Fetched rows are secured on disk when there are this many ..."""
    checkpoint_seconds: Annotated[float, Meta(gt=0, le=3600)] = 5.0
    """... or when this many seconds have passed, whichever is first."""
    lock_wait: timedelta = timedelta(seconds=30)
    """How long a load waits while another program has the warehouse open. 0s: not at all. The fetched rows stay safe
    in the landing folder."""
    rate: Rate = Rate()
    """Pace: most calls a second in one account and region."""
    retry: Retry = Retry()
    """What happens to a call that AWS throttles or fails."""
    timeout: Timeout = Timeout()
    """How long the network may stay silent."""
    publish: tuple[Publish, ...] = ()
    """Parquet datasets and lake tables that are kept in step after each sync."""
    hints: Hints = Hints()
    """Events that say which images may have changed; the others may rest."""
    notify: tuple[Notify, ...] = ()
    """Receivers of changes and troubles after each sync."""
    queries: Path | None = None
    """Folder with saved queries of your own: the *.sql files in it, asked as @NAME."""

    @property
    def own_accounts(self) -> tuple[Account, ...]:
        """`accounts`; none where they say nothing of their own and an organization is read."""
        untouched = self.accounts == (Account(),)
        return () if untouched and self.organization.role_name is not None else self.accounts

    @property
    def landing_folder(self) -> Path:
        """`landing`, or its default beside the warehouse; follows a replaced warehouse."""
        if self.landing is not None:
            return self.landing
        own = self.warehouse.stem if self.warehouse.suffix == ".duckdb" else self.warehouse.name
        return self.warehouse.parent / f"{own}.landing"
