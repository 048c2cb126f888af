"""What drills prove, how they end a command, and where their times are going."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise, permutations

import pytest

from remediate.domain.drill import (
    EXIT_CODES,
    TREND_OVER,
    Drill,
    Forecast,
    Outlook,
    Point,
    drills_of,
    exit_code,
    forecast,
    last_of_each,
    model_of,
    trends,
    worst,
)
from remediate.domain.report import DrillReport, DrillVerdict, Verification
from remediate.domain.run import EXIT_CODES as RUN_EXIT_CODES
from remediate.domain.run import RunStatus, Verified
from remediate.testing import EPOCH
from tests.builders import drill, drilled, run

DAY = timedelta(days=1)
V = DrillVerdict


def points(*seconds: float, every: timedelta = 30 * DAY) -> tuple[Point, ...]:
    return tuple(Point(at=EPOCH + number * every, seconds=value) for number, value in enumerate(seconds))


def test_each_verdict_has_its_own_exit_code_that_no_end_of_a_run_has() -> None:
    failing = {code for verdict, code in EXIT_CODES.items() if verdict is not V.PASS}

    assert set(EXIT_CODES) == set(V)
    assert len(failing) == len(V) - 1
    assert EXIT_CODES[V.PASS] == 0
    assert min(failing) >= 20
    assert failing.isdisjoint({*RUN_EXIT_CODES.values(), 2, 10, 130})


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((), None),
        ((V.PASS,), V.PASS),
        ((V.RTO_MISS, V.PASS, V.RPO_MISS), V.RPO_MISS),
        ((V.RPO_MISS, V.DRILL_BROKEN), V.DRILL_BROKEN),
        ((V.DRILL_BROKEN, V.CONTENT_MISMATCH), V.CONTENT_MISMATCH),
        ((V.CHAIN_GAP, V.BACKUP_BAD, V.PASS), V.BACKUP_BAD),
    ],
)
def test_the_worst_verdict_counts_in_whatever_order(verdicts: tuple[V, ...], expected: V | None) -> None:
    assert {worst(order) for order in permutations(verdicts)} == {expected}


@pytest.mark.parametrize(
    ("status", "drills", "expected"),
    [
        (RunStatus.SUCCEEDED, (drill(),), 0),
        (RunStatus.FAILED, (drill(), drill("arrakis", "CHAIN_GAP")), 21),
        (RunStatus.UNPROVEN, (drill(verdict="DRILL_BROKEN"),), 25),
        (RunStatus.UNPROVEN, (drill(),), 6),
        (RunStatus.PARKED, (), 7),
        (RunStatus.WAITING_APPROVAL, (), 3),
    ],
)
def test_how_a_command_ends(status: RunStatus, drills: tuple[DrillReport, ...], expected: int) -> None:
    assert exit_code(run(status=status), drills) == expected


LINE = points(100, 110, 120)


def missed_after(days: float, per_day: float) -> Forecast:
    return Forecast(outlook=Outlook.WILL_MISS, per_day=per_day, points=3, first_miss=EPOCH + days * DAY)


@pytest.mark.parametrize(
    ("measured", "target", "expected"),
    [
        ((), 900, Forecast(outlook=Outlook.TOO_FEW, points=0)),
        (points(100, 110), 900, Forecast(outlook=Outlook.TOO_FEW, points=2)),
        (points(100, 100, 100), 900, Forecast(outlook=Outlook.NONE_IN_SIGHT, per_day=0, points=3)),
        (points(120, 110, 100), 900, Forecast(outlook=Outlook.NONE_IN_SIGHT, per_day=-1 / 3, points=3)),
        (LINE, 150, missed_after(150, 1 / 3)),
        # Five years ahead is the end of what can be told.
        (LINE, 120 + 1824 / 3, missed_after(1884, 1 / 3)),
        (LINE, 120 + 1826 / 3, Forecast(outlook=Outlook.NONE_IN_SIGHT, per_day=1 / 3, points=3)),
        (points(100, 110, 160), 150, Forecast(outlook=Outlook.MISSED, per_day=1, points=3)),
        (points(160), 150, Forecast(outlook=Outlook.MISSED, points=1)),
        # The target itself is no miss yet; the line has crossed it before the last point.
        (points(100, 150, 150), 150, missed_after(60, 5 / 6)),
        # All at one moment: there is no line.
        (points(100, 110, 120, every=timedelta(0)), 150, Forecast(outlook=Outlook.TOO_FEW, points=3)),
    ],
)
def test_where_a_time_is_going(measured: tuple[Point, ...], target: float, expected: Forecast) -> None:
    found = forecast(measured, target)

    assert (found.outlook, found.points) == (expected.outlook, expected.points)
    assert found.per_day == pytest.approx(expected.per_day)
    assert (found.first_miss is None) is (expected.first_miss is None)
    if found.first_miss and expected.first_miss:
        assert abs(found.first_miss - expected.first_miss) < timedelta(seconds=1)


def test_only_the_newest_drills_tell_where_it_goes() -> None:
    long_ago = [800.0] * 5
    recent = [100.0 + number for number in range(TREND_OVER)]
    found = forecast(points(*long_ago, *recent), 900)

    assert (found.points, found.outlook) == (TREND_OVER, Outlook.NONE_IN_SIGHT)
    assert found.per_day == pytest.approx(1 / 30)


def made(at: datetime, report: DrillReport) -> Drill:
    moved = report.model_copy(update={"began": at.timestamp(), "wall_seconds": 0.0})
    return Drill(run_id="r", host="mentat", report=moved)


def test_only_drills_that_came_to_their_end_measure_anything() -> None:
    reports = [
        drill(rto_seconds=100, rpo_seconds=10),
        drill(verdict="BACKUP_BAD", rto_seconds=0, rpo_seconds=0),
        drill(verdict="CONTENT_MISMATCH", rto_seconds=5000),
        drill(verdict="RTO_MISS", rto_seconds=2000, rpo_seconds=30, rto_target=1900),
        # It noticed the damage that was done to it on purpose, and went no further.
        drill(mutation="page_bit", rto_seconds=3, rpo_seconds=1),
    ]
    newest_first = [made(EPOCH + number * DAY, report) for number, report in enumerate(reports)][::-1]
    rto, rpo = trends(newest_first)

    assert [point.seconds for point in rto.points] == [100, 2000]
    assert [point.seconds for point in rpo.points] == [10, 30]
    assert (rto.target, rpo.target) == (1900, 900)
    assert (rto.forecast.outlook, rpo.forecast.outlook) == (Outlook.MISSED, Outlook.TOO_FEW)
    assert all(before.at < after.at for before, after in pairwise(rto.points))


def test_without_drills_there_is_no_trend() -> None:
    assert [(trend.points, trend.forecast.outlook) for trend in trends([])] == [((), Outlook.TOO_FEW)] * 2


def test_the_model_lets_grow_what_is_done_to_the_data_and_leaves_the_log_as_it_was() -> None:
    names = {"fetch": 10, "prepare": 2, "checks": 8, "chain": 1, "replay": 30, "probe": 4}
    phases = [{"name": name, "seconds": taken, "bytes": 2**30} for name, taken in names.items()]
    model = model_of(drill(phases=phases))

    assert model is not None
    assert (model.measured, model.seconds(2**30), model.seconds(50 * 2**30)) == (2**30, 55, 35 + 50 * 20)
    assert model.largest(55) == 2**30
    assert model.largest(34) == 0


@pytest.mark.parametrize(
    "report",
    [
        drill(verdict="CONTENT_MISMATCH"),
        drill(mutation="page_bit"),
        drill(phases=[]),
        drill(phases=[{"name": "fetch", "seconds": 5, "bytes": 0}]),
        drill(phases=[{"name": "fetch", "seconds": 0, "bytes": 5}]),
        drill(phases=[{"name": "fetch", "seconds": 5, "bytes": 10**400}]),
        drill(phases=[{"name": "fetch", "seconds": 1e308, "bytes": 5}, {"name": "checks", "seconds": 1e308}]),
        drill(phases=[{"name": "fetch", "seconds": 5, "bytes": 5}, {"name": "replay", "seconds": 1e300}]),
    ],
)
def test_a_drill_that_measured_nothing_believable_says_nothing_about_other_sizes(report: DrillReport) -> None:
    assert model_of(report) is None


def test_whatever_the_target_is_the_model_says_how_much_is_back_within_it() -> None:
    model = model_of(drill(phases=[{"name": "fetch", "seconds": 0.001, "bytes": 2**60 - 1}]))

    assert model is not None
    assert model.largest(1e308) > 0


def test_drills_are_read_from_verifications_and_the_last_of_each_source_is_known() -> None:
    def verified(run_id: str, *drills: DrillReport) -> Verified:
        report = drilled(*drills).model_dump(mode="json")
        return Verified(run_id=run_id, ended_at=EPOCH, reports={"mentat": report})

    found = drills_of([verified("r-2", drill("b"), drill("a")), verified("r-1", drill("c"), drill("a"))])

    assert [(one.run_id, one.report.source) for one in found] == [
        ("r-2", "a"),
        ("r-2", "b"),
        ("r-1", "a"),
        ("r-1", "c"),
    ]
    assert [(one.run_id, one.report.source) for one in last_of_each(found)] == [
        ("r-2", "a"),
        ("r-2", "b"),
        ("r-1", "c"),
    ]


def test_a_verification_of_before_there_were_drills_has_none() -> None:
    old = {"verdict": "cured", "checks": [], "measures": [], "done": []}

    assert Verification.model_validate(old).drills == ()
    assert drills_of([Verified(run_id="r", ended_at=EPOCH, reports={"near": old})]) == ()


@pytest.mark.parametrize("began", [0.0, 1e12, 1e300])
def test_whatever_a_host_says_about_the_time_has_an_end(began: float) -> None:
    one = Drill(run_id="r", host="mentat", report=drill(began=began))

    assert one.ended_at.year in {1970, 2200}
    assert forecast([Point(at=one.ended_at, seconds=float(n)) for n in range(3)], 900).outlook is Outlook.TOO_FEW
