"""A line editor with history and completion: the only module that knows prompt_toolkit.

Must not know what becomes of a statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import Completer
from prompt_toolkit.completion import Completion as Choice
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.output import ColorDepth

from image_history.cli.completing import Vocabulary, completions
from image_history.cli.scanning import is_complete

if TYPE_CHECKING:
    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

_PROMPT = "history> "
_CONTINUED = "    ...> "


def prompt(words: Vocabulary, history: Path | None, *, plain: bool) -> Callable[[], str]:
    """A function that prompts for one statement; it raises EOFError for Ctrl-D, KeyboardInterrupt for Ctrl-C.

    A statement that is not complete continues in the next line. Statements are kept in the file `history`.
    """
    session: PromptSession[str] = PromptSession(
        message=_PROMPT,
        history=InMemoryHistory() if history is None else FileHistory(str(history)),
        completer=_Words(words),
        complete_while_typing=False,
        multiline=Condition(lambda: not is_complete(get_app().current_buffer.text)),
        prompt_continuation=_CONTINUED,
        color_depth=ColorDepth.DEPTH_1_BIT if plain else None,
    )
    return session.prompt


class _Words(Completer):
    """Adapts our completions to prompt_toolkit."""

    def __init__(self, words: Vocabulary) -> None:
        self._words = words

    def get_completions(self, document: Document, _: CompleteEvent) -> Iterable[Choice]:
        """Each word once, the likeliest first."""
        seen: set[str] = set()
        for one in completions(document.text_before_cursor, self._words):
            if one.text not in seen:
                seen.add(one.text)
                yield Choice(one.text, -one.length, display_meta=one.kind)
