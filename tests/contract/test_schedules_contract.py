"""What every record of the turns of schedules does: the database, on both kinds, and its twin in memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest

from remediate.adapters.faulty import watched
from remediate.adapters.store.connection import Database
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.schedules import DatabaseSchedules
from remediate.domain.audit import AuditEntry
from remediate.domain.host import Host
from remediate.domain.schedule import Decision, Turn, turn_entry
from remediate.engine.schedule_book import Timetable
from remediate.engine.schedule_ports import Schedules
from remediate.engine.schedule_watch import ScheduleWatch
from remediate.errors import IllegalTransition
from remediate.testing import EPOCH, FakeExecutor, FrozenClock, MemorySchedules, ports
from tests.builders import runbook
from tests.contract.conftest import Place
from tests.contract.test_approvals_contract import trail
from tests.unit.test_schedule import schedule

DAY = timedelta(days=1)
HOSTS = (Host(name="near"),)
#: Due when the clocks of the tests begin.
TIDY = schedule(cron="0 3 * * *", hosts=("near",))


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


def watch(database: Database) -> ScheduleWatch:
    """The watch of one more service on this record, a minute after the schedule is due."""
    clock = FrozenClock(EPOCH + timedelta(minutes=1))
    site = ports(
        executor=FakeExecutor(HOSTS),
        store=watched(DatabaseStore(database), "store"),
        schedules=watched(DatabaseSchedules(database), "schedules"),
        clock=clock,
    )
    return ScheduleWatch(site, Timetable((TIDY,), {"tidy-shelf": runbook()}, lambda: HOSTS))


def test_several_services_that_look_at_once_make_one_run(place: Place) -> None:
    databases = [place.open() for _ in range(4)]
    DatabaseSchedules(databases[0]).decide(turn(-1, decision=Decision.TAKEN_UP, run_id=""))
    together = Barrier(len(databases))

    def look(database: Database) -> list[str]:
        together.wait(10)
        return watch(database).look()

    with ThreadPoolExecutor(len(databases)) as pool:
        made = [run_id for found in pool.map(look, databases) for run_id in found]
    assert len(made) == 1
    assert [one.id for one in DatabaseStore(databases[0]).runs(limit=9)] == made
    assert [one.run_id for one in DatabaseSchedules(databases[0]).turns("tidy")] == [made[0], ""]


LOOK = """
import json, os, sys
from pathlib import Path
from remediate import faults
from remediate.adapters.store.connection import open_database
from remediate.catalog.database import DatabaseSettings
from tests.contract.test_schedules_contract import watch
database = open_database(Path(sys.argv[1]), DatabaseSettings.model_validate_json(sys.argv[2]))
faults.arm(os.environ)
watch(database).look()
"""


@pytest.mark.parametrize(
    ("point", "done"),
    [
        ("store.create_runs.after", False),
        ("schedules.decide.before", False),
        ("schedules.decide.after", False),
        ("store.together.commit.before", False),
        ("store.together.commit.after", True),
    ],
)
def test_a_service_that_is_killed_has_done_all_of_it_or_nothing(place: Place, point: str, done: bool) -> None:
    database = place.open()
    DatabaseSchedules(database).decide(turn(-1, decision=Decision.TAKEN_UP, run_id=""))
    environment = {**os.environ, "REMEDIATE_FAULT": f"{point}:crash"}
    killed = subprocess.run(  # this Python
        [sys.executable, "-c", LOOK, *place.arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(DatabaseStore(database).runs(limit=9)) == int(done)
    assert len(watch(database).look()) == int(not done)
    assert watch(database).look() == []
    assert len(DatabaseStore(database).runs(limit=9)) == 1
