"""Hints for tests: events in the form that AWS documents, and a site that reads them from a folder.

Must not know what a test changes.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from image_history.config import Hints
from image_history.durable.effects import Effect, install
from image_history.simulator import VirtualClock, generate
from tests.behaviour.harness import ServeWorld, Site

NOON_MS = 1_790_000_000_000
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
JUNK = (
    "",
    "nothing",
    "[]",
    "{}",
    '{"detail-type": 5, "detail": {}}',
    '{"detail-type": "SageMaker Image State Change", "detail": {"ImageArn": 7}}',
    '{"detail-type": "SageMaker Image State Change", "detail": {"ImageArn": "arn:aws:s3:::bucket"}}',
    '{"detail-type": "SageMaker Model State Change", "detail": {"ModelName": "m"}}',
    "[" * 10_000,
    "\u0000\ufffd",
)


def moment(at_ms: int) -> str:
    """An instant as the envelope of an event writes it, in whole seconds."""
    return f"{datetime.fromtimestamp(at_ms // 1000, tz=UTC):%Y-%m-%dT%H:%M:%SZ}"


def version_event(arn: str, at_ms: int, status: str = "Created", **more: object) -> dict[str, object]:
    """An event of an image version; the envelope's region and the version's ARN are those of AWS's example."""
    return {
        "version": "0",
        "id": "aa11aa22-1111-2222-3333-444455556666",
        "detail-type": "SageMaker Image Version State Change",
        "source": "aws.sagemaker",
        "account": "111111111111",
        "time": moment(at_ms),
        "region": "us-east-1",
        "resources": [arn],
        "detail": {
            "ImageArn": arn,
            "ImageVersionArn": f"{arn}-version/6d0be7b1-0000-4e04-9c07-9a5f7d3a8d8e",
            "ImageVersionStatus": status,
            "Version": 1.0,
            "Tags": {},
            **more,
        },
    }


def image_event(arn: str, at_ms: int, status: str = "Created") -> dict[str, object]:
    """An event of an image."""
    event = version_event(arn, at_ms)
    detail = {"ImageName": arn.rpartition("/")[2], "ImageArn": arn, "ImageStatus": status, "Version": 1.0}
    return event | {"detail-type": "SageMaker Image State Change", "detail": detail}


def trail_event(account_id: str, region: str, name: str, at_ms: int) -> dict[str, object]:
    """A call of UpdateImageVersion, as CloudTrail sends it to EventBridge."""
    return {
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.sagemaker",
        "account": account_id,
        "region": region,
        "time": moment(at_ms),
        "detail": {
            "eventSource": "sagemaker.amazonaws.com",
            "eventName": "UpdateImageVersion",
            "awsRegion": region,
            "recipientAccountId": account_id,
            "requestParameters": {"imageName": name, "version": 3, "vendorGuidance": "ARCHIVED"},
        },
    }


class Killed(BaseException):
    """Simulates a kill: an exception that no handler of a sync catches."""


@dataclass(slots=True)
class Hinted:
    """A site with hints from a folder; the clock stands still until a test advances it."""

    site: Site
    folder: Path
    clock: VirtualClock
    written: int = 0
    scope: tuple[str, str] = field(default=("", ""))

    def arn(self, image: str) -> str:
        """The ARN of an image of the first scope."""
        account_id, region = self.scope
        return f"arn:aws:sagemaker:{region}:{account_id}:image/{image}"

    def put(self, *events: Mapping[str, object] | str) -> Path:
        """Write a complete file of events."""
        self.written += 1
        path = self.folder / f"{self.written:06d}.jsonl"
        lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogatepass")
        written = self.clock.now_ms() / 1000
        os.utime(path, (written, written))
        return path

    def hint(self, *images: str, status: str = "Created") -> Path:
        """Write a file with one version event for each image, dated now."""
        now_ms = self.clock.now_ms()
        return self.put(*(version_event(self.arn(image), now_ms, status) for image in images))

    def waiting(self) -> list[str]:
        """The files of hints that are not acknowledged."""
        return sorted(path.name for path in self.folder.glob("*.jsonl"))

    @property
    def images(self) -> list[str]:
        """All images, sorted."""
        return sorted({row.image_name for row in self.site.world.truth()})


def hinted_site(
    served: ServeWorld,
    *,
    images: int = 12,
    versions: int = 5,
    largest: int | None = None,
    regions: int = 1,
    seed: int = 11,
) -> Hinted:
    """A site with hints, not synced yet."""
    clock = VirtualClock(frozen_at=NOON_MS)
    world = generate(
        seed, images=images, versions_per_image=versions, largest=largest, regions=regions, clock=clock
    )
    site = served(world)
    folder = site.folder / "hints"
    folder.mkdir()
    site.config = msgspec.structs.replace(site.config, hints=Hints(folder=folder))
    return Hinted(site, folder, clock, scope=world.scopes[0])


def lines_of(events: Iterable[Mapping[str, object]]) -> list[str]:
    """Events as lines of JSON."""
    return [json.dumps(event) for event in events]


@contextlib.contextmanager
def installed(hook: Callable[[Effect, str], None]) -> Iterator[None]:
    """Install the hook until the block ends."""
    remove = install(hook)
    try:
        yield
    finally:
        remove()


def killing(at: Effect, what: str) -> Callable[[Effect, str], None]:
    """A hook that simulates a kill at this effect on this kind of file."""

    def hook(effect: Effect, file: str) -> None:
        if (effect, file) == (at, what):
            raise Killed

    return hook
