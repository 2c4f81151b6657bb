"""Hints: which images are listed, which may rest, and when a hint is acknowledged."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from image_history.cli.reports import print_report
from image_history.config import Account, Images
from image_history.durable.effects import Effect
from image_history.errors import WarehouseLockedError
from image_history.forecast.estimate import Span, total_calls
from image_history.forecast.forecasting import forecast
from image_history.model import RunReport
from image_history.simulator import Exchange
from image_history.warehouse.warehouse import now_ms
from tests.behaviour.harness import ServeWorld
from tests.behaviour.hinting import (
    HOUR_MS,
    JUNK,
    MINUTE_MS,
    Hinted,
    Killed,
    hinted_site,
    image_event,
    installed,
    killing,
    trail_event,
    version_event,
)
from tests.behaviour.test_deletions import deny
from tests.behaviour.test_refusals import held

if TYPE_CHECKING:
    from aiohttp import web

pytestmark = pytest.mark.duckdb


def quiet(served: ServeWorld, **shape: int) -> Hinted:
    """A site that was synced once, five minutes ago."""
    hinted = hinted_site(served, **shape)
    hinted.site.sync()
    hinted.clock.advance(5 * MINUTE_MS)
    return hinted


def listed(hinted: Hinted) -> set[str]:
    """The images whose versions were listed by the last sync."""
    return {image for image in hinted.images if hinted.site.calls("ListImageVersions", image)}


def rested(report: RunReport) -> int:
    """How many images rested in the sync; the report and its scopes must agree."""
    assert report.hints is not None
    assert report.hints.rested == sum(scope.rested for scope in report.scopes)
    return report.hints.rested


def test_first_sync_lists_everything(served: ServeWorld) -> None:
    """An image that was never read does not rest."""
    hinted = hinted_site(served)
    report = hinted.site.sync()
    assert rested(report) == 0
    assert listed(hinted) == set(hinted.images)


def test_report_of_resting_images_does_not_say_that_none_was_found(
    served: ServeWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """When all images rest, the summary says so, and does not advise to check the accounts."""
    print_report(quiet(served).site.sync())
    summary = capsys.readouterr().out
    assert "12 images rest" in summary
    assert "No image was found" not in summary


def test_quiet_images_rest(served: ServeWorld) -> None:
    """Without hints, a sync reads only the list of images, and the table stays true."""
    hinted = quiet(served)
    report = hinted.site.sync()
    assert report.calls.by_operation == {"ListImages": 1}
    assert rested(report) == 12
    hinted.site.assert_true()


def test_hinted_image_is_listed(served: ServeWorld) -> None:
    """A hint about one image makes a sync list only that image, and the new version is stored."""
    hinted = quiet(served)
    image = hinted.images[3]
    hinted.site.world.create_version(image)
    hinted.hint(image)
    hinted.clock.advance(2 * MINUTE_MS)
    report = hinted.site.sync()
    assert listed(hinted) == {image}
    assert report.hints is not None
    assert (report.hints.hinted, report.hints.acknowledged) == (1, 1)
    assert hinted.waiting() == []
    hinted.site.assert_true()


def test_hint_is_kept_until_a_listing_begins_a_minute_later(served: ServeWorld) -> None:
    """A new hint is not acknowledged, since lists lag; the next sync lists its image again and acknowledges it."""
    hinted = quiet(served)
    image = hinted.images[0]
    path = hinted.hint(image)
    assert hinted.site.sync().hints.acknowledged == 0  # type: ignore[union-attr]
    assert hinted.waiting() == [path.name]
    hinted.clock.advance(2 * MINUTE_MS)
    hinted.site.sync()
    assert listed(hinted) == {image}
    assert hinted.waiting() == []
    assert (hinted.folder / "loaded" / path.name).exists()


def test_settled_hint_lists_nothing_again(served: ServeWorld) -> None:
    """A late or repeated hint about a change that was already listed costs no call and is acknowledged."""
    hinted = hinted_site(served)
    before_ms = hinted.clock.now_ms()
    hinted.clock.advance(5 * MINUTE_MS)
    hinted.site.sync()
    hinted.put(*[version_event(hinted.arn(image), before_ms) for image in hinted.images] * 2)
    assert hinted.site.sync().calls.by_operation == {"ListImages": 1}
    assert hinted.waiting() == []


@pytest.mark.parametrize("status", ["CREATED", "Created", "deleting", "Whatever"])
@pytest.mark.parametrize("upper", [False, True], ids=["lower", "upper"])
def test_names_and_statuses_are_compared_without_case(
    served: ServeWorld, status: str, *, upper: bool
) -> None:
    """A hint counts in whatever case its ARN and its status are written."""
    hinted = quiet(served)
    image = hinted.images[5]
    arn = hinted.arn(image)
    hinted.put(version_event(arn.upper() if upper else arn, hinted.clock.now_ms(), status))
    hinted.site.sync()
    assert listed(hinted) == {image}


def test_image_event_and_recorded_call_are_hints(served: ServeWorld) -> None:
    """An event of an image, and a call of UpdateImageVersion that CloudTrail recorded, are hints."""
    hinted = quiet(served)
    one, other = hinted.images[1], hinted.images[7]
    now_ms = hinted.clock.now_ms()
    hinted.site.world.update_version(other, 3)
    hinted.put(image_event(hinted.arn(one), now_ms), trail_event(*hinted.scope, other, now_ms))
    hinted.clock.advance(2 * MINUTE_MS)
    hinted.site.sync()
    assert listed(hinted) == {one, other}
    assert hinted.waiting() == []
    hinted.site.assert_true()


def test_junk_is_acknowledged_and_harms_nothing(served: ServeWorld) -> None:
    """Lines that are not events of images are counted as junk and acknowledged."""
    hinted = quiet(served)
    hinted.put(*(line for line in JUNK if line))
    report = hinted.site.sync()
    assert rested(report) == 12
    assert report.hints is not None
    assert report.hints.junk == len(JUNK) - 1
    assert hinted.waiting() == []


def test_forged_hints_of_other_accounts_are_put_away(served: ServeWorld) -> None:
    """A hint about an account, region or image that is not ours lists nothing and is acknowledged."""
    hinted = quiet(served)
    now_ms = hinted.clock.now_ms()
    hinted.put(
        version_event("arn:aws:sagemaker:us-east-1:999999999999:image/x", now_ms),
        version_event(hinted.arn("no-such-image"), now_ms - 2 * MINUTE_MS),
        version_event(f"arn:aws:sagemaker:mars-north-1:{hinted.scope[0]}:image/{hinted.images[0]}", now_ms),
    )
    assert hinted.site.sync().calls.by_operation == {"ListImages": 1}
    assert hinted.waiting() == []


def test_forged_future_does_not_hide_a_hint(served: ServeWorld) -> None:
    """A hint with a future date neither stays for ever nor hides a true hint about the same image."""
    hinted = quiet(served)
    image = hinted.images[2]
    hinted.site.world.create_version(image)
    now_ms = hinted.clock.now_ms()
    arn = hinted.arn(image)
    hinted.put(version_event(arn, now_ms + 900 * HOUR_MS), version_event(arn, now_ms))
    hinted.clock.advance(2 * MINUTE_MS)
    hinted.site.sync()
    assert listed(hinted) == {image}
    hinted.site.assert_true()
    hinted.clock.advance(HOUR_MS)
    hinted.site.sync()
    assert hinted.waiting() == []


def test_lost_hint_is_made_up_for_after_trust(served: ServeWorld) -> None:
    """If a hint is lost, the image rests for `trust`, and not longer."""
    hinted = quiet(served)
    hinted.site.world.create_version(hinted.images[4])
    hinted.site.sync()
    assert hinted.site.calls("ListImageVersions") == 0
    hinted.clock.advance(24 * HOUR_MS)
    assert rested(hinted.site.sync()) == 0
    hinted.site.assert_true()


@pytest.mark.parametrize("kind", ["new", "vanished", "recreated", "touched", "passing", "full"])
def test_image_that_changed_otherwise_does_not_rest(served: ServeWorld, kind: str) -> None:
    """An image does not rest if it is new, deleted, recreated, updated or in a passing status, or in a full sync."""
    hinted = quiet(served)
    world, image = hinted.site.world, hinted.images[6]
    if kind == "new":
        world.create_image("brand-new")
        world.create_version("brand-new")
    elif kind in {"vanished", "recreated"}:
        world.delete_image(image)
        if kind == "recreated":
            world.create_image(image)
            world.create_version(image)
    elif kind == "touched":
        world.update_image(image, description="touched")
    elif kind == "passing":
        world.set_status(image, 2, "CREATING")
        hinted.hint(image)
        hinted.site.sync()
        world.set_status(image, 2, "CREATED")
        hinted.clock.advance(2 * MINUTE_MS)
        for path in hinted.folder.glob("*.jsonl"):
            path.unlink()
    report = hinted.site.sync(full=kind == "full")
    assert hinted.site.calls("ListImageVersions") == (12 if kind == "full" else 1)
    assert rested(report) == (0 if kind == "full" else len(report.scopes) * 12 - (kind != "new"))
    hinted.site.assert_true()


def test_deletion_hinted_at_a_large_image_lists_it_in_full(served: ServeWorld) -> None:
    """A hint about a deletion makes a sync list the image in full: an incremental listing does not show deletions."""
    hinted = quiet(served, images=3, largest=250)
    counts = {
        image: sum(row.image_name == image for row in hinted.site.world.truth()) for image in hinted.images
    }
    image = max(counts, key=lambda name: counts[name])
    hinted.site.world.delete_version(image, 17)
    hinted.hint(image, status="DELETING")
    hinted.clock.advance(2 * MINUTE_MS)
    report = hinted.site.sync()
    assert report.rows.deleted == 1
    assert hinted.waiting() == []
    hinted.site.assert_true()


def test_large_image_is_reconciled_although_it_might_rest(served: ServeWorld) -> None:
    """An image rests no longer than reconcile_every: only a full listing finds a deletion whose hint was lost."""
    hinted = quiet(served, images=3, largest=250)
    counts = {
        image: sum(row.image_name == image for row in hinted.site.world.truth()) for image in hinted.images
    }
    image = max(counts, key=lambda name: counts[name])
    hinted.clock.advance(23 * HOUR_MS)
    hinted.hint(image)
    hinted.site.sync()
    hinted.site.world.delete_version(image, 17)
    hinted.clock.advance(2 * HOUR_MS)
    hinted.site.sync()
    hinted.site.assert_true()


def test_unreadable_folder_lists_everything(served: ServeWorld) -> None:
    """If the hints cannot be read, no image rests, and the report names the folder."""
    hinted = quiet(served)
    hinted.folder.rmdir()
    report = hinted.site.sync()
    assert listed(hinted) == set(hinted.images)
    assert report.hints is not None
    assert report.hints.problem is not None
    assert str(hinted.folder) in report.hints.problem


def test_file_counts_once_it_is_whole(served: ServeWorld) -> None:
    """A file without its last line end and a hidden file stay for their writer; a link is reported, not followed."""
    hinted = quiet(served)
    event = json.dumps(version_event(hinted.arn(hinted.images[0]), hinted.clock.now_ms()))
    (hinted.folder / "cut.jsonl").write_text(event)
    (hinted.folder / ".hidden.jsonl").write_text(f"{event}\n")
    assert rested(hinted.site.sync()) == 12
    assert hinted.waiting() == [".hidden.jsonl", "cut.jsonl"]
    (hinted.folder / "link.jsonl").symlink_to(hinted.folder / "cut.jsonl")
    report = hinted.site.sync()
    assert report.hints is not None
    assert "link.jsonl" in (report.hints.problem or "")


def test_nothing_is_written_over_in_the_folder(served: ServeWorld) -> None:
    """If a moved file has the name of an earlier one, it gets another name in the folder `loaded`."""
    hinted = quiet(served)
    for _ in range(2):
        hinted.written = 0
        hinted.put("{}")
        hinted.site.sync()
    assert sorted(path.name for path in (hinted.folder / "loaded").iterdir()) == [
        "000001-2.jsonl",
        "000001.jsonl",
    ]


def test_narrowed_sync_keeps_the_hints_of_others(served: ServeWorld) -> None:
    """A sync of one image acknowledges no hints about other images or accounts."""
    hinted = quiet(served)
    one, other = hinted.images[:2]
    hinted.hint(one)
    kept = hinted.hint(other)
    foreign = hinted.put(version_event("arn:aws:sagemaker:us-east-1:999999999999:image/x", 0))
    hinted.clock.advance(2 * MINUTE_MS)
    hinted.site.sync(images=(one,))
    assert hinted.waiting() == [kept.name, foreign.name]


def test_excluded_image_has_its_hints_put_away(served: ServeWorld) -> None:
    """A hint about an excluded image is acknowledged, and the image is not listed."""
    hinted = hinted_site(served)
    hinted.site.sync()
    image = hinted.images[0]
    account = Account(images=Images(exclude=(image,)))
    hinted.site.config = msgspec.structs.replace(hinted.site.config, accounts=(account,))
    hinted.hint(image)
    hinted.clock.advance(2 * MINUTE_MS)
    hinted.site.sync()
    assert hinted.waiting() == []
    assert listed(hinted) == set(hinted.images) - {image}
    # The first sync with other images lists them all.
    assert rested(hinted.site.sync()) == 11


def test_locked_warehouse_acknowledges_nothing(served: ServeWorld) -> None:
    """If the warehouse is locked, hints are not acknowledged; the next sync loads the rows and acknowledges them."""
    hinted = quiet(served)
    image = hinted.images[0]
    hinted.site.world.create_version(image)
    path = hinted.hint(image)
    hinted.clock.advance(2 * MINUTE_MS)
    with held(hinted.site.config.warehouse), pytest.raises(WarehouseLockedError):
        hinted.site.sync(lock_wait=timedelta(0))
    assert hinted.waiting() == [path.name]
    hinted.site.sync()
    assert hinted.waiting() == []
    hinted.site.assert_true()


def test_pending_details_of_images_at_rest_are_read(served: ServeWorld) -> None:
    """A resting image is not listed, but its pending details are read, with the calls that the plan counts."""
    hinted = quiet(served, images=4, versions=2)
    site = hinted.site
    site.config = msgspec.structs.replace(site.config, details=True)
    planned = {name: span for name, span in total_calls(forecast(site.config).scopes).items() if span.high}
    report = site.sync()
    assert rested(report) == 4
    assert report.calls.by_operation == {"ListImages": 1, "DescribeImageVersion": 8, "ListAliases": 8}
    assert planned == {name: Span.of(made) for name, made in report.calls.by_operation.items()}
    assert set(site.ask("SELECT outcome, details, detailed FROM coverage WHERE details IS NOT NULL")) == {
        ("rested", "complete", 2)
    }
    assert site.sync().calls.by_operation == {"ListImages": 1}
    site.assert_true()


@pytest.mark.parametrize(("hours", "rest"), [(1, 11), (25, 0)], ids=["soon", "late"])
def test_killed_run_goes_on_unless_its_images_rested_too_long(
    served: ServeWorld, monkeypatch: pytest.MonkeyPatch, hours: int, rest: int
) -> None:
    """A killed run is continued after an hour; after a day, a new run begins, in which no image rests."""
    hinted = quiet(served)
    lost, image = hinted.images[:2]
    hinted.site.world.create_version(lost)
    hinted.hint(image)
    hinted.clock.advance(2 * MINUTE_MS)
    with installed(killing(Effect.RENAME, "segment")), pytest.raises(Killed):
        hinted.site.sync()
    hinted.clock.advance(hours * HOUR_MS)
    later_ms = now_ms() + hours * HOUR_MS
    monkeypatch.setattr("image_history.run.hearing.now_ms", lambda: later_ms)
    planned = forecast(hinted.site.config)
    assert (planned.continued is not None) == (rest > 0)
    report = hinted.site.sync()
    assert report.resumed == (rest > 0)
    assert rested(report) == rest
    if not rest:
        hinted.site.assert_true()


def test_five_thousand_quiet_images_cost_their_pages(served: ServeWorld) -> None:
    """24 changes in 5,000 images cost at most 80 calls, even if hints are repeated, shuffled and mixed with junk."""
    hinted = hinted_site(served, images=5000, versions=1)
    hinted.site.sync()
    hinted.clock.advance(HOUR_MS)
    report = hinted.site.sync()
    assert report.calls.by_operation == {"ListImages": 50}
    world, rng = hinted.site.world, random.Random(7)
    chosen = rng.sample(hinted.images, 24)
    now_ms = hinted.clock.now_ms()
    for image in chosen[:20]:
        world.create_version(image)
    for image in chosen[20:23]:
        world.delete_version(image, 1)
    world.delete_image(chosen[23])
    events: list[object] = [version_event(hinted.arn(image), now_ms) for image in chosen[:20]]
    events += [version_event(hinted.arn(image), now_ms, "DELETING") for image in chosen[20:23]]
    events += [image_event(hinted.arn(chosen[23]), now_ms, "DELETING")]
    mixed = [*events, *events, *(line for line in JUNK if line)]
    rng.shuffle(mixed)
    hinted.put(*mixed)  # type: ignore[arg-type]
    hinted.clock.advance(5 * MINUTE_MS)
    report = hinted.site.sync(concurrency=8)
    assert report.calls.total <= 80
    assert hinted.waiting() == []
    hinted.site.assert_true()


def test_held_back_image_never_rests(served: ServeWorld) -> None:
    """While the deletions of an image are held back, every sync lists the image, and its hints stay."""
    hinted = hinted_site(served, images=3, versions=40)
    hinted.site.sync()
    hinted.clock.advance(5 * MINUTE_MS)
    image = hinted.images[0]
    for version in range(1, 40):
        hinted.site.world.delete_version(image, version)
    path = hinted.hint(image, status="DELETING")
    for _ in range(3):
        hinted.clock.advance(2 * MINUTE_MS)
        report = hinted.site.sync()
        assert listed(hinted) == {image}
        assert rested(report) == 2
        assert hinted.waiting() == [path.name]
    hinted.site.sync(allow_mass_delete=True)
    assert hinted.waiting() == []
    hinted.site.assert_true()


def test_image_made_again_does_not_rest_on_its_earlier_life(served: ServeWorld) -> None:
    """A recreated image whose listing fails does not rest until a listing of its new life is accepted."""
    hinted = quiet(served)
    world, image = hinted.site.world, hinted.images[2]
    world.delete_image(image)
    world.create_image(image)
    world.create_version(image)
    refuse = deny("ListImageVersions")

    async def fault(request: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        return await refuse(request, exchange) if exchange.image_name == image else None

    hinted.site.simulator.fault = fault
    hinted.hint(hinted.images[0])
    hinted.site.sync()
    hinted.site.simulator.fault = None
    for path in hinted.folder.glob("*.jsonl"):
        path.unlink()
    hinted.site.sync()
    assert listed(hinted) == {image}
    hinted.site.assert_true()
    hinted.site.sync()
    assert listed(hinted) == set()


def test_nothing_rests_on_a_backup_that_lacks_what_was_acknowledged(served: ServeWorld) -> None:
    """After a backup is restored, which lacks acknowledged hints, one sync lists all images."""
    hinted = quiet(served)
    warehouse = hinted.site.config.warehouse
    backup = warehouse.read_bytes()
    image = hinted.images[1]
    hinted.site.world.create_version(image)
    hinted.hint(image)
    hinted.clock.advance(2 * MINUTE_MS)
    hinted.site.sync()
    assert hinted.waiting() == []
    warehouse.write_bytes(backup)
    assert rested(hinted.site.sync()) == 0
    hinted.site.assert_true()
    assert rested(hinted.site.sync()) == 12


def test_run_that_rests_on_another_state_acknowledges_nothing(served: ServeWorld) -> None:
    """If a backup replaces the warehouse during a run, the run acknowledges no hint; the next sync does."""
    hinted = quiet(served)
    warehouse = hinted.site.config.warehouse
    backup = warehouse.read_bytes()
    hinted.site.sync()
    image = hinted.images[1]
    hinted.site.world.create_version(image)
    paths = [hinted.hint(image), hinted.hint("no-such-image")]
    hinted.clock.advance(2 * MINUTE_MS)

    def put_back(effect: Effect, file: str) -> None:
        # Once the run is closed, and before it is loaded.
        if (effect, file) == (Effect.RENAME, "closed"):
            warehouse.write_bytes(backup)

    with installed(put_back):
        report = hinted.site.sync()
    assert report.hints is not None
    assert report.hints.acknowledged == 0
    assert hinted.waiting() == [path.name for path in paths]
    hinted.clock.advance(2 * MINUTE_MS)
    hinted.site.sync()
    hinted.site.assert_true()
    assert hinted.waiting() == []
