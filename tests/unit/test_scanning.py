"""The shell's two functions without side effects: where a statement ends, and how a word is completed."""

from __future__ import annotations

import pytest

from image_history.cli.completing import Vocabulary, completions
from image_history.cli.scanning import is_complete, split

WORDS = Vocabulary(
    relations=["images", "image_versions", "runs"],
    columns={"images": ["image_name", "region"], "runs": ["host", "mode"]},
    functions=["max", "min"],
    saved=["newest-versions", "version-history"],
    commands=[".mode", ".schema"],
    formats=["table", "csv"],
)


@pytest.mark.parametrize(
    ("text", "pieces", "rest"),
    [
        pytest.param("", [], "", id="nothing"),
        pytest.param(" ;; -- x\n ;", [], "", id="empty"),
        pytest.param("SELECT 1", [], "SELECT 1", id="begun"),
        pytest.param("SELECT 1; SELECT 2;", ["SELECT 1", "SELECT 2"], "", id="two"),
        pytest.param("SELECT\n1\n;SELECT", ["SELECT\n1"], "SELECT", id="lines"),
        pytest.param("SELECT ';', 'it''s;';", ["SELECT ';', 'it''s;'"], "", id="text"),
        pytest.param("SELECT E'\\';';", ["SELECT E'\\';'"], "", id="escaped-text"),
        pytest.param('SELECT ";" FROM "a"";";', ['SELECT ";" FROM "a"";"'], "", id="name"),
        pytest.param("SELECT 1 -- ;\n+ 1;", ["SELECT 1 -- ;\n+ 1"], "", id="comment"),
        pytest.param("SELECT /* ; */ 1;", ["SELECT /* ; */ 1"], "", id="long-comment"),
        pytest.param("SELECT $$;$$, $a$;$$;$a$;", ["SELECT $$;$$, $a$;$$;$a$"], "", id="dollars"),
        pytest.param("SELECT $n;", ["SELECT $n"], "", id="parameter"),
        pytest.param("SELECT 'open;", [], "SELECT 'open;", id="open-text"),
        pytest.param("SELECT /* open;", [], "SELECT /* open;", id="open-comment"),
        pytest.param(".mode csv\nSELECT 1;", [".mode csv", "SELECT 1"], "", id="command"),
        pytest.param("SELECT 1; @saved a=b;\n.exit", ["SELECT 1", "@saved a=b", ".exit"], "", id="saved"),
        pytest.param("SELECT 3 - 1 / 1 FROM eE;", ["SELECT 3 - 1 / 1 FROM eE"], "", id="plain"),
    ],
)
def test_statement_ends_at_its_semicolon(text: str, pieces: list[str], rest: str) -> None:
    """A semicolon in a text, a name or a comment ends no statement; the shell's own commands end with their line."""
    assert split(text) == (pieces, rest)
    assert is_complete(text) == (not rest)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param("SELECT image_n", ["image_name"], id="column"),
        pytest.param("SELECT * FROM im", ["images", "image_versions", "image_name"], id="relation"),
        pytest.param("FROM images SELECT im", ["image_name", "images", "image_versions"], id="columns-first"),
        pytest.param("SELECT runs.h", ["host"], id="of-relation"),
        pytest.param("FROM runs AS r SELECT r.", ["host", "mode"], id="of-alias"),
        pytest.param("SELECT x.re", ["region"], id="of-unknown-alias"),
        pytest.param("SELECT m", ["mode", "max", "min"], id="function"),
        pytest.param("sel", ["SELECT"], id="keyword"),
        pytest.param("@n", ["newest-versions"], id="saved"),
        pytest.param(".sc", [".schema"], id="command"),
        pytest.param(".mode c", ["csv"], id="format"),
        pytest.param(".schema ru", ["runs"], id="schema"),
        pytest.param("SELECT ", [], id="nothing-typed"),
        pytest.param("zzz", [], id="nothing-like-it"),
    ],
)
def test_word_is_completed_by_the_likeliest(before: str, expected: list[str]) -> None:
    """Columns of the named relations come first, and the shell's own commands have their own words."""
    assert [one.text for one in completions(before, WORDS)] == expected
