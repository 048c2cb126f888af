"""What goes wrong with a record in a file: each fault is one clear sentence, and nothing is lost without a word."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from remediate.adapters.store.connection import Database, open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.tables import SCHEMA_VERSION
from remediate.errors import StateUnusable
from tests.builders import run
from tests.disks import Disk, small_disk, without_privileges

WRITE = """
import sys
from pathlib import Path
from remediate.adapters.store.connection import open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.errors import StateUnusable
from tests.builders import run
try:
    DatabaseStore(open_database(Path(sys.argv[1]))).create_run(run("more"))
except StateUnusable as refused:
    print(refused.message, refused.next_step, sep="\\n")
"""

WRITE_AND_DIE = """
import os, sys
from pathlib import Path
from remediate.adapters.store.connection import open_database
from remediate.adapters.store.database import DatabaseStore
from tests.builders import run
DatabaseStore(open_database(Path(sys.argv[1]))).create_run(run("newest"))
os._exit(9)
"""


OPEN_OFTEN = """
import sys
from pathlib import Path
from remediate.adapters.store.connection import open_database
for _ in range(20):
    open_database(Path(sys.argv[1])).dispose()
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk") as made:
        yield made


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with one run in its record, in the file itself."""
    directory = tmp_path / "state"
    with closing(Closing(directory)) as opened:
        opened.store.create_run(run("first"))
    return directory


class Closing:
    """An opened record, to be closed."""

    def __init__(self, directory: Path) -> None:
        self.database: Database = open_database(directory)
        self.store = DatabaseStore(self.database)

    def close(self) -> None:
        self.database.dispose()


def opened_below(directory: Path) -> list[Path]:
    """Return the files below a directory that this process has open."""
    # The one that lists them is gone by the time it is looked at.
    targets = [path.readlink() for path in list(Path("/proc/self/fd").iterdir()) if path.is_symlink()]
    return [target for target in targets if target.is_relative_to(directory)]


def recorded(directory: Path) -> list[str]:
    with closing(Closing(directory)) as opened:
        return sorted(found.id for found in opened.store.runs(limit=999))


def test_a_disk_that_is_full_is_told_and_keeps_all_that_was_recorded(disk: Disk) -> None:
    with closing(Closing(disk.path / "state")) as opened:
        opened.store.create_run(run("before"))
        disk.fill()

        def record_much() -> None:
            with opened.store.together():
                for number in range(99):
                    opened.store.create_run(run(f"refused-{number}", reason="x" * 9999))

        with pytest.raises(StateUnusable, match=r"The record cannot be written: (database or disk is full|disk I/O)"):
            record_much()
        assert [found.id for found in opened.store.runs(limit=9)] == ["before"]
        disk.free()
        opened.store.create_run(run("after"))

    assert recorded(disk.path / "state") == ["after", "before"]


def test_a_disk_that_is_full_from_the_start_gets_no_half_made_record(disk: Disk) -> None:
    (disk.path / "something").write_text("x")
    disk.fill()
    with pytest.raises(StateUnusable, match=r"cannot be (opened|used): ") as refused:
        open_database(disk.path / "state")
    disk.free()

    # The error is still held here, and with it all that its frames hold.
    assert refused.value.exit_code
    assert opened_below(disk.path) == []
    assert recorded(disk.path / "state") == []


def test_a_file_that_may_not_be_written_is_told_with_the_exact_fix_and_left_as_it_is(state: Path) -> None:
    file = state / "remediate.db"
    file.chmod(0o400)
    done = subprocess.run(
        without_privileges([sys.executable, "-c", WRITE, str(state)]), capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == [
        f"The record {file} cannot be written. Nothing was run.",
        f"chmod 0600 {file}",
    ]
    assert file.stat().st_mode & 0o777 == 0o400
    file.chmod(0o600)
    assert recorded(state) == ["first"]


def test_a_read_only_file_system_is_told_as_one(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = list(os.statvfs(state))
    flags[8] |= os.ST_RDONLY
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result(flags))

    with pytest.raises(StateUnusable, match=r"is on a read-only file system\. Nothing was run\.") as refused:
        open_database(state)
    assert refused.value.next_step.startswith("mount it for writing")


def test_a_damaged_page_is_told_and_the_file_is_left_for_whoever_repairs_it(state: Path) -> None:
    file = state / "remediate.db"
    with closing(sqlite3.connect(file)) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs'").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    whole = file.read_bytes()
    start = (page - 1) * size
    damaged = whole[:start] + b"\xff" * size + whole[start + size :]
    file.write_bytes(damaged)
    with closing(Closing(state)) as opened:
        with pytest.raises(StateUnusable, match="The record cannot be read: database disk image is malformed"):
            opened.store.runs(limit=9)
        with pytest.raises(StateUnusable, match="The record cannot be written: database disk image is malformed"):
            opened.store.create_run(run("more"))

    assert file.read_bytes() == damaged
    file.write_bytes(whole)
    assert recorded(state) == ["first"]


def test_a_log_that_was_removed_after_a_crash_is_missed_and_nothing_is_lost_without_a_word(state: Path) -> None:
    subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(state)], check=False)
    log, kept = state / "remediate.db-wal", state / "kept"
    log.rename(kept)
    with pytest.raises(StateUnusable, match=f"{log} was removed, and with it the newest part of the record") as refused:
        open_database(state)
    kept.rename(log)

    assert refused.value.next_step.startswith("put it back; if it is lost, remove ")
    assert recorded(state) == ["first", "newest"]


def test_a_log_that_is_lost_for_good_can_be_given_up_as_was_said(state: Path) -> None:
    subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(state)], check=False)
    (state / "remediate.db-wal").unlink()
    with pytest.raises(StateUnusable):
        open_database(state)
    (state / "remediate.db-shm").unlink()

    assert recorded(state) == ["first"]


def test_a_log_that_is_removed_while_it_is_used_is_missed_before_anything_is_written_beside_it(state: Path) -> None:
    log = state / "remediate.db-wal"
    with closing(Closing(state)) as opened:
        opened.store.create_run(run("second"))
        log.unlink()
        with pytest.raises(StateUnusable, match=f"{log} was removed or replaced while the record was in use"):
            opened.store.create_run(run("refused"))
        with pytest.raises(StateUnusable, match="was removed, and with it the newest part of the record"):
            open_database(state)

    assert recorded(state) == ["first", "second"]


def test_a_record_that_is_opened_and_closed_all_the_time_never_misses_its_log(state: Path) -> None:
    commands = [subprocess.Popen([sys.executable, "-W", "error", "-c", OPEN_OFTEN, str(state)]) for _ in range(3)]

    assert [command.wait() for command in commands] == [0, 0, 0]
    with closing(sqlite3.connect(state / "remediate.db")) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [(SCHEMA_VERSION,)]
