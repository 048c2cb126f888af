"""The audit table refuses to be changed, and several processes that append at once make one chain."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from remediate.adapters.store.audit import DatabaseTrail
from remediate.adapters.store.connection import open_database
from remediate.domain.audit_check import verify
from remediate.testing import PlainKeys
from tests.builders import entry

APPEND_WHEN_TOLD = """
import sys
from pathlib import Path
from remediate.adapters.store.audit import DatabaseTrail
from remediate.adapters.store.connection import open_database
from remediate.domain.audit import AuditEntry
from remediate.testing import EPOCH, PlainKeys
trail = DatabaseTrail(open_database(Path(sys.argv[1])), PlainKeys())
print("ready", flush=True)
sys.stdin.readline()
for number in range(50):
    trail.note(AuditEntry(at=EPOCH, actor=sys.argv[2], action="run.moved", subject=str(number)))
"""


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET body = '{}'",
        "UPDATE audit SET hash = 'x' WHERE sequence = 2",
        "UPDATE audit SET sequence = 9 WHERE sequence = 3",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE sequence = 3",
        "INSERT OR REPLACE INTO audit VALUES (2, '{}', 'x')",
        "REPLACE INTO audit VALUES (3, '{}', 'x')",
        "INSERT INTO audit VALUES (0, '{}', 'x')",
        "INSERT INTO audit VALUES (5, '{}', 'x')",
        "INSERT INTO audit VALUES (3, '{}', 'x') ON CONFLICT (sequence) DO UPDATE SET body = excluded.body",
    ],
)
def test_the_database_refuses_every_statement_that_changes_the_trail(tmp_path: Path, statement: str) -> None:
    database = open_database(tmp_path / "state")
    trail = DatabaseTrail(database, PlainKeys())
    for number in range(3):
        trail.note(entry(f"run-{number}"))
    with closing(sqlite3.connect(tmp_path / "state" / "remediate.db")) as raw:
        before = raw.execute("SELECT * FROM audit").fetchall()
        with pytest.raises(sqlite3.IntegrityError, match="the audit trail is append-only"):
            raw.execute(statement)
        raw.commit()
        after = raw.execute("SELECT * FROM audit").fetchall()
    trail.note(entry("run-4"))

    assert after == before
    assert verify(trail.stored()).checked == 4
    database.dispose()


def test_processes_that_append_at_the_same_moment_make_one_unbroken_chain(tmp_path: Path) -> None:
    database = open_database(tmp_path / "state")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", APPEND_WHEN_TOLD, str(tmp_path / "state"), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("nadia", "omar", "lena", "ida")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    codes = [(writer.communicate(), writer.returncode)[1] for writer in writers]
    trail = DatabaseTrail(database, PlainKeys())
    verdict = verify(trail.stored())
    by_writer: dict[str, list[str]] = {}
    for event in trail.events():
        by_writer.setdefault(event.entry.actor, []).append(event.entry.subject)
    database.dispose()

    assert codes == [0, 0, 0, 0]
    assert (verdict.intact, verdict.checked) == (True, 200)
    assert all(subjects == [str(number) for number in range(50)] for subjects in by_writer.values())
