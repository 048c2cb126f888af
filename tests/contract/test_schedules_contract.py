"""What every record of the turns of schedules does: the database, on both kinds, and its twin in memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from remediate.adapters.store.connection import Database
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.schedules import DatabaseSchedules
from remediate.domain.audit import AuditEntry
from remediate.domain.schedule import Decision, Turn, turn_entry
from remediate.engine.schedule_ports import Schedules
from remediate.errors import IllegalTransition
from remediate.testing import EPOCH, MemorySchedules
from tests.contract.conftest import Place
from tests.contract.test_approvals_contract import trail

DAY = timedelta(days=1)


@dataclass
class Kept:
    schedules: Schedules
    database: Database | None
    entries: list[AuditEntry]

    @property
    def trail(self) -> list[AuditEntry]:
        return trail(self.database) if self.database else self.entries


@pytest.fixture
def kept(database_or_memory: Database | None) -> Kept:
    entries: list[AuditEntry] = []
    database = database_or_memory
    return Kept(DatabaseSchedules(database) if database else MemorySchedules(entries.append), database, entries)


def turn(days: int = 0, **changes: Any) -> Turn:
    values = {"schedule": "tidy", "due": EPOCH + days * DAY, "timing": "0 3 * * * UTC", "decision": Decision.STARTED}
    more = {"reason": "it's ü\n{{ 7 }}", "run_id": f"run-{days}", "decided_at": EPOCH + days * DAY}
    return Turn.model_validate({**values, **more, **changes})


def test_of_a_schedule_that_nobody_looked_at_nothing_is_known(kept: Kept) -> None:
    assert (kept.schedules.last("tidy"), kept.schedules.last_run("tidy"), kept.schedules.turns("tidy")) == (
        None, None, (),
    )  # fmt: skip


def test_a_turn_comes_back_whole(kept: Kept) -> None:
    whole = turn(decided_at=EPOCH + timedelta(microseconds=7), due=EPOCH - timedelta(microseconds=3), decided_by="omar")
    kept.schedules.decide(whole)

    assert kept.schedules.last("tidy") == kept.schedules.last_run("tidy") == whole


def test_the_last_one_is_the_one_that_was_due_last_whenever_it_was_decided(kept: Kept) -> None:
    made, skipped = turn(1), turn(2, run_id="", decision=Decision.OVERLAP)
    for one in (skipped, made, turn(0), turn(5, schedule="other")):
        kept.schedules.decide(one)

    assert kept.schedules.last("tidy") == skipped
    assert kept.schedules.last_run("tidy") == made
    assert kept.schedules.turns("tidy") == (skipped, made, turn(0))
    assert kept.schedules.turns("tidy", limit=1) == (skipped,)


def test_an_occurrence_is_decided_about_once(kept: Kept) -> None:
    kept.schedules.decide(turn())
    kept.schedules.decide(turn(schedule="other"))
    with pytest.raises(IllegalTransition, match="decided already what becomes of tidy"):
        kept.schedules.decide(turn(decision=Decision.OVERLAP, run_id="another"))

    assert kept.schedules.turns("tidy") == (turn(),)
    assert kept.trail == [turn_entry(turn()), turn_entry(turn(schedule="other"))]


def test_a_turn_that_is_taken_back_is_in_neither(database: Database) -> None:
    schedules = DatabaseSchedules(database)

    def decide_and_fail() -> None:
        with DatabaseStore(database).together():
            schedules.decide(turn())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decide_and_fail()
    assert (schedules.last("tidy"), trail(database)) == (None, [])


def test_of_several_processes_one_decides(place: Place) -> None:
    stores = [DatabaseSchedules(place.open()) for _ in range(4)]

    def decide(number: int) -> bool:
        try:
            stores[number].decide(turn(run_id=f"run-{number}"))
        except IllegalTransition:
            return False
        return True

    with ThreadPoolExecutor(len(stores)) as pool:
        assert sorted(pool.map(decide, range(len(stores)))) == [False, False, False, True]
    assert len(stores[0].turns("tidy")) == 1
