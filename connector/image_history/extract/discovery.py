"""Reads a scope's list of images, completely or not at all.

Must not know the warehouse, or what is done with an image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from image_history.aws.bodies import Image
from image_history.extract.calls import ScopeCalls
from image_history.listing.chain import Chain, chained
from image_history.listing.pages import MARGIN_MS
from image_history.listing.request import ImageFilter
from image_history.model import Drift


@dataclass(frozen=True, slots=True)
class Discovery:
    """A scope's images that pass its filter, sorted by name. Instants in UTC epoch milliseconds.

    `names` are the names of all images, including those that the filter excludes. `t0_ms` is the server's Date of
    the first page less one second, `now_ms` that of the last page.
    """

    images: tuple[Image, ...]
    names: frozenset[str]
    pages: int
    t0_ms: int
    now_ms: int
    drift: tuple[Drift, ...] = ()

    @property
    def account_id(self) -> str | None:
        """The account in the first well-formed ARN; None if there is none."""
        accounts = (_account(image.ImageArn) for image in self.images)
        return next((account for account in accounts if account is not None), None)


def _account(arn: str) -> str | None:
    found = re.match(r"arn:[^:]+:sagemaker:[^:]*:(?P<account>[0-9]{12}):", arn)
    return found["account"] if found is not None else None


def discover(calls: ScopeCalls, wanted: ImageFilter) -> Discovery:
    """List the scope's images to the end.

    Raises ListingUnstableError for a list without an end, and what `ScopeCalls.list_images` raises; a list
    that could not be read to its end is never returned.
    """
    chain = Chain(
        f"ListImages with {calls.where}",
        "the list seems to have no end, so nothing in this scope was read.",
    )
    answers = list(
        chained(chain, calls.list_images, lambda answer: (not answer.body.Images, answer.body.NextToken))
    )
    by_name = {image.ImageName: image for answer in answers for image in answer.body.Images}
    wanted_names = sorted(name for name in by_name if wanted.accepts(name))
    return Discovery(
        images=tuple(by_name[name] for name in wanted_names),
        names=frozenset(by_name),
        pages=len(answers),
        t0_ms=answers[0].date_ms - MARGIN_MS,
        now_ms=answers[-1].date_ms,
        drift=tuple(drift for answer in answers for drift in answer.drift),
    )
