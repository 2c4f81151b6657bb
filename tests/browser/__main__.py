"""Checks reports in a real browser: `make report-check`, or `python -m tests.browser FOLDER` to keep pictures.

The page must print nothing on the console, request nothing else, and run no script from AWS's texts; sorting,
filtering and the keyboard must work; the page must fit a desktop and a phone.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path

from image_history.report import Facts, page
from tests.browser.driver import INSTALL, Browser, browser, missing
from tests.browser.facts import HOSTILE, facts
from tests.browser.releases import released

CASES: dict[str, Facts] = {
    "nothing": facts(0),
    "three": facts(3),
    "hostile": facts(30, texts=HOSTILE),
    "many": facts(2_000, total=45_000),
}
SIZES = {"screen": (1280, 1600), "phone": (390, 1600)}
_CELLS = """
return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)].filter((row) => !row.hidden)
  .map((row) => row.cells[arguments[1]].textContent)
"""


def require(truth: object, sentence: str) -> None:
    """Exit with a message if a condition is false."""
    if not truth:
        raise SystemExit(f"report-check: {sentence}")


def check(window: Browser, page_file: Path, name: str) -> None:
    """Check a page: it logs nothing, requests only itself, runs no AWS text, fits its window, and has its style."""
    window.open(page_file)
    require(not (said := window.said()), f"{name}: the console says {said}")
    require((asked := window.requests()) == [page_file.as_uri()], f"{name}: asks for {asked}")
    require(window.run("return window.hacked === undefined"), f"{name}: a text of AWS has run")
    require(
        window.run("return document.querySelectorAll('img, b > b, script').length") == 1, f"{name}: markup"
    )
    wide = window.run("return [document.documentElement.scrollWidth, window.innerWidth]")
    require(wide[0] <= wide[1], f"{name}: is {wide[0]} pixels wide in a window of {wide[1]}")
    style = window.run("return getComputedStyle(document.querySelector('.tile')).borderTopStyle")
    require(style == "solid", f"{name}: its style does not apply, so that its hash is wrong")


def check_tables(window: Browser) -> None:
    """Check that the keyboard sorts and filters, and that the page names the rows that are left out."""
    versions = [f"{number}" for number in window.run(_CELLS, "deleted", 2)]
    require(len(versions) == 1_000, "a large table has no thousand rows")
    window.run("document.querySelector('#deleted th:nth-child(3) button').focus()")
    window.keys("enter")
    up = [int(text.replace(",", "")) for text in window.run(_CELLS, "deleted", 2)]
    require(up == sorted(up), "Enter on a heading does not sort by number")
    window.keys("space")
    down = [int(text.replace(",", "")) for text in window.run(_CELLS, "deleted", 2)]
    require(down == sorted(up, reverse=True), "Space on a heading does not sort the other way round")
    order = window.run("return document.querySelector('#deleted th:nth-child(3)').ariaSort")
    require(order == "descending", f"a screen reader is told {order}")
    window.run("document.querySelector('#deleted input').focus()")
    window.keys("IMAGE-0042 us-east")
    require(
        window.run(_CELLS, "deleted", 1) == ["image-0042"], "the filter does not find an image by two words"
    )
    told = window.run("return document.querySelector('#deleted output').textContent")
    require(told == "1 of 1000 rows, of those that are here", f"the filter says {told!r}")
    cut = window.run("return document.querySelector('#deleted .cut').textContent")
    require(
        "1,000 of 45,000" in cut and "image-history export" in cut, f"what is left out is told as {cut!r}"
    )
    require(not window.said(), "sorting or filtering says something on the console")


def check_links(window: Browser) -> None:
    """Check that each tile links to an existing table, and that Tab and Enter open a tile."""
    broken = window.run(
        "return [...document.querySelectorAll('.tile')].filter((tile) => !document.querySelector(tile.hash)).length"
    )
    require(broken == 0, "a tile leads nowhere")
    window.run("document.activeElement.blur(); document.querySelector('.tile').focus()")
    window.keys("tab", "enter")
    require(window.run("return location.hash").startswith("#"), "Tab and Enter do not open a tile")


def main() -> None:
    """Check every page at every size; keep pictures if a folder is given."""
    if absent := missing():
        raise SystemExit(f"report-check needs {' and '.join(absent)}: {INSTALL}")
    with tempfile.TemporaryDirectory(prefix="report-check-") as temporary, browser() as window:
        keep = Path(sys.argv[1]) if len(sys.argv) > 1 else None
        pages = {"releases": released(Path(temporary))} | {name: page(told) for name, told in CASES.items()}
        for name, html in pages.items():
            file = Path(temporary, f"{name}.html")
            file.write_text(html, encoding="utf-8")
            require((size := file.stat().st_size) < 2_000_000, f"{name}: has {size:,} bytes")
            for kind, (width, height) in SIZES.items():
                window.call("POST", "/window/rect", {"width": width, "height": height})
                check(window, file, f"{name}, {kind}")
                if keep is not None:
                    picture = window.call("GET", "/screenshot")
                    (keep / f"{name}-{kind}.png").write_bytes(base64.b64decode(picture))
        check_tables(window)
        check_links(window)
    sys.stdout.write(
        f"report-check: {len(pages)} pages at {len(SIZES)} sizes: silent, at rest, and they work.\n"
    )


if __name__ == "__main__":
    main()
