"""Tables on a terminal: what is drawn where the terminal's encoding lacks a character."""

from __future__ import annotations

from io import BytesIO, TextIOWrapper

import pytest
from rich.console import Console

from image_history.cli.rendering import Drawing, draw

DRAWING = Drawing(["name", "text"], [["base…", "é─x"], ["other", "y"]], [False, False])


def drawn(encoding: str, *, blocks: bool = False) -> str:
    """The screen of a terminal of 80 columns with this encoding."""
    stream = TextIOWrapper(BytesIO(), encoding=encoding)
    screen = Console(file=stream, force_terminal=True, color_system=None, width=80)
    draw(Drawing(DRAWING.header, DRAWING.rows, DRAWING.right, blocks=blocks), screen)
    stream.seek(0)
    return stream.read()


@pytest.mark.parametrize("blocks", [False, True], ids=["table", "blocks"])
@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "?-x"), ("latin-1", "é-x"), ("cp1252", "é-x")])
def test_character_that_a_terminal_lacks_is_replaced(encoding: str, shown: str, *, blocks: bool) -> None:
    """Lines become hyphens, the mark of a shortened text a tilde, and another character a question mark."""
    screen = drawn(encoding, blocks=blocks)
    assert "base~" in screen
    assert shown in screen
    assert blocks or "----" in screen


def test_terminal_with_unicode_gets_all_characters() -> None:
    """In UTF-8 nothing is replaced."""
    screen = drawn("utf-8")
    assert "base…" in screen
    assert "é─x" in screen
    assert "────" in screen
