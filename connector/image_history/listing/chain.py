"""A list of AWS's from page to page: it is followed to its end, or told to have none.

Pure but for what asks for a page. Must not know what a page holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from image_history.errors import ListingUnstableError
from image_history.listing.pages import MOST_EMPTY_PAGES

Page = TypeVar("Page")
# Of 100 images, aliases or accounts each: more than AWS lets an account have by far.
MOST_PAGES = 1000


@dataclass(frozen=True, slots=True)
class Chain:
    """What a list is called in messages, what its end without an end means, and how many pages it may have.

    `begun` is the token that its first page is asked for with.
    """

    name: str
    so: str
    most: int | None = MOST_PAGES
    begun: str | None = None


def chained(
    chain: Chain, ask: Callable[[str | None], Page], told: Callable[[Page], tuple[bool, str | None]]
) -> Iterator[Page]:
    """Every page; `told` says of one whether it is empty, and the token that continues after it.

    ListingUnstableError for a list without an end: after a page whose token was met before, after too many empty
    pages in a row, and after too many pages.
    """
    token, seen, empty = chain.begun, {chain.begun}, 0
    while True:
        page = ask(token)
        yield page
        is_empty, token = told(page)
        if token is None:
            return
        empty = empty + 1 if is_empty else 0
        if empty >= MOST_EMPTY_PAGES:
            raise ListingUnstableError(f"{chain.name} gave {empty:,} empty pages in a row: {chain.so}")
        if token in seen:
            raise ListingUnstableError(
                f"{chain.name} repeats a pagination token after {len(seen)} pages: {chain.so}"
            )
        if len(seen) == chain.most:
            raise ListingUnstableError(f"{chain.name} has more than {chain.most:,} pages: {chain.so}")
        seen.add(token)
