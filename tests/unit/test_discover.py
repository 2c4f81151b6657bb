from __future__ import annotations

import tracemalloc

import pytest

from image_history.aws.bodies import Answer, ImagesBody
from image_history.errors import AccessDeniedError, ListingUnstableError, MalformedResponseError
from image_history.extract.discovery import discover
from image_history.listing.request import ImageFilter
from tests.unit.fakes import DATE_MS, FakeSource, answer, image, images_page, in_turn, scope_calls

ALL = ImageFilter()


def test_images_of_all_pages_sorted_by_name() -> None:
    """All pages are read, also after an empty page, and an image on two pages is returned once."""
    pages = [images_page(["b", "a"], "1"), images_page([], "2"), images_page(["C", "a"])]
    source = FakeSource(in_turn(*pages))
    found = discover(scope_calls(source), ALL)
    assert [found_image.ImageName for found_image in found.images] == ["C", "a", "b"]
    assert found.pages == 3
    assert [parameters.get("NextToken") for _, parameters in source.asked] == [None, "1", "2"]


def test_instants_are_the_servers() -> None:
    """T0 is one second before the Date of the first page, and now is the Date of the last page."""
    pages = [images_page(["a"], "1", DATE_MS), images_page(["b"], None, DATE_MS + 7_000)]
    found = discover(scope_calls(FakeSource(in_turn(*pages))), ALL)
    assert (found.t0_ms, found.now_ms) == (DATE_MS - 1_000, DATE_MS + 7_000)


def test_filter_leaves_images_out() -> None:
    """Images that the configuration excludes are not found."""
    found = discover(
        scope_calls(FakeSource(in_turn(images_page(["a", "ab", "b"])))), ImageFilter(("a*",), ("ab",))
    )
    assert [found_image.ImageName for found_image in found.images] == ["a"]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_tokens_that_go_round_are_an_error(length: int) -> None:
    """A cycle of tokens of any length ends the discovery with an error, and no part of the list is returned."""
    calls = iter(range(1000))
    source = FakeSource(lambda *_: images_page(["a"], f"token {next(calls) % length}"))
    with pytest.raises(ListingUnstableError, match=f"repeats a pagination token after {length + 1} pages"):
        discover(scope_calls(source), ALL)


@pytest.mark.parametrize("error", [AccessDeniedError("no"), MalformedResponseError("html")])
def test_list_that_breaks_off_is_not_returned(error: Exception) -> None:
    """An error on a later page is raised: a part of the list would look like deleted images."""
    with pytest.raises(type(error)):
        discover(scope_calls(FakeSource(in_turn(images_page(["a"], "1"), error))), ALL)


def test_account_is_that_of_the_first_proper_arn() -> None:
    """The account comes from the first ARN that names one; without any such ARN there is no account."""
    odd = [image("a", "None"), image("b", "12345"), image("c", "444455556666")]
    assert (
        discover(scope_calls(FakeSource(in_turn(answer(ImagesBody(tuple(odd)))))), ALL).account_id
        == "444455556666"
    )
    assert discover(scope_calls(FakeSource(in_turn(images_page([])))), ALL).account_id is None


def test_list_of_ever_new_images_and_tokens_ends() -> None:
    """An endless list of images is an error after a thousand pages, with less than 100 MiB of memory."""
    calls = iter(range(2000))

    def page(*_: object) -> Answer[ImagesBody]:
        number = next(calls)
        return images_page([f"image-{number}-{each}" for each in range(100)], f"token {number}")

    tracemalloc.start()
    try:
        with pytest.raises(ListingUnstableError, match="has more than 1,000 pages"):
            discover(scope_calls(FakeSource(page)), ALL)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()
