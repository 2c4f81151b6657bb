"""If a publication of lake tables is killed at any of its effects, each table is the old or the new one."""

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
    """Makes a lake as it is before a publication, once for each kind and stage."""

    @functools.cache
    def make(kind: str, stage: str) -> LakeMatrix:
        matrix = LakeMatrix(tmp_path_factory.mktemp(f"{kind}-{stage}"), kind, stage, forge)
        matrix.prepare()
        return matrix

    return make


@pytest.fixture
def prepared(request: pytest.FixtureRequest, made: Callable[[str, str], LakeMatrix]) -> LakeMatrix:
    """A lake as it is before a publication, for a kind and stage."""
    return made(*request.param)


def stages(*names: str) -> pytest.MarkDecorator:
    """Runs a test for each kind of lake at these stages."""
    cases = [pytest.param((kind, name), id=f"{kind}-{name}") for kind in KINDS for name in names]
    return pytest.mark.parametrize("prepared", cases, indirect=True)


@stages(*STAGES)
def test_killed_publication_leaves_whole_tables_and_the_next_completes(prepared: LakeMatrix) -> None:
    """After a kill at each kind of effect each table is old or new, and the next publication completes it."""
    firsts = [kill for kill in prepared.kills() if kill.number == 1]
    assert {(kill.effect, kill.subject) for kill in firsts} == set(prepared.reached)
    figures = prepared.play(firsts)
    assert figures.wrong == []
    assert figures.codes == {-9: len(firsts)}


@stages("changed")
def test_refused_publication_is_exit_4_and_heals(prepared: LakeMatrix) -> None:
    """If the disk is full during a write or a commit, publish exits with 4, and only that table stays old."""
    # One file of events; after a failed commit also the three files of versions, because it may have succeeded.
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
    """If upkeep fails, the publication still succeeds, because its rows are committed by then."""
    figures = prepared.play([Fault("commit", "upkeep", Action.ENOSPC)])
    assert figures.wrong == []
    assert figures.codes == {0: 1}


@stages("changed")
def test_what_kills_left_is_swept_later(prepared: LakeMatrix) -> None:
    """One day after kills no file of ours is left that no commit names."""
    kills = [Fault("write", "table file", Action.KILL), Fault("commit", "table", Action.KILL)]
    assert prepared.orphans_after(kills) == set()


def test_every_fault_point_of_lakes_is_reached(made: Callable[[str, str], LakeMatrix]) -> None:
    """The registered fault points of lakes are exactly those that publications reach."""
    for kind in KINDS:
        assert {point for stage in STAGES for point in made(kind, stage).reached} == POINTS, kind
