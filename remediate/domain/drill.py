"""Drills: restores that were tried, what they prove, how they end a command, and where their times are going. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from remediate.domain.audit import writable
from remediate.domain.digest import digest
from remediate.domain.report import DrillReport, DrillVerdict, Verification
from remediate.domain.run import Run, RunStatus, Verified
from remediate.domain.value import Value

#: The runbook whose verifications report drills.
RESTORE_TEST = "restore-test"

_V = DrillVerdict

#: Exit codes of `remediate drill run`, one for each verdict; a run that reports no drill ends with its own.
EXIT_CODES: Mapping[DrillVerdict, int] = {
    _V.PASS: 0,
    _V.BACKUP_BAD: 20,
    _V.CHAIN_GAP: 21,
    _V.CONTENT_MISMATCH: 22,
    _V.RTO_MISS: 23,
    _V.RPO_MISS: 24,
    _V.DRILL_BROKEN: 25,
}

#: The worst first: what is lost for certain, what nobody can tell, what comes back too late.
_WORST = (
    *(_V.BACKUP_BAD, _V.CHAIN_GAP, _V.CONTENT_MISMATCH, _V.DRILL_BROKEN),
    *(_V.RPO_MISS, _V.RTO_MISS, _V.PASS),
)

#: The verdicts of drills that came to their end: only these have measured what a restore takes.
_MEASURED = frozenset({_V.PASS, _V.RTO_MISS, _V.RPO_MISS})

#: So many of the newest drills tell where it goes, and so many it takes at least.
TREND_OVER, TREND_FROM = 12, 3

#: What is done to the data themselves, and takes longer with more of them.
_GROWING = frozenset({"fetch", "unpack", "prepare", "checks"})

#: The size of a database of which a drill says how long its restore would take.
MODEL_BYTES = 50 * 2**30

#: Longer than this, in seconds, and more than this, in bytes, nothing of ours is: what a host says may be anything.
_MOST_SECONDS, _MOST_BYTES = 1e9, 2**60

#: A date that no machine of ours will see.
_LAST = datetime(2200, 1, 1, tzinfo=UTC)

#: Nobody can tell anything further ahead.
_HORIZON = timedelta(days=5 * 365)


class Drill(Value):
    """A drill, and the run and host that it was made by."""

    run_id: str
    host: str
    report: DrillReport

    @property
    def ended_at(self) -> datetime:
        """When it ended."""
        return ended_at(self.report)


class Outlook(StrEnum):
    """What the newest drills say about those to come."""

    TOO_FEW = "too few drills to tell"
    MISSED = "missed already"
    WILL_MISS = "will be missed"
    NONE_IN_SIGHT = "no miss in sight"


class Forecast(Value):
    """Where a measured time is going: a straight line through the newest drills, least squares."""

    outlook: Outlook
    #: When the line crosses the target; only where it will be missed.
    first_miss: datetime | None = None
    #: How much the time grows, in seconds a day; None: too few drills to tell.
    per_day: float | None = None
    #: How many drills it was made of.
    points: int = 0

    @property
    def words(self) -> str:
        """Where it is going, for people."""
        return self.outlook.value + (f", first on {self.first_miss:%Y-%m-%d}" if self.first_miss else "")


class Point(Value):
    """One measurement: when, and how many seconds."""

    at: datetime
    seconds: float


class Trend(Value):
    """What was measured in the drills of a source, oldest first, against its newest target, in seconds."""

    points: tuple[Point, ...]
    target: float
    forecast: Forecast


class Model(Value):
    """How long restores of other sizes would take, by what the phases of one drill did in a second.

    What is done to the data grows with them. The log and the probe stay as they were: how much log there is follows
    from what is written and from the age of the newest copy, not from the size.
    """

    #: What grows, in seconds for each byte that was fetched, and what stays, in seconds.
    per_byte: float
    besides: float
    #: The bytes that the drill fetched. Of few of them, what every restore takes counts as if it grew: too slow.
    measured: int

    def seconds(self, size: int) -> float:
        """Return how many seconds the restore of so many bytes takes."""
        return self.besides + size * self.per_byte

    def largest(self, target: float) -> int:
        """Return how many bytes are back within so many seconds."""
        return max(0, int((min(target, _MOST_SECONDS) - self.besides) / self.per_byte))


def exit_code(run: Run, drills: Sequence[DrillReport]) -> int:
    """Return the exit code of a command that ran drills: that of the worst verdict.

    Where no drill was reported, or all passed and the run did not, the run's own exit code says why.
    """
    found = worst(drill.verdict for drill in drills)
    if found is None or (found is _V.PASS and run.status is not RunStatus.SUCCEEDED):
        return run.exit_code
    return EXIT_CODES[found]


def worst(verdicts: Iterable[DrillVerdict]) -> DrillVerdict | None:
    """Return the worst of some verdicts; None of none."""
    return min(verdicts, key=_WORST.index, default=None)


def ended_at(report: DrillReport) -> datetime:
    """Return when a drill ended. The clock of a host may say anything: what is no date of ours is the last one."""
    seconds = report.began + report.wall_seconds
    return datetime.fromtimestamp(seconds, UTC) if seconds < _LAST.timestamp() else _LAST


def drills_of(verified: Iterable[Verified]) -> tuple[Drill, ...]:
    """Return the drills that verifications reported, in their order, and those of one by host and source."""
    found = (
        (one.run_id, host, Verification.model_validate(report))
        for one in verified
        for host, report in sorted(one.reports.items())
    )
    return tuple(
        Drill(run_id=run_id, host=host, report=report)
        for run_id, host, verification in found
        for report in sorted(verification.drills, key=lambda drill: drill.source)
    )


def last_of_each(drills: Iterable[Drill]) -> tuple[Drill, ...]:
    """Return the newest drill of each source, by source, of drills that stand newest first."""
    newest: dict[str, Drill] = {}
    for drill in drills:
        newest.setdefault(drill.report.source, drill)
    return tuple(drill for _, drill in sorted(newest.items()))


def model_of(report: DrillReport) -> Model | None:
    """Return what a drill tells about other sizes; None where it did not come to its end, or measured nothing."""
    growing = sum(phase.seconds for phase in report.phases if phase.name in _GROWING)
    besides = sum(phase.seconds for phase in report.phases if phase.name not in _GROWING)
    fetched = sum(phase.bytes for phase in report.phases if phase.name == "fetch")
    told = 0.001 <= growing < _MOST_SECONDS and besides < _MOST_SECONDS and 0 < fetched < _MOST_BYTES
    if not _has_measured(report) or not told:
        return None
    return Model(per_byte=growing / fetched, besides=besides, measured=fetched)


def report_digest(report: DrillReport) -> str:
    """Return the sha256, in hex, of a report as canonical JSON: the audit trail holds it too."""
    return digest(evidence(report))


def evidence(report: DrillReport) -> dict[str, object]:
    """Return a report as the document that its digest is of."""
    return {name: writable(value) for name, value in report.model_dump(mode="json").items()}


def trends(drills: Iterable[Drill]) -> tuple[Trend, Trend]:
    """Return where RTO and RPO of one source are going, of its drills in any order."""
    measured = sorted((one for one in drills if _has_measured(one.report)), key=lambda one: one.ended_at)
    rto = [(one.ended_at, one.report.rto_seconds, one.report.rto_target) for one in measured]
    rpo = [(one.ended_at, one.report.rpo_seconds, one.report.rpo_target) for one in measured]
    return _trend(rto), _trend(rpo)


def _has_measured(report: DrillReport) -> bool:
    """Return whether a drill came to its end; one that was damaged on purpose passes when it does not."""
    return report.verdict in _MEASURED and not report.mutation


def _trend(measured: Sequence[tuple[datetime, float, float]]) -> Trend:
    points = tuple(Point(at=at, seconds=seconds) for at, seconds, _ in measured)
    target = measured[-1][2] if measured else 0.0
    return Trend(points=points, target=target, forecast=forecast(points, target))


def forecast(points: Sequence[Point], target: float) -> Forecast:
    """Say when a measured time will exceed its target, as seconds, if it goes on as in the newest drills.

    The points stand oldest first. Without a spread in time there is no line, and nothing can be told.
    """
    newest = points[-TREND_OVER:]
    if newest and newest[-1].seconds > target:
        return Forecast(outlook=Outlook.MISSED, points=len(newest), per_day=_slope(newest))
    slope = _slope(newest)
    if slope is None:
        return Forecast(outlook=Outlook.TOO_FEW, points=len(newest))
    crossing = _crossing(newest, slope, target)
    outlook = Outlook.WILL_MISS if crossing else Outlook.NONE_IN_SIGHT
    return Forecast(outlook=outlook, first_miss=crossing, per_day=slope, points=len(newest))


def _slope(points: Sequence[Point]) -> float | None:
    """Return by how many seconds a day the line through points grows; None where there is no line."""
    if len(points) < TREND_FROM:
        return None
    days, seconds = _days(points), [point.seconds for point in points]
    mean_day, mean = sum(days) / len(days), sum(seconds) / len(seconds)
    spread = sum((day - mean_day) ** 2 for day in days)
    if not spread:
        return None
    return sum((day - mean_day) * (value - mean) for day, value in zip(days, seconds, strict=True)) / spread


def _crossing(points: Sequence[Point], slope: float, target: float) -> datetime | None:
    """Return when the line exceeds the target, not before the last point; None: not within what can be told."""
    if slope <= 0:
        return None
    days = _days(points)
    mean_day, mean = sum(days) / len(days), sum(point.seconds for point in points) / len(points)
    ahead = max(mean_day + (target - mean) / slope, days[-1])
    if ahead - days[-1] > _HORIZON.days:
        return None
    return points[0].at + timedelta(days=ahead)


def _days(points: Sequence[Point]) -> list[float]:
    return [(point.at - points[0].at) / timedelta(days=1) for point in points]
