"""The configuration as a frozen value: every setting with its type, default, bounds and meaning.

Must not know where values come from: no YAML, no environment, no clock, no AWS.
"""

# Annotations are read at run time: the reader, the JSON Schema and the list of settings are built from them.
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

DELTA_FOLDER = "delta+file:"
_ARN = (
    r"^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/"
    r"([\x21-\x7e]{1,510}/)?[A-Za-z0-9_+=,.@-]{1,64}$"
)

Profile = Annotated[
    str,
    Meta(min_length=1, max_length=256, extra={"expected": "the name of a profile of your AWS configuration"}),
]
KmsKey = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9:/_-]{1,2048}$",
        extra={"expected": "the id, the alias or the ARN of a KMS key, such as alias/history"},
    ),
]
Group = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$",
        extra={"expected": "the name or the number of a group of this machine, in quotes if it is a number"},
    ),
]
RoleArn = Annotated[
    str,
    Meta(
        pattern=_ARN,
        extra={"expected": "the ARN of an IAM role, such as arn:aws:iam::123456789012:role/image-history"},
    ),
]
ExternalId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_+=,.@:/-]{2,1224}$",
        extra={"expected": "the external id of a role: 2 to 1224 letters, digits and _+=,.@:/-"},
    ),
]
Region = Annotated[
    str,
    Meta(
        pattern=r"^[a-z]{2,10}(-[a-z]{2,12}){1,3}-[0-9]{1,2}$",
        extra={"expected": "the name of one AWS region, such as us-east-1"},
    ),
]
Regions = Annotated[tuple[Region, ...], Meta(min_length=1)] | Literal["all"]
RoleName = Annotated[
    str,
    Meta(
        # A colon may stand in a path, but is rather that of an ARN.
        pattern=r"^([!-.0-9;-~][!-9;-~]{0,509}/)?[A-Za-z0-9_+=,.@-]{1,64}$",
        extra={"expected": "the name of an IAM role, with its path if it has one, such as image-history"},
    ),
]
AccountId = Annotated[
    str, Meta(pattern=r"^[0-9]{12}$", extra={"expected": "an account id of 12 digits, in quotes"})
]
UnitId = Annotated[
    str,
    Meta(
        pattern=r"^(r-[0-9a-z]{4,32}|ou-[0-9a-z]{4,32}-[0-9a-z]{8,32})$",
        extra={"expected": "the id of an organizational unit or of a root, such as ou-ab12-cdef3456"},
    ),
]
Glob = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9.*?\[\]!-]{1,256}$",
        extra={
            "expected": "a pattern for image names: letters, digits, '.', '-', and *, ? or [abc] as wildcards"
        },
    ),
]
RelationName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        extra={"expected": "the name of a table or view of the warehouse, such as image_versions"},
    ),
]
Location = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=4096,
        extra={
            "expected": "a folder, or an address such as s3://bucket/folder, iceberg://CATALOG/NAMESPACE, "
            "delta+s3://bucket/folder or delta+file:/folder",
            "location": True,
        },
    ),
]
Label = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$",
        extra={"expected": "a label of up to 63 letters, digits and _.-, such as gov"},
    ),
]
Properties = Annotated[
    dict[str, str],
    Meta(extra={"expected": "names with a text each, such as {type: glue}"}),
]
QueueUrl = Annotated[
    str,
    Meta(
        pattern=r"^https?://[A-Za-z0-9.:\[\]-]{1,255}/[0-9]{12}/[A-Za-z0-9_-]{1,80}(\.fifo)?$",
        extra={
            "expected": "the address of an SQS queue, such as "
            "https://sqs.us-east-1.amazonaws.com/123456789012/image-history"
        },
    ),
]
News = Annotated[
    str,
    Meta(
        pattern=r"^(deleted|failed|stuck|held_back|stale|unread|drift)$",
        extra={"expected": "deleted, failed, stuck, held_back, stale, unread or drift"},
    ),
]
Word = Annotated[str, Meta(min_length=1, max_length=4096, extra={"expected": "a word of a command"})]
Command = Annotated[tuple[Word, ...], Meta(min_length=1)]
# Checked in checks.py, whose sentences do not repeat it.
Webhook = Annotated[
    str, Meta(min_length=1, max_length=4096, extra={"expected": "an address, as in ${SLACK_WEBHOOK}"})
]
PositiveDuration = Annotated[timedelta, Meta(extra={"least": timedelta(milliseconds=1)})]


class Images(Struct, frozen=True, forbid_unknown_fields=True):
    """Which images of an account are read: those that match `include` and don't match `exclude`."""

    include: Annotated[
        tuple[Glob, ...],
        Meta(min_length=1, description="Images to read: names or patterns, upper and lower case told apart."),
    ] = ("*",)
    exclude: Annotated[
        tuple[Glob, ...], Meta(description="Images to leave out, even though `include` matches them.")
    ] = ()


class Account(Struct, frozen=True, forbid_unknown_fields=True):
    """One set of credentials and the regions to read with it. All defaults: what the AWS CLI would use."""

    profile: Annotated[
        Profile | None,
        Meta(description="Profile of your AWS configuration. Default: AWS's own credential chain."),
    ] = None
    role_arn: Annotated[
        RoleArn | None, Meta(description="Role to assume instead of a profile; any partition.")
    ] = None
    external_id: Annotated[
        ExternalId | None, Meta(description="External id that the role asks for. Only beside `role_arn`.")
    ] = None
    source_profile: Annotated[
        Profile | None,
        Meta(
            description="Profile whose credentials assume the role. Only beside `role_arn`. "
            "Default: AWS's own credential chain."
        ),
    ] = None
    regions: Annotated[
        Regions | None,
        Meta(
            description="Regions to read, or `all`: those that have SageMaker and that the account has enabled. "
            "Default: the one region of the profile or of the environment."
        ),
    ] = None
    images: Annotated[Images, Meta(description="Which images are read.")] = Images()

    @property
    def identity(self) -> str:
        """Whose credentials these are, in words: the role, else the profile."""
        if self.role_arn is not None:
            return f"role {self.role_arn}"
        return "the default credentials" if self.profile is None else f"profile {self.profile}"


class Members(Struct, frozen=True, forbid_unknown_fields=True):
    """Accounts of an organization, one by one or by the units that they are in."""

    units: Annotated[
        tuple[UnitId, ...],
        Meta(description="Organizational units or roots: all accounts in them and in the units below them."),
    ] = ()
    accounts: Annotated[tuple[AccountId, ...], Meta(description="Accounts, by id.")] = ()


class Organization(Struct, frozen=True, forbid_unknown_fields=True):
    """The accounts of an AWS organization, each read with a role of the same name. Without `role_name`: none."""

    role_name: Annotated[
        RoleName | None,
        Meta(
            description="Role to assume in each active account of the organization. Default: no organization "
            "is read."
        ),
    ] = None
    profile: Annotated[
        Profile | None,
        Meta(
            description="Profile of the management account, or of a delegated administrator: lists the accounts "
            "and assumes the roles; its own account is read without one. Default: AWS's own credential chain."
        ),
    ] = None
    external_id: Annotated[ExternalId | None, Meta(description="External id that the roles ask for.")] = None
    include: Annotated[Members, Meta(description="Accounts to read. Default: all of the organization.")] = (
        Members()
    )
    exclude: Annotated[
        Members, Meta(description="Accounts to leave out, even though `include` has them.")
    ] = Members()
    regions: Annotated[
        Regions | None,
        Meta(description="Regions to read in each account, as in `accounts[].regions`."),
    ] = None
    images: Annotated[Images, Meta(description="Which images are read.")] = Images()


class Rate(Struct, frozen=True, forbid_unknown_fields=True):
    """Calls a second that one scope, an account in a region, may make at most."""

    list_per_second: Annotated[
        float, Meta(gt=0, le=10_000, description="List calls a second in one account and region.")
    ] = 2.0
    describe_per_second: Annotated[
        float, Meta(gt=0, le=10_000, description="Describe calls a second in one account and region.")
    ] = 5.0


class Retry(Struct, frozen=True, forbid_unknown_fields=True):
    """How long one call is repeated when AWS throttles or fails."""

    attempts: Annotated[
        int, Meta(ge=1, le=100, description="Attempts of one call, the first one included.")
    ] = 8
    max_wait: Annotated[
        PositiveDuration,
        Meta(
            description="Longest wait between two attempts; the waits grow up to it and are random below it."
        ),
    ] = timedelta(seconds=60)
    budget: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Attempts that may fail in one account and region in one run. Beyond that, AWS counts as "
            "unreachable there once more attempts have failed than were answered.",
        ),
    ] = 200


class Timeout(Struct, frozen=True, forbid_unknown_fields=True):
    """How long the network may stay silent."""

    connect: Annotated[PositiveDuration, Meta(description="Longest wait for a connection to AWS.")] = (
        timedelta(seconds=5)
    )
    read: Annotated[PositiveDuration, Meta(description="Longest wait for an answer of AWS.")] = timedelta(
        seconds=30
    )


class Publish(Struct, frozen=True, forbid_unknown_fields=True):
    """One Parquet dataset, or one lake of Iceberg or Delta tables, that is kept in step with the warehouse."""

    to: Annotated[
        Location | None,
        Meta(
            description="Where it lies: a folder or s3://bucket/folder for a dataset; iceberg://CATALOG/NAMESPACE, "
            "delta+s3://bucket/folder or delta+file:/folder for tables; a name that ends in .html is the report, "
            "one that ends in .duckdb a copy of the warehouse. Always to be given."
        ),
    ] = None
    tables: Annotated[
        tuple[RelationName, ...], Meta(min_length=1, description="Tables and views that are in it.")
    ] = ("image_versions", "image_version_events", "images")
    grace: Annotated[
        timedelta,
        Meta(
            description="How long a file of a dataset that was replaced stays for readers that have begun with it."
        ),
    ] = timedelta(hours=1)
    profile: Annotated[
        Profile | None,
        Meta(
            description="Profile for S3 and Glue. Default: AWS's own credential chain. Not beside a folder."
        ),
    ] = None
    sse: Annotated[
        Literal["AES256", "aws:kms", "aws:kms:dsse"] | None,
        Meta(
            description="Encryption that S3 is asked for with each object. Default: the bucket's own. Only beside an "
            "address in S3."
        ),
    ] = None
    kms_key_id: Annotated[
        KmsKey | None,
        Meta(description="Key for aws:kms. Default: the account's own for S3. Only beside such an sse."),
    ] = None
    group: Annotated[
        Group | None,
        Meta(
            description="Group of this machine that may read the dataset. Default: only its owner may. Only beside a "
            "folder."
        ),
    ] = None
    properties: Annotated[
        Properties | None,
        Meta(
            description="Of the Iceberg catalog, as pyiceberg names them, or of Delta's store. Only for tables."
        ),
    ] = None
    label: Annotated[
        Label | None,
        Meta(
            description="Lets several warehouses fill the same tables, each a partition `source` of that name. "
            "Only for tables. Default: one warehouse fills them."
        ),
    ] = None
    keep: Annotated[
        timedelta | None,
        Meta(
            description="How long versions of a table are kept for time travel; null leaves upkeep to another, as to "
            "AWS. Only for tables."
        ),
    ] = timedelta(days=7)

    def __post_init__(self) -> None:
        """A `~` is somebody's home, in Python as in the file."""
        if self.to is not None and self.to.startswith("~"):
            structs.force_setattr(self, "to", str(Path(self.to).expanduser()))


class Hints(Struct, frozen=True, forbid_unknown_fields=True):
    """Where AWS's events say which images may have changed; all others may rest. Without a source: none does."""

    queue: Annotated[
        QueueUrl | None,
        Meta(
            description="Address of an SQS queue that EventBridge sends SageMaker's image events to. "
            "Default: no hints."
        ),
    ] = None
    folder: Annotated[
        Path | None,
        Meta(description="Folder with *.jsonl files of such events, one a line, in place of a queue."),
    ] = None
    profile: Annotated[
        Profile | None,
        Meta(description="Profile for the queue. Default: AWS's own credential chain. Only beside `queue`."),
    ] = None
    trust: Annotated[
        PositiveDuration,
        Meta(
            description="How long an image may rest without being listed: a lost hint is made up for by then. "
            "Shorter than the queue keeps a message."
        ),
    ] = timedelta(days=1)
    trust_image_time: Annotated[
        bool,
        Meta(
            description="Without hints, let an image rest while its LastModifiedTime stays the same, in accounts and "
            "regions whose stored history proves that a new version moves it. Not beside `queue` or `folder`."
        ),
    ] = False

    def __post_init__(self) -> None:
        """A `~` is somebody's home, in Python as in the file."""
        if self.folder is not None:
            structs.force_setattr(self, "folder", Path(self.folder).expanduser())

    @property
    def rests_for(self) -> timedelta | None:
        """How long an image may rest; None where nothing tells of changes: then none may."""
        sources = self.queue is not None or self.folder is not None
        return self.trust if sources or self.trust_image_time else None


class Notify(Struct, frozen=True, forbid_unknown_fields=True):
    """One receiver of news: a command or a web address, told after a load of what changed since it was told last."""

    name: Annotated[
        Label | None,
        Meta(
            description="Under which the warehouse remembers what the receiver was told. Default: `run` or `webhook` "
            "with its place in the list."
        ),
    ] = None
    on: Annotated[
        tuple[News, ...],
        Meta(
            min_length=1,
            description="What it is told of: versions `deleted`, `failed` or `stuck` in CREATING or DELETING; scopes "
            "with deletions `held_back`, `stale` ones, what was left `unread`; `drift`, what AWS sends and we don't "
            "know.",
        ),
    ] = ("deleted", "failed", "stuck", "held_back", "stale", "unread", "drift")
    run: Annotated[
        Command | None,
        Meta(description="Command with its arguments; the news are JSON on its standard input."),
    ] = None
    webhook: Annotated[
        Webhook | None,
        Meta(
            description="Address that the news are sent to by POST, as JSON with a `text` that Slack shows; from a "
            "variable, for it is a secret. Instead of `run`."
        ),
    ] = None
    timeout: Annotated[PositiveDuration, Meta(description="Longest time that telling it may take.")] = (
        timedelta(seconds=10)
    )
    stale_after: Annotated[
        PositiveDuration, Meta(description="Since when a scope was not read whole to be `stale`.")
    ] = timedelta(hours=26)
    stuck_after: Annotated[
        PositiveDuration, Meta(description="Since when a version is in CREATING or DELETING to be `stuck`.")
    ] = timedelta(hours=24)


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings. `Config()` is what runs without any configuration."""

    warehouse: Annotated[Path, Meta(description="The DuckDB file that holds the history.")] = Path(
        "image-history.duckdb"
    )
    landing: Annotated[
        Path | None,
        Meta(
            description="Folder for fetched rows until they are loaded. "
            "Default: beside the warehouse, named after it, such as ./image-history.landing."
        ),
    ] = None
    accounts: Annotated[
        tuple[Account, ...], Meta(min_length=1, description="Whose images are read, and where.")
    ] = (Account(),)
    organization: Annotated[
        Organization, Meta(description="An organization whose accounts are read as well.")
    ] = Organization()
    page_size: Annotated[
        int, Meta(ge=1, le=100, description="Rows that one list call asks for. Fewer rows mean more calls.")
    ] = 100
    concurrency: Annotated[int, Meta(ge=1, le=256, description="Images that are read at the same time.")] = 16
    lookback: Annotated[
        timedelta,
        Meta(description="How far before its watermark an image is read again, for changes shown late."),
    ] = timedelta(minutes=15)
    reconcile_every: Annotated[
        timedelta,
        Meta(
            description="How often an image of more than one page is listed in full, which finds deletions. "
            "0s: every time."
        ),
    ] = timedelta(hours=24)
    details: Annotated[
        bool,
        Meta(
            description="Read what only DescribeImageVersion and ListAliases tell of versions: two more calls for "
            "each version that is new or changed."
        ),
    ] = False
    details_every: Annotated[
        timedelta,
        Meta(
            description="How old details may get before they are read again: an alias may move without a trace in "
            "any list. Only with `details`. 0s: every time."
        ),
    ] = timedelta(days=7)
    details_budget: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="Most calls for details in one sync; what is left is read by the next ones, the newest "
            "versions first. Only with `details`. null: all in one sync.",
        ),
    ] = 2000
    resume_within: Annotated[
        timedelta,
        Meta(
            description="How old an interrupted run may be to be continued where it stopped; an older one "
            "keeps its rows and lists its unfinished images anew. 0s: never continue."
        ),
    ] = timedelta(hours=24)
    checkpoint_rows: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Fetched rows are secured on disk when there are this many ..."),
    ] = 10_000
    checkpoint_seconds: Annotated[
        float,
        Meta(gt=0, le=3600, description="... or when this many seconds have passed, whichever is first."),
    ] = 5.0
    lock_wait: Annotated[
        timedelta,
        Meta(
            description="How long a load waits while another program has the warehouse open. 0s: not at all. "
            "The fetched rows stay safe in the landing folder."
        ),
    ] = timedelta(seconds=30)
    rate: Annotated[Rate, Meta(description="Pace: most calls a second in one account and region.")] = Rate()
    retry: Annotated[Retry, Meta(description="What happens to a call that AWS throttles or fails.")] = Retry()
    timeout: Annotated[Timeout, Meta(description="How long the network may stay silent.")] = Timeout()
    publish: Annotated[
        tuple[Publish, ...],
        Meta(description="Parquet datasets and lake tables that are kept in step after each sync."),
    ] = ()
    hints: Annotated[
        Hints, Meta(description="Events that say which images may have changed; the others may rest.")
    ] = Hints()
    notify: Annotated[
        tuple[Notify, ...], Meta(description="Receivers of changes and troubles after each sync.")
    ] = ()
    queries: Annotated[
        Path | None,
        Meta(description="Folder with saved queries of your own: the *.sql files in it, asked as @NAME."),
    ] = None

    def __post_init__(self) -> None:
        """A `~` is somebody's home, in Python as in the file."""
        for name in ("warehouse", "landing", "queries"):
            path = getattr(self, name)
            if path is not None:
                structs.force_setattr(self, name, Path(path).expanduser())

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
