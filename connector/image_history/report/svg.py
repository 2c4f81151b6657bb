"""Boxes and lines of text as SVG, which is also readable without CSS.

Colours are attributes; a class on each element lets CSS change them for dark screens. Must not know what is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup, escape

# These colours stay distinct for people with red-green colour blindness, and in a greyscale print.
COLOURS = {
    "created": "#2f6fb0",
    "changed": "#93a1af",
    "failed": "#e08a00",
    "deleted": "#b3261e",
    "unsure": "#e5a19d",
    "before": "#eceff1",
    "grid": "#d8dde2",
    "ink": "#1c2733",
    "faint": "#5c6b7a",
}


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle. `tip` is shown when a pointer rests on it, and read by a screen reader."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text; `anchor` is start, middle or end."""

    x: float
    y: float
    text: str
    kind: str = "faint"
    anchor: str = "start"
    size: int = 11
    bold: bool = False
    tip: str = ""


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def _tip(text: str) -> Markup:
    return Markup("<title>{}</title>").format(text) if text else Markup("")


def drawn(part: Box | Words) -> Markup:
    """One part as SVG."""
    if isinstance(part, Box):
        opened = Markup('<rect class="{0}" fill="{1}" x="{2}" y="{3}" width="{4}" height="{5}"').format(
            part.kind, COLOURS[part.kind], *map(_number, (part.x, part.y, part.width, part.height))
        )
        return opened + (Markup(">{}</rect>").format(_tip(part.tip)) if part.tip else Markup("/>"))
    weight = Markup(' font-weight="600"') if part.bold else Markup("")
    return Markup(
        '<text class="{0}" fill="{1}" x="{2}" y="{3}" font-size="{4}" text-anchor="{5}"{6}>{7}{8}</text>'
    ).format(
        part.kind,
        COLOURS[part.kind],
        _number(part.x),
        _number(part.y),
        part.size,
        part.anchor,
        weight,
        part.text,
        _tip(part.tip),
    )


def picture(parts: Iterator[Box | Words], *, width: int, height: float, label: str) -> Markup:
    """A whole picture; `label` is its description for a screen reader."""
    inside = Markup("").join(map(drawn, parts))
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{0}" viewBox="0 0 {1} {2}" width="{1}" '
        'height="{2}" font-family="system-ui, sans-serif">{3}</svg>'
    ).format(escape(label), width, _number(height), inside)
