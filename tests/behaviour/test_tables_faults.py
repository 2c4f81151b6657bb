"""A publication of lake tables that dies at any of its effects leaves the old tables or the new ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest

from tests.behaviour.lakes import KINDS
from tests.faultpoints.faults import Action, Fault
from tests.faultpoints.forking import Forge
from tests.faultpoints.lakes import POINTS, STAGES, LakeMatrix

pytestmark = pytest.mark.duckdb


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    """A process that forks commands."""
    with Forge() as forge:
        yield forge


@pytest.fixture(scope="module")
def made(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], LakeMatrix]:
    """A lake before a publication, by kind and stage, made once."""

    @functools.cache
    def make(kind: str, stage: str) -> LakeMatrix:
        matrix = LakeMatrix(tmp_path_factory.mktemp(f"{kind}-{stage}"), kind, stage, forge)
        matrix.prepare()
        return matrix

    return make


@pytest.fixture
def prepared(request: pytest.FixtureRequest, made: Callable[[str, str], LakeMatrix]) -> LakeMatrix:
    """A lake before a publication, of a kind and stage."""
    return made(*request.param)


def stages(*names: str) -> pytest.MarkDecorator:
    """Each kind of lake at these stages."""
    cases = [pytest.param((kind, name), id=f"{kind}-{name}") for kind in KINDS for name in names]
    return pytest.mark.parametrize("prepared", cases, indirect=True)


@stages(*STAGES)
def test_killed_publication_leaves_whole_tables_and_the_next_completes(prepared: LakeMatrix) -> None:
    """After a kill at each kind of effect each table is the old or the new one, and the next one completes them."""
    firsts = [kill for kill in prepared.kills() if kill.number == 1]
    assert {(kill.effect, kill.subject) for kill in firsts} == set(prepared.reached)
    figures = prepared.play(firsts)
    assert figures.wrong == []
    assert figures.codes == {-9: len(firsts)}


@stages("changed")
def test_refused_publication_is_exit_4_and_heals(prepared: LakeMatrix) -> None:
    """A disk that is full while a file is written, or a commit is made, costs that table only, and it heals."""
    # Of events one file; of versions only the three that may have been committed, for all that is known.
    left = {("create", "table file"): 1, ("write", "table file"): 1, ("commit", "table"): 4}
    for point, files in left.items():
        prepared.restore()
        before = prepared.shelf.data_files()
        refused = prepared.run(Fault(*point, Action.ENOSPC))
        assert refused.code == 4, refused.err
        assert "No space left" in refused.out
        assert prepared.state_of("image_versions") == "old"
        assert prepared.state_of("image_version_events") == "new"
        assert len(prepared.shelf.data_files() - before) == files
        assert prepared.run().code == 0
        assert prepared.states() == {"new"}


@stages("changed")
def test_upkeep_that_is_refused_undoes_nothing(prepared: LakeMatrix) -> None:
    """The rows are committed by then: the publication succeeds, and a later one sweeps."""
    figures = prepared.play([Fault("commit", "upkeep", Action.ENOSPC)])
    assert figures.wrong == []
    assert figures.codes == {0: 1}


@stages("changed")
def test_what_kills_left_is_swept_later(prepared: LakeMatrix) -> None:
    """A day later no file of ours is there that no commit names."""
    kills = [Fault("write", "table file", Action.KILL), Fault("commit", "table", Action.KILL)]
    assert prepared.orphans_after(kills) == set()


def test_every_fault_point_of_lakes_is_reached(made: Callable[[str, str], LakeMatrix]) -> None:
    """What is registered is what publications do."""
    for kind in KINDS:
        assert {point for stage in STAGES for point in made(kind, stage).reached} == POINTS, kind
