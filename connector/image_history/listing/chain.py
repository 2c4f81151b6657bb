"""Reads a list of AWS page by page to its end, and detects a list that has no end.

Pure, except that it calls a given function for each page. Must not know what a page contains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from image_history.counting import counted
from image_history.errors import ListingUnstableError
from image_history.listing.pages import MOST_EMPTY_PAGES

Page = TypeVar("Page")
# With up to 100 images, aliases or accounts on a page, this is far more than AWS allows.
MOST_PAGES = 1000


@dataclass(frozen=True, slots=True)
class Chain:
    """The name of a list in messages, what follows if it has no end, and how many pages it may have (None: no limit).

    `begun` is the token in the request for its first page.
    """

    name: str
    so: str
    most: int | None = MOST_PAGES
    begun: str | None = None


def chained(
    chain: Chain, ask: Callable[[str | None], Page], next_of: Callable[[Page], tuple[bool, str | None]]
) -> Iterator[Page]:
    """Yield every page. `next_of` returns whether a page is empty, and the token for the page after it.

    Raises ListingUnstableError for a list without an end: if a token repeats, after too many empty pages in a row, or
    after too many pages.
    """
    token, seen, empty = chain.begun, {chain.begun}, 0
    while True:
        page = ask(token)
        yield page
        is_empty, token = next_of(page)
        if token is None:
            return
        empty = empty + 1 if is_empty else 0
        if empty >= MOST_EMPTY_PAGES:
            raise ListingUnstableError(f"{chain.name} gave {empty:,} empty pages in a row: {chain.so}")
        if token in seen:
            raise ListingUnstableError(
                f"{chain.name} repeats a pagination token after {counted(len(seen), 'page')}: {chain.so}"
            )
        if len(seen) == chain.most:
            most = counted(chain.most, "page")
            raise ListingUnstableError(f"{chain.name} has more than {most}: {chain.so}")
        seen.add(token)
