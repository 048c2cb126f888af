from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from remediate.domain.people import People
from remediate.domain.rotation import Absence
from remediate.domain.run import RunStatus
from remediate.engine.handover import NOT_CURED, Checklist, Handover, Point, Standing
from remediate.testing import EPOCH, MemoryStore
from tests.builders import person, rotation, run

#: Thursday; the last hand-over was on Monday 08:00 UTC.
NOW = datetime.fromisoformat("2026-01-08 12:00Z")
MONDAY = datetime.fromisoformat("2026-01-05 08:00Z")
EVERYBODY = People(
    by_id={
        one.id: one for one in (person("nadia"), person("omar"), person("lee", 2), person("max", 3), person("eve", 4))
    }
)
ROTATION = rotation("nadia", "omar")


@dataclass
class Counted:
    """Stands for the records that are only counted."""

    incidents: int = 0
    notices: int = 0
    asked_since: list[datetime] = field(default_factory=list)

    def open_incidents(self) -> int:
        return self.incidents

    def notices_given_up(self, since: datetime) -> int:
        self.asked_since.append(since)
        return self.notices


def checklist(store: MemoryStore | None = None, counts: Counted | None = None, now: datetime = NOW) -> Checklist:
    return Handover(store or MemoryStore(), counts or Counted()).checklist(EVERYBODY, ROTATION, now)


def point(name: str, found: Checklist) -> Point:
    return next(one for one in found.points if one.name == name)


def stored(*statuses: RunStatus, at: datetime = NOW, **changes: object) -> MemoryStore:
    store = MemoryStore()
    for number, status in enumerate(statuses):
        store.create_run(run(f"run-{number}", status=status, created_at=EPOCH, updated_at=at, **changes))
    return store


def test_where_nothing_is_open_every_point_with_a_record_is_clear() -> None:
    found = checklist()

    assert (found.at, found.since) == (NOW, MONDAY)
    assert [(one.name, one.standing.value, one.summary) for one in found.points] == [
        ("open incidents", "clear", "none"),
        ("runs waiting for approval", "clear", "none"),
        ("runs under way", "clear", "none"),
        ("runs without a proven cure", "clear", "none"),
        ("notices given up", "clear", "none"),
        ("escalation", "clear", "somebody is there at every level"),
        ("failed backups", "unknown", "no backup is recorded: nothing here makes or watches backups yet"),
        ("drills due", "unknown", "no restore test or drill is recorded: nothing here runs them yet"),
    ]


def test_incidents_and_notices_are_counted_the_notices_since_the_last_hand_over() -> None:
    counts = Counted(incidents=3, notices=2)
    found = checklist(counts=counts)

    assert point("open incidents", found) == Point(name="open incidents", standing=Standing.LOOK, summary="3")
    assert point("notices given up", found) == Point(name="notices given up", standing=Standing.LOOK, summary="2")
    assert counts.asked_since == [MONDAY]


def test_a_run_that_waits_is_named_with_what_it_waits_for() -> None:
    store = stored(RunStatus.WAITING_APPROVAL, outcome="level 2 has to approve", hosts=("near", "far"))

    assert point("runs waiting for approval", checklist(store)) == Point(
        name="runs waiting for approval",
        standing=Standing.LOOK,
        summary="1",
        details=("run-0 tidy-shelf on near, far, waiting_approval: level 2 has to approve",),
    )


def test_a_run_that_somebody_works_on_is_under_way() -> None:
    found = point("runs under way", checklist(stored(RunStatus.FIXING, RunStatus.SUCCEEDED)))

    assert (found.standing, found.details) == (Standing.LOOK, ("run-0 tidy-shelf on near, fixing",))


@pytest.mark.parametrize("status", sorted(NOT_CURED))
def test_a_run_that_did_not_cure_is_named(status: RunStatus) -> None:
    assert point("runs without a proven cure", checklist(stored(status))).summary == "1"


def test_a_run_that_ended_before_the_last_hand_over_is_no_news() -> None:
    before = stored(RunStatus.FAILED, at=MONDAY - timedelta(seconds=1))

    assert point("runs without a proven cure", checklist(before)).standing is Standing.CLEAR
    assert point("runs without a proven cure", checklist(stored(RunStatus.FAILED, at=MONDAY))).standing is Standing.LOOK


def test_right_after_a_hand_over_the_week_before_it_is_told() -> None:
    found = checklist(stored(RunStatus.FAILED), now=MONDAY + timedelta(weeks=1, minutes=5))

    assert (found.since, point("runs without a proven cure", found).summary) == (MONDAY, "1")


def test_a_plan_is_no_run_that_failed() -> None:
    found = checklist(stored(RunStatus.FAILED, RunStatus.DIAGNOSING, check=True))

    assert {point(name, found).summary for name in ("runs under way", "runs without a proven cure")} == {"none"}


def test_levels_at_which_nobody_is_there_are_named() -> None:
    away = tuple(Absence(person=one, start=MONDAY, end=NOW + timedelta(days=1)) for one in ("nadia", "omar", "max"))
    found = Handover(MemoryStore(), Counted()).checklist(EVERYBODY, rotation("nadia", "omar", absences=away), NOW)

    assert point("escalation", found) == Point(
        name="escalation", standing=Standing.LOOK, summary="nobody is there at level 1, 3"
    )
