"""What the database of a site does, on SQLite and on PostgreSQL alike: transactions, one writer, any text, tables."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Connection, func, insert, select, text

from remediate.adapters.store import connection
from remediate.adapters.store.audit import DatabaseTrail
from remediate.adapters.store.connection import Database, open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.tables import switches
from remediate.adapters.store.trail import append
from remediate.domain.audit import GENESIS, AuditEntry, chained, event_text
from remediate.domain.audit_check import verify
from remediate.domain.run import RunStatus
from remediate.domain.runbook import Phase
from remediate.errors import StateUnusable, UnknownRun
from remediate.testing import EPOCH, PlainKeys
from tests.builders import run, task
from tests.contract.conftest import Place

OPEN_WHEN_TOLD = """
import sys
from pathlib import Path
from alembic import command, config
from remediate.adapters.store.connection import open_database
from remediate.catalog.database import DatabaseSettings
settings = DatabaseSettings.model_validate_json(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
open_database(Path(sys.argv[1]), settings).dispose()
"""

WRITE_AND_DIE = """
import os, sys
from pathlib import Path
from remediate.adapters.store.connection import open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.catalog.database import DatabaseSettings
from tests.builders import run
store = DatabaseStore(open_database(Path(sys.argv[1]), DatabaseSettings.model_validate_json(sys.argv[2])))
store.create_run(run("before"))
with store.together():
    store.create_run(run("during"))
    os._exit(9)
"""


def an_entry(subject: str) -> AuditEntry:
    return AuditEntry(at=EPOCH, actor="engine", action="run.moved", subject=subject)


def unmade(place: Place) -> Place:
    """The same kind of place, where no table was ever made."""
    settings = place.settings
    if settings.url:
        return Place(place.state, settings.model_copy(update={"schema_name": "never_used"}))
    return Place(place.state.with_name("elsewhere"), settings)


def test_what_is_written_together_is_there_together_or_not_at_all(database: Database) -> None:
    store = DatabaseStore(database)

    def fail_half_way() -> None:
        with store.together():
            store.create_run(run("a"))
            with store.together():
                store.create_run(run("b"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    with store.together():
        store.create_run(run("c"))
        store.create_run(run("d"))

    assert {found.id for found in store.runs(limit=9)} == {"c", "d"}


def test_a_transaction_reads_what_it_has_written_itself(database: Database) -> None:
    store = DatabaseStore(database)
    with store.together():
        store.create_run(run("a"))
        inside = store.run("a").id

    assert inside == "a"


def test_what_is_not_committed_is_not_seen_by_others(place: Place) -> None:
    ours, theirs = DatabaseStore(place.open()), DatabaseStore(place.open())
    with ours.together():
        ours.create_run(run("a"))
        with pytest.raises(UnknownRun):
            theirs.run("a")

    assert theirs.run("a").id == "a"


def test_what_was_read_in_order_to_write_is_still_true_when_it_is_written(place: Place) -> None:
    """Many processes that count up lose no step, though each reads before it writes."""
    writers, steps = 4, 5
    databases = [place.open() for _ in range(writers)]
    at_once = Barrier(writers)

    def count_up(database: Database) -> None:
        at_once.wait()
        for _ in range(steps):
            with database.writing() as opened:
                seen = opened.execute(select(func.count()).select_from(switches)).scalar()
                row = {"name": f"step-{seen}", "on": True, "by": "nadia", "reason": "", "at": EPOCH, "after": 0}
                opened.execute(insert(switches).values(row))

    with ThreadPoolExecutor(writers) as threads:
        list(threads.map(count_up, databases))
    with databases[0].reading() as opened:
        names = set(opened.execute(select(switches.c.name)).scalars())
    assert names == {f"step-{number}" for number in range(writers * steps)}


def test_entries_that_are_appended_at_once_make_one_unbroken_chain(place: Place) -> None:
    writers, entries = 4, 5
    databases = [place.open() for _ in range(writers)]
    at_once = Barrier(writers)

    def append_many(number: int) -> None:
        at_once.wait()
        for step in range(entries):
            with databases[number].writing() as opened:
                append(opened, an_entry(f"{number}-{step}"))

    with ThreadPoolExecutor(writers) as threads:
        list(threads.map(append_many, range(writers)))
    verdict = verify(DatabaseTrail(databases[0], PlainKeys()).stored())

    assert (verdict.intact, verdict.checked) == (True, writers * entries)


def test_an_entry_of_a_transaction_that_fails_is_not_in_the_trail(database: Database) -> None:
    def fail_after_appending() -> None:
        with database.writing() as opened:
            append(opened, an_entry("a"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_appending()
    with database.writing() as opened:
        event = append(opened, an_entry("b"))

    assert (event.sequence, event.hash) == (1, chained(GENESIS, event_text(1, an_entry("b"))))


def test_text_of_any_host_can_be_recorded(database: Database) -> None:
    store = DatabaseStore(database)
    reason = "zero \x00, half \udc80, whole \U0001f4a5"
    store.create_run(run(reason=reason, parameters={"name": reason}))
    store.begin_phase(run().id, Phase.FIX, check=False, now=EPOCH)
    store.add_task(run().id, 1, task("x\x00", message="\x00\udcff", diff="\x00"))
    moved = store.move(run().id, RunStatus.REQUESTED, RunStatus.PARKED, "because \x00", EPOCH)

    assert store.run(run().id).reason == "zero \\x00, half \\udc80, whole \U0001f4a5"
    assert store.run(run().id).parameters == {"name": reason}
    assert moved.outcome == "because \\x00"


def test_a_process_that_is_killed_leaves_what_it_had_committed_and_nothing_else(place: Place) -> None:
    place.open()
    done = subprocess.run([sys.executable, "-c", WRITE_AND_DIE, *place.arguments], check=False)
    found = DatabaseStore(place.open()).runs(limit=9)

    assert (done.returncode, [recorded.id for recorded in found]) == (9, ["before"])


def test_opening_a_record_again_finds_what_was_recorded(place: Place) -> None:
    DatabaseStore(place.open()).create_run(run())

    assert DatabaseStore(place.open()).run(run().id) == run()


def test_commands_that_make_the_record_at_the_same_moment_all_succeed(place: Place) -> None:
    commands = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_WHEN_TOLD, *unmade(place).arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for command in commands:
        assert command.stdout is not None
        assert command.stdout.readline() == "ready\n"
    for command in commands:
        assert command.stdin is not None
        command.stdin.write("\n")
        command.stdin.flush()
    said = [command.communicate()[1][-300:] for command in commands]

    assert (said, [command.returncode for command in commands]) == ([""] * 3, [0] * 3)


def test_a_command_that_is_killed_while_it_makes_the_record_leaves_no_half_of_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = connection._upgrade
    half = unmade(place)

    def killed(opened: Connection) -> None:
        upgrade(opened)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(connection, "_upgrade", killed)
        with pytest.raises(KeyboardInterrupt):
            half.open()
    store = DatabaseStore(half.open())
    store.create_run(run())

    assert store.run(run().id) == run()
    half.close()


def test_a_record_of_a_newer_version_is_refused_and_not_touched(place: Place) -> None:
    database = place.open()
    with database.writing() as opened:
        opened.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(StateUnusable, match="was written by a newer version of this program"):
        open_database(place.state, place.settings)
    with database.reading() as opened:
        assert opened.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"


def test_a_record_that_breaks_while_it_is_used_is_told_as_a_sentence(database: Database) -> None:
    with database.writing() as opened:
        opened.execute(text("DROP TABLE tasks"))
        opened.execute(text("DROP TABLE phases"))

    with pytest.raises(StateUnusable, match=r"The record cannot be read: .*phases"):
        DatabaseStore(database).phases("x")
