"""What /metrics shows of drills and schedules."""

from __future__ import annotations

from datetime import timedelta

from prometheus_client import CollectorRegistry, generate_latest

from remediate.domain.report import DrillReport, DrillVerdict
from remediate.domain.run import PhaseOutcome, RunStatus
from remediate.domain.runbook import Phase
from remediate.domain.schedule import Decision, Schedule
from remediate.engine.executor_ports import PhaseResult
from remediate.engine.ports import Ports
from remediate.engine.schedule_book import ScheduleBook, Timetable
from remediate.interfaces.http.recovery_meters import RecoveryMetrics
from remediate.testing import EPOCH, FrozenClock, ports
from tests.builders import drill, drilled, run, runbook
from tests.unit.test_schedule import schedule, turn

HOUR = timedelta(hours=1)


def made(found: Ports, run_id: str, *drills: DrillReport, after: timedelta = timedelta(0)) -> None:
    found.store.create_run(run(run_id, runbook="restore-test", status=RunStatus.SUCCEEDED))
    sequence = found.store.begin_phase(run_id, Phase.VERIFY, check=False, now=EPOCH)
    result = PhaseResult(outcome=PhaseOutcome.OK, reports={"mentat": drilled(*drills)})
    found.store.end_phase(run_id, sequence, result, EPOCH + after)


def shown(found: Ports, *schedules: Schedule) -> dict[str, float]:
    registry = CollectorRegistry()
    book = ScheduleBook(found, Timetable(schedules, {"tidy-shelf": runbook()}, tuple))
    registry.register(RecoveryMetrics(found, book))
    lines = generate_latest(registry).decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def test_the_last_drill_of_each_source_is_shown() -> None:
    found = ports(clock=FrozenClock(EPOCH + HOUR))
    made(found, "20260105-030000-bbbb", drill("a", "CHAIN_GAP"), drill("b", rto_seconds=7))
    made(found, "20260105-030000-cccc", drill("a", rpo_seconds=42, began=EPOCH.timestamp() + 60), after=HOUR)
    series = shown(found)
    verdicts = {
        verdict: series[f'remediate_drill_verdict{{source="a",verdict="{verdict.value}"}}'] for verdict in DrillVerdict
    }

    assert [verdict for verdict, value in verdicts.items() if value] == [DrillVerdict.PASS]
    assert series['remediate_drill_rpo_seconds{source="a"}'] == 42
    assert series['remediate_drill_rpo_target_seconds{source="a"}'] == 900
    assert series['remediate_drill_rto_seconds{source="b"}'] == 7
    assert series['remediate_drill_rto_target_seconds{source="b"}'] == 1800
    assert series['remediate_drill_age_seconds{source="a"}'] == 3600 - 60 - 101


def test_a_host_cannot_write_lines_or_fill_the_page() -> None:
    found = ports()
    names = [f's"\n}} {number} 1\x1b' for number in range(150)]
    made(found, "20260105-030000-bbbb", *[drill(name) for name in names])
    series = shown(found)

    assert len([name for name in series if name.startswith("remediate_drill_age_seconds")]) == 100
    assert all(name.startswith("remediate_drill_") for name in series)
    assert not any("\x1b" in name for name in series)


def test_how_late_a_schedule_is_is_shown_against_its_window() -> None:
    clock = FrozenClock(EPOCH)
    found = ports(clock=clock)
    labels = '{runbook="tidy-shelf",schedule="tidy"}'
    for name in ("overdue", "window"):
        assert shown(found, schedule())[f"remediate_schedule_{name}_seconds{labels}"] == 0
    found.schedules.decide(turn(Decision.TAKEN_UP))
    series = shown(found, schedule())

    assert series[f"remediate_schedule_overdue_seconds{labels}"] == 3600
    assert series[f"remediate_schedule_window_seconds{labels}"] == 86400
