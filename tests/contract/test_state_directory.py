"""What the record of a site needs from its directory, and what is said when it does not get it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from remediate.adapters.store import backend
from remediate.adapters.store.connection import open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.domain.run import RunStatus
from remediate.errors import StateUnusable
from remediate.testing import EPOCH
from tests.builders import run

HOLD_LOCKED = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


def refusal(directory: Path) -> tuple[str, str]:
    with pytest.raises(StateUnusable) as refused:
        open_database(directory)
    assert refused.value.exit_code == 2
    return (refused.value.message, refused.value.next_step)


def test_a_new_state_directory_is_private_and_so_is_its_record(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "state"
    open_database(state).dispose()

    assert state.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o077 for path in state.iterdir()} == {"remediate.db": 0}


@pytest.mark.parametrize("mode", [0o777, 0o750, 0o701, 0o740])
def test_a_directory_that_is_open_to_others_is_refused_with_the_exact_fix(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)

    assert refusal(tmp_path) == (
        f"The state directory {tmp_path} is open to others (mode {mode:04o}). Nothing was run.",
        f"chmod 0700 {tmp_path}",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_another_user_is_refused_with_the_exact_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)

    assert refusal(tmp_path) == (
        f"The state directory {tmp_path} belongs to another user. Nothing was run.",
        f"chown {tmp_path.stat().st_uid + 1} {tmp_path}",
    )


def test_a_directory_that_cannot_be_made_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert refusal(tmp_path / "file" / "state") == (
        f"The state directory {tmp_path}/file/state cannot be used: Not a directory. Nothing was run.",
        "name another one: `state:` in remediate.yml, or REMEDIATE_STATE",
    )


def test_a_file_in_its_place_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "state").touch()

    assert refusal(tmp_path / "state")[0] == (
        f"The state directory {tmp_path}/state cannot be used: File exists. Nothing was run."
    )


def test_a_record_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    state = tmp_path / "state"
    open_database(state).dispose()
    (state / "remediate.db").write_bytes(b"this is not a database " * 999)
    message, next_step = refusal(state)

    assert message == f"The record {state}/remediate.db cannot be opened: file is not a database. Nothing was run."
    assert next_step == "free space, end what holds the database locked, or restore the file; then see `remediate runs`"
    assert (state / "remediate.db").read_bytes().startswith(b"this is not a database")


def test_a_directory_in_place_of_the_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state" / "remediate.db").mkdir(parents=True)
    (tmp_path / "state").chmod(0o700)

    assert "cannot be opened: unable to open database file" in refusal(tmp_path / "state")[0]


def test_a_record_that_another_program_holds_locked_is_told_as_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "BUSY_SECONDS", 0.05)
    engine = open_database(tmp_path / "state")
    store = DatabaseStore(engine)
    store.create_run(run())
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCKED, str(tmp_path / "state" / "remediate.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(StateUnusable, match="The record cannot be written: database is locked") as refused:
            store.move(run().id, RunStatus.REQUESTED, RunStatus.DIAGNOSING, "", EPOCH)
        holder.kill()

    assert refused.value.next_step.startswith("free space, end what holds the database locked")
    assert store.move(run().id, RunStatus.REQUESTED, RunStatus.DIAGNOSING, "", EPOCH).status is RunStatus.DIAGNOSING
    engine.dispose()


def test_what_was_committed_is_on_the_disk(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "state")
    with engine.engine.connect() as opened:
        pragmas = {
            name: opened.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    engine.dispose()

    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
