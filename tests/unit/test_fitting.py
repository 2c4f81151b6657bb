"""A table is fitted to a width: no word is broken, and what is left out is named."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from image_history.formats.fitting import Column, Fitted, fit, lines_of, notes, words_of, wrapped
from image_history.formats.layout import width

ARN = "arn:aws:sagemaker:us-east-1:111122223333:image-version/churn/7"
SENTENCE = (
    "The repository churn does not exist in the registry with id 111122223333, or access to it is denied."
)


def columns(**texts: Sequence[str | None]) -> list[Column]:
    """Columns in this order, the first one the most important."""
    return [Column(name, tuple(cells), rank=-number) for number, (name, cells) in enumerate(texts.items())]


def text(fitted: Fitted) -> str:
    """The text of a fitted table."""
    return "\n".join(line for line, _ in lines_of(fitted))


def test_what_fits_is_left_as_it_is() -> None:
    """A table that fits is unchanged: complete ARNs, times to the millisecond, and a column without a value."""
    wide = columns(arn=[ARN], at=["2026-07-01T12:00:00.123Z"], none=[None])
    assert fit(wide, 200) == Fitted(tuple(wide), (len(ARN), 24, 4))


def test_steps_are_taken_in_their_order_and_only_as_far_as_is_needed() -> None:
    """ARNs are shortened first, then empty columns go, then the seconds, then other columns, which are named."""
    table = columns(
        image=["churn", "other"], arn=[ARN, ARN], none=[None, None], at=["2026-07-01T12:00:00.123Z"] * 2
    )
    at_first, then, later, last = (fit(table, limit) for limit in (61, 55, 47, 30))
    assert [column.name for column in at_first.columns] == ["image", "arn", "none", "at"]
    assert "…image-version/churn/7" in text(at_first)
    assert "12:00:00.123Z" in text(at_first)
    assert (then.empty, "12:00:00.123Z" in text(then)) == (("none",), True)
    assert (later.empty, "2026-07-01 12:00\n" in text(later) + "\n") == (("none",), True)
    assert [column.name for column in last.columns] == ["image", "arn"]
    assert list(notes(last)) == ["The same in every row: at 2026-07-01 12:00.", "Without a value: none."]


def test_least_important_column_goes_and_is_named() -> None:
    """The least important column, by rank and not by position, is left out and named."""
    table = [
        Column("a", ("x" * 20, "y"), rank=1),
        Column("b", ("x" * 20, "y"), rank=3),
        Column("c", ("z", "y"), rank=2),
    ]
    fitted = fit(table, 25)
    assert [column.name for column in fitted.columns] == ["b", "c"]
    assert list(notes(fitted)) == ["Left out for lack of room: a. --format blocks shows all."]


def test_many_added_columns_are_counted() -> None:
    """Many `etl_` columns that are left out are counted, not named."""
    fitted = Fitted((), (), ("x", *(f"etl_{number}" for number in range(5))))
    assert list(notes(fitted)) == ["Left out for lack of room: x, 5 etl_ columns. --format blocks shows all."]


def test_column_that_no_terminal_holds_makes_blocks() -> None:
    """If not even the most important column fits, the result has no columns."""
    assert fit(columns(name=["x" * 50]), 40).columns == ()


def test_sentence_is_wrapped_between_words_and_at_joints() -> None:
    """A text is broken between words, a long word after a joint, and within a word only if no joint helps."""
    assert wrapped("type application/vnd.oci.image.manifest.v1+json here", 20) == [
        "type", "application/vnd.oci.", "image.manifest.", "v1+json here",
    ]  # fmt: skip
    assert wrapped("ab" * 6, 5) == ["ababa", "babab", "ab"]
    assert wrapped("", 5) == [""]
    assert wrapped("日本語 日本語", 6) == ["日本語", "日本語"]


@pytest.mark.parametrize("limit", [30, 60, 80, 110, 200])
def test_no_line_is_too_wide_and_no_word_is_broken(rng: random.Random, limit: int) -> None:
    """In random tables at real widths, no line is too wide, no word is broken and every column is accounted for."""
    words = [*SENTENCE.split(), ARN, "日本語", "x", "sha256:" + "0" * 64, "2026-07-01T12:00:00.123Z"]
    for _ in range(200):
        rows = rng.randint(1, 4)
        table = [
            Column(
                f"name_of_{number}",
                tuple(
                    None if rng.random() < 0.1 else " ".join(rng.choices(words, k=rng.choice((0, 1, 1, 9))))
                    for _ in range(rows)
                ),
                rank=-number,
            )
            for number in range(rng.randint(1, 9))
        ]
        fitted = fit(table, limit)
        drawn = text(fitted) if fitted.columns else ""
        assert all(width(line) <= limit for line in drawn.splitlines()), drawn
        pieces = {
            piece for column in fitted.columns for cell in column.cells if cell for piece in words_of(cell)
        }
        assert all(width(piece) <= size for column, size in zip(fitted.columns, fitted.widths, strict=True)
                   for cell in column.cells if cell and " " in cell for piece in words_of(cell))  # fmt: skip
        assert all(piece in drawn for piece in pieces), drawn
        told = {*(column.name for column in fitted.columns), *fitted.left_out, *fitted.empty, *fitted.shared}
        assert not fitted.columns or told == {column.name for column in table}


def test_shared_is_what_is_equal_before_it_is_shortened() -> None:
    """Instants of one minute that differ in seconds are no shared value, and a sentence ends in one full stop."""
    names, why = ["a" * 20, "b" * 20], ["It was not read to its end."] * 2
    same, other = "2026-07-01T12:00:00.123Z", "2026-07-01T12:00:09.123Z"
    assert list(notes(fit(columns(name=names, at=[same, other]), 24))) == [
        "Left out for lack of room: at. --format blocks shows all."
    ]
    assert list(notes(fit(columns(name=names, at=[same, same], why=why), 24))) == [
        "The same in every row: at 2026-07-01 12:00, why It was not read to its end."
    ]
