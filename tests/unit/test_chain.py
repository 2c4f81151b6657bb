"""A list of pages is followed to its end; a list without an end is an error."""

from __future__ import annotations

import pytest

from image_history.errors import ListingUnstableError
from image_history.listing.chain import Chain, chained

CHAIN = Chain("ListThings", "nothing was read.", most=5)
Page = tuple[str, str | None]


def read(pages: dict[str | None, Page], chain: Chain = CHAIN) -> list[str]:
    """The rows of all pages."""
    return [row for row, _ in chained(chain, pages.__getitem__, lambda page: (not page[0], page[1]))]


def test_chain_ends_with_the_page_without_a_token() -> None:
    """Every page is returned once, in order; a chain can start with a given token."""
    pages: dict[str | None, Page] = {None: ("a", "1"), "1": ("", "2"), "2": ("c", None)}
    assert read(pages) == ["a", "", "c"]
    assert read(pages, Chain("ListThings", "", begun="1")) == ["", "c"]


def test_chain_that_comes_back_is_told() -> None:
    """A chain that repeats a token is an error, even if that token is the one it began with."""
    circle: dict[str | None, Page] = {"1": ("a", "2"), "2": ("b", "1")}
    with pytest.raises(
        ListingUnstableError, match="repeats a pagination token after 2 pages: nothing was read"
    ):
        read(circle, Chain("ListThings", "nothing was read.", begun="1"))


def test_chain_with_ever_new_tokens_is_told() -> None:
    """A chain with ever new tokens ends with an error after a maximum of pages, or of empty pages in a row."""

    def ask(token: str | None) -> int:
        return int(token or 0) + 1

    with pytest.raises(ListingUnstableError, match="ListThings has more than 5 pages: nothing was read"):
        list(chained(CHAIN, ask, lambda number: (False, str(number))))
    with pytest.raises(ListingUnstableError, match="1,000 empty pages in a row"):
        list(chained(Chain("ListThings", "", most=None), ask, lambda number: (True, str(number))))
