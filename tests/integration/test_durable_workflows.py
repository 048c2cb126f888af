"""Durable work: what holds when processes die, versions change and rows are spoilt. Each is a trap of dbos."""

from __future__ import annotations

import json
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine, text

from remediate.adapters import workflows as adapter
from remediate.adapters.store.connection import Database
from remediate.adapters.workflows import VERSION, sqlite_engine
from remediate.engine.ports import Carry, Work
from remediate.errors import EngineFailure, Refused, RemediateError, StateUnusable
from tests.contract.conftest import POSTGRES, SQLITE, Place, database, place
from tests.durable import SCHEMA, Worker, durable, file_of, worker
from tests.integration.local import eventually

#: The places where a record is kept, as the contract tests have them.
__all__ = ["database", "place"]

on_sqlite = pytest.mark.parametrize("place", [SQLITE], indirect=True)
on_postgres = pytest.mark.parametrize("place", [POSTGRES], indirect=True)


class Bench:
    """Durable work of this process on a place, and a look into the tables of dbos from outside."""

    def __init__(self, place: Place, database: Database) -> None:
        self.place = place
        self.told: list[RemediateError] = []
        self.done: list[str] = []
        self.workflows = durable(place.state, database, place.settings, self.told)
        self.workflows.bind(self._do)
        self.lost = Event()
        self.work: Carry = lambda _run_id, _work, _stop: None
        self._on_postgres = bool(place.settings.url)
        self._engine: Engine = database.another_engine() if self._on_postgres else sqlite_engine(file_of(place.state))

    def launch(self) -> None:
        self.workflows.launch(self.lost)

    def _do(self, run_id: str, work: Work, stop: Event) -> None:
        self.done.append(run_id)
        self.work(run_id, work, stop)

    def sql(self, statement: str, **values: object) -> list[Any]:
        """Run a statement on the tables of dbos; {T} is where they are."""
        prefix = f"{SCHEMA}." if self._on_postgres else ""
        with self._engine.begin() as connection:
            result = connection.execute(text(statement.replace("{T}", prefix)), values)
            return list(result.fetchall()) if result.returns_rows else []

    def statuses(self) -> dict[str, str]:
        """How each workflow stands."""
        rows = self.sql("SELECT workflow_uuid, status FROM {T}workflow_status ORDER BY workflow_uuid")
        return {row[0]: row[1] for row in rows}

    def another(self, note: Path, seconds: float = 0, version: str = "") -> Any:
        """Another process that does durable work in the same place."""
        return worker(self.place.arguments, note, seconds, version)

    def dispose(self) -> None:
        self._engine.dispose()


@pytest.fixture
def bench(place: Place, database: Database) -> Iterator[Bench]:
    made = Bench(place, database)
    yield made
    made.workflows.close()
    made.dispose()


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return tmp_path / "note"


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    assert eventually(holds, seconds)


def test_the_file_of_dbos_is_private_writes_ahead_and_waits_for_the_disk(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path / "workflows.db")
    with engine.connect() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    engine.dispose()

    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
    assert set(modes.values()) == {0o600}


def test_a_file_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    file = tmp_path / "workflows.db"
    file.touch(mode=0o644)
    sqlite_engine(file).dispose()

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@on_sqlite
def test_dbos_itself_writes_through_these_settings(bench: Bench) -> None:
    bench.launch()
    bench.workflows.start("a")
    bench.workflows.wait("a")
    with closing(sqlite3.connect(file_of(bench.place.state))) as file:
        mode = file.execute("PRAGMA journal_mode").fetchone()

    assert mode == ("wal",)
    assert stat.S_IMODE(file_of(bench.place.state).stat().st_mode) == 0o600


def test_what_is_recorded_is_portable_json_and_nothing_is_pickled(bench: Bench) -> None:
    def stumble(_run_id: str, _work: Work, _stop: Event) -> None:
        raise ZeroDivisionError("over a stone")

    bench.launch()
    bench.workflows.start("a")
    bench.workflows.wait("a")
    bench.work = stumble
    bench.workflows.start("b")
    with pytest.raises(ZeroDivisionError):
        bench.workflows.wait("b")
    inputs = bench.sql("SELECT inputs FROM {T}workflow_input")
    outputs = bench.sql("SELECT output, error FROM {T}workflow_output")
    steps = bench.sql("SELECT output, error FROM {T}operation_outputs")
    kinds = [
        bench.sql("SELECT serialization FROM {T}workflow_status"),
        bench.sql("SELECT serialization FROM {T}operation_outputs"),
    ]

    assert [len(kind) for kind in kinds] == [2, 2]
    assert {row[0] for kind in kinds for row in kind} == {"portable_json"}
    assert {tuple(json.loads(row[0])["positionalArgs"]) for row in inputs} == {("a", "carry"), ("b", "carry")}
    values = [value for row in (*outputs, *steps) for value in row if value is not None]
    assert len(values) >= 2
    for value in values:
        json.loads(value)


def test_a_defect_in_the_work_is_told_and_an_error_for_people_too(bench: Bench) -> None:
    def stumble(run_id: str, _work: Work, _stop: Event) -> None:
        raise ZeroDivisionError("over a stone") if run_id == "a" else EngineFailure("No.")

    bench.work = stumble
    bench.launch()
    for run_id, kind in (("a", ZeroDivisionError), ("b", EngineFailure)):
        bench.workflows.start(run_id)
        with pytest.raises(kind):
            bench.workflows.wait(run_id)

    assert [error.message for error in bench.told if "dbos" not in error.message] == [
        "The work on run a broke: ZeroDivisionError: over a stone.",
        "No.",
    ]
    assert bench.statuses() == {"a/carry/0/0": "ERROR", "b/carry/0/0": "SUCCESS"}


def test_work_of_an_older_program_is_taken_up_by_a_newer_one_of_the_same_version(bench: Bench, note: Path) -> None:
    with bench.another(note, seconds=60) as older:
        older.tell("a 0")
        until(lambda: older.noted == ["begin a"])
        older.kill()
    bench.launch()
    until(lambda: (bench.workflows.adopt() >= 0 and bench.done == ["a"]) or _let_go(bench))

    assert set(bench.sql("SELECT application_version FROM {T}workflow_status")) == {(VERSION,)}


def _until_stopped(_run_id: str, _work: Work, stop: Event) -> None:
    stop.wait(60)


def _let_go(bench: Bench) -> bool:
    """On PostgreSQL this process may be another executor: then the work is let go of, for the record to say."""
    return set(bench.statuses().values()) <= {"CANCELLED"}


def test_after_a_process_of_a_higher_version_this_one_still_gets_work(bench: Bench, note: Path) -> None:
    with bench.another(note, version="9") as newer:
        newer.tell("a 0")
        until(lambda: newer.noted == ["begin a", "end a"])
        newer.kill()
    bench.launch()
    bench.workflows.start("b")
    bench.workflows.wait("b")

    assert bench.done == ["b"]


def test_work_that_was_put_there_under_another_version_is_begun_anew(bench: Bench) -> None:
    bench.launch()
    bench.workflows.start("a")
    bench.workflows.wait("a")
    bench.sql("UPDATE {T}workflow_status SET application_version = '9', status = 'ENQUEUED'")
    bench.workflows.start("a")
    bench.workflows.wait("a")

    assert bench.done == ["a", "a"]


@on_postgres
def test_the_same_work_at_the_same_turn_waits_once_whoever_starts_it(bench: Bench, note: Path) -> None:
    bench.work = _until_stopped
    bench.launch()
    with bench.another(note, seconds=60) as other:
        starting = [threading.Thread(target=bench.workflows.start, args=(f"r{n}",)) for n in range(10)]
        for number, thread in enumerate(starting):
            thread.start()
            other.tell(f"r{number} 0")
        for thread in starting:
            thread.join()
        assert [other.says() for _ in starting] == ["started"] * 10
        until(lambda: len(bench.done) + len(other.noted) == 10)
        until(lambda: list(bench.statuses()) == [f"r{n}/carry/0/0" for n in range(10)])
        assert sorted([*bench.done, *(line.split()[1] for line in other.noted)]) == [f"r{n}" for n in range(10)]


def test_work_that_ended_and_left_its_run_where_it_was_is_begun_again(bench: Bench) -> None:
    bench.launch()
    for _ in range(2):
        bench.workflows.start("a", turn=3)
        bench.workflows.wait("a")

    assert bench.statuses() == {"a/carry/3/0": "SUCCESS", "a/carry/3/1": "SUCCESS"}


def test_a_rollback_is_done_once(bench: Bench) -> None:
    bench.launch()
    for _ in range(2):
        bench.workflows.start("a", Work.ROLL_BACK, turn=3)
        bench.workflows.wait("a")

    assert bench.done == ["a"]


def test_work_that_fails_every_time_at_the_same_place_is_not_begun_again(bench: Bench) -> None:
    def stumble(_run_id: str, _work: Work, _stop: Event) -> None:
        raise ZeroDivisionError("over a stone")

    bench.work = stumble
    bench.launch()
    for _ in range(3):
        bench.workflows.start("a", turn=1)
        with pytest.raises(ZeroDivisionError):
            bench.workflows.wait("a")
    with pytest.raises(EngineFailure, match="The work on run a has failed 3 times at the same place"):
        bench.workflows.start("a", turn=1)
    bench.work = lambda _run_id, _work, _stop: None
    bench.workflows.start("a", turn=2)
    bench.workflows.wait("a")

    assert bench.done == ["a"] * 4


@pytest.mark.parametrize(
    "spoil",
    ["UPDATE {T}workflow_input SET inputs = 'nonsense'", "UPDATE {T}workflow_status SET name = 'unknown'"],
)
def test_work_whose_row_is_spoilt_is_not_stuck(bench: Bench, spoil: str) -> None:
    bench.launch()
    bench.workflows.start("a")
    bench.workflows.wait("a")
    bench.done.clear()
    bench.sql(spoil)
    bench.sql("DELETE FROM {T}operation_outputs")
    bench.sql("UPDATE {T}workflow_status SET status = 'ENQUEUED', queue_name = 'runs'")
    until(lambda: bench.workflows.adopt() >= 0 and not {"ENQUEUED", "PENDING"} & set(bench.statuses().values()))
    bench.workflows.start("a")
    bench.workflows.wait("a")

    assert bench.done == ["a"]


@on_sqlite
def test_a_second_process_is_refused_where_there_is_one_slot_and_the_first_goes_on(bench: Bench, note: Path) -> None:
    with bench.another(note) as first:
        with pytest.raises(Refused, match="A service of this site runs already") as refused:
            bench.launch()
        first.tell("a 0")
        until(lambda: first.noted == ["begin a", "end a"])

    assert refused.value.exit_code == 7


@on_sqlite
def test_a_launch_waits_for_a_file_that_another_process_has_locked(bench: Bench) -> None:
    bench.launch()
    bench.workflows.close()
    holder = sqlite3.connect(file_of(bench.place.state), check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    letting_go = threading.Timer(2, holder.rollback)
    letting_go.start()
    bench.workflows = durable(bench.place.state, bench.place.open(), bench.place.settings, bench.told)
    bench.workflows.bind(lambda run_id, _work, _stop: bench.done.append(run_id))
    began = time.monotonic()
    bench.launch()
    waited = time.monotonic() - began
    bench.workflows.start("a")
    bench.workflows.wait("a")
    holder.close()

    assert waited >= 1.5
    assert bench.done == ["a"]


@on_sqlite
def test_a_file_that_stays_locked_is_told_in_one_sentence_and_the_slot_is_free_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.launch()
    bench.workflows.close()
    bench.workflows = durable(bench.place.state, bench.place.open(), bench.place.settings, bench.told)
    with closing(sqlite3.connect(file_of(bench.place.state))) as holder, monkeypatch.context() as impatient:
        impatient.setattr(adapter, "_BUSY_SECONDS", 0)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateUnusable, match="cannot be taken up: database is locked") as refused:
            bench.launch()
    bench.launch()

    assert "end what holds the database locked" in refused.value.next_step


@on_postgres
def test_work_of_a_process_that_died_is_let_go_of_by_another_and_only_that(bench: Bench, note: Path) -> None:
    with ExitStack() as processes:
        dies: Worker = processes.enter_context(bench.another(note, seconds=60))
        dies.tell("a 0")
        until(lambda: dies.noted == ["begin a"])
        lives: Worker = processes.enter_context(bench.another(note, seconds=60))
        bench.launch()
        assert bench.workflows.adopt() == 0
        dies.kill()
        until(lambda: bench.workflows.adopt() == 1, 10)
        bench.workflows.start("a")
        until(lambda: bench.done == ["a"] or lives.noted.count("begin a") == 2)
        assert bench.workflows.adopt() == 0


@on_postgres
def test_a_process_whose_line_to_the_server_is_cut_is_told_that_it_may_work_no_more(bench: Bench) -> None:
    bench.launch()
    bench.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name LIKE 'remediate run service-%' AND datname = current_database()"
    )

    assert bench.lost.wait(10)
    with pytest.raises(StateUnusable, match="had its place, so it stopped what it did"):
        bench.workflows.close()


def test_work_that_goes_on_is_asked_to_stop_when_a_service_ends_and_waited_for(bench: Bench) -> None:
    ended = Event()

    def slow(_run_id: str, _work: Work, stop: Event) -> None:
        stop.wait(30)
        time.sleep(0.3)
        ended.set()

    bench.work = slow
    bench.launch()
    bench.workflows.start("a")
    until(lambda: bench.workflows.carries("a"))
    bench.workflows.close()

    assert ended.is_set()
    assert bench.workflows.carried() == ()


def test_work_that_does_not_stop_is_left_behind_after_a_while(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = Event()

    def deaf(_run_id: str, _work: Work, _stop: Event) -> None:
        go_on.wait(30)

    bench.work = deaf
    bench.launch()
    bench.workflows.start("a")
    until(lambda: bench.workflows.carries("a"))
    monkeypatch.setattr(adapter, "_PATIENCE_SECONDS", 0.1)
    bench.workflows.close()
    left = bench.workflows.carried()
    go_on.set()
    # What is left of dbos then writes how it ended, and needs a connection for that.
    until(lambda: not any(thread.name.startswith("dbos-executor") for thread in threading.enumerate()))

    assert left == ("a",)


def test_work_that_ended_long_ago_is_forgotten_and_no_other(bench: Bench) -> None:
    bench.launch()
    for run_id in ("a", "b"):
        bench.workflows.start(run_id)
        bench.workflows.wait(run_id)
    two_days_ago = int(time.time() - 2 * 86400) * 1000
    bench.sql("UPDATE {T}workflow_status SET completed_at = :at WHERE workflow_uuid LIKE 'a/%'", at=two_days_ago)
    bench.workflows._tidied -= 2 * adapter._TIDY_EVERY
    bench.workflows.adopt()

    assert list(bench.statuses()) == ["b/carry/0/0"]
