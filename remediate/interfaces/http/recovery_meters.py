"""What `/metrics` shows of drills and schedules: read from the record when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from remediate.domain.drill import RESTORE_TEST, Drill, drills_of, last_of_each
from remediate.domain.report import DrillVerdict
from remediate.domain.text import quoted
from remediate.engine.ports import Ports
from remediate.engine.schedule_book import ScheduleBook

#: So many of the newest verifications are looked through for the last drill of each source.
_LOOKED_THROUGH = 100
#: A host says what its sources are called: no more of them than these are shown.
_MOST_SOURCES = 100


class RecoveryMetrics:
    """The last drill of each source, and how late each schedule is."""

    def __init__(self, ports: Ports, book: ScheduleBook) -> None:
        self._ports = ports
        self._book = book

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked of the record when this is registered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Read the record, and return what it says."""
        verified = self._ports.store.verified(RESTORE_TEST, limit=_LOOKED_THROUGH)
        drills = last_of_each(drills_of(verified))[:_MOST_SOURCES]
        yield _verdicts(drills)
        yield from self._measured(drills)
        yield from self._schedules()

    def _measured(self, drills: Sequence[Drill]) -> Iterable[Metric]:
        now = self._ports.clock.now()
        told: dict[str, tuple[str, Callable[[Drill], float]]] = {
            "rto_seconds": ("How long the restore took.", lambda one: one.report.rto_seconds),
            "rto_target_seconds": ("How long it may take.", lambda one: one.report.rto_target),
            "rpo_seconds": ("How much would have been lost.", lambda one: one.report.rpo_seconds),
            "rpo_target_seconds": ("How much may be lost.", lambda one: one.report.rpo_target),
            "age_seconds": ("How long ago it ended.", lambda one: max((now - one.ended_at).total_seconds(), 0)),
        }
        for name, (text, of) in told.items():
            found = GaugeMetricFamily(f"remediate_drill_{name}", f"Of the last drill: {text}", labels=["source"])
            for one in drills:
                found.add_metric([_source(one)], of(one))
            yield found

    def _schedules(self) -> Iterable[Metric]:
        labels, now = ["schedule", "runbook"], self._ports.clock.now()
        late = GaugeMetricFamily(
            "remediate_schedule_overdue_seconds", "How long it is due without an answer; 0: it is not.", labels=labels
        )
        window = GaugeMetricFamily(
            "remediate_schedule_window_seconds", "From one time that it is due to the next.", labels=labels
        )
        for schedule in self._book.timetable.schedules:
            found = self._book.overdue(schedule, now)
            late.add_metric([schedule.name, schedule.runbook], found.late.total_seconds())
            window.add_metric([schedule.name, schedule.runbook], found.window.total_seconds())
        yield late
        yield window


def _verdicts(drills: Sequence[Drill]) -> Metric:
    found = GaugeMetricFamily(
        "remediate_drill_verdict", "Whether the last drill ended so.", labels=["source", "verdict"]
    )
    for one in drills:
        for verdict in DrillVerdict:
            found.add_metric([_source(one), verdict.value], float(one.report.verdict is verdict))
    return found


def _source(one: Drill) -> str:
    return quoted(one.report.source, 100)
