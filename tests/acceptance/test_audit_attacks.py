"""Somebody who owns the database changes the audit trail: what `verify` finds, and where.

The attacker drops the triggers first, and writes to the SQLite file with another program.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from remediate.adapters.signing import AuditKey
from remediate.adapters.store.audit import DatabaseTrail
from remediate.adapters.store.connection import open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.domain.audit import SignedHead
from remediate.domain.audit_check import Flaw
from remediate.domain.run import RunStatus
from remediate.domain.runbook import Phase
from remediate.engine.audit import AuditReport, AuditTrail
from remediate.errors import EngineFailure
from remediate.testing import EPOCH, MemoryTarget
from tests.builders import run, task

Attack = Callable[[sqlite3.Connection], None]


class Record:
    """A site's record of some runs, with heads that a place outside keeps: of events 8, 16, 24 and 32."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.outside = MemoryTarget()
        self.open()
        for number in range(4):
            self.carry_out(f"run-{number}")
            self.sign()

    def open(self) -> None:
        self.database = open_database(self.state)
        keys = AuditKey(self.state)
        self.audit = AuditTrail(DatabaseTrail(self.database, keys), keys, [self.outside])

    def carry_out(self, run_id: str) -> None:
        """Eight events."""
        store = DatabaseStore(self.database)
        store.create_run(run(run_id))
        store.move(run_id, RunStatus.REQUESTED, RunStatus.DIAGNOSING, "looking", EPOCH)
        for _ in range(2):
            number = store.begin_phase(run_id, Phase.FIX, check=False, now=EPOCH)
            store.add_task(run_id, number, task())
            store.add_task(run_id, number, task("fix | More"))

    def sign(self) -> SignedHead:
        report = self.audit.sign_now(EPOCH + timedelta(minutes=1))
        assert report.signed is not None
        return report.signed

    def attack(self, *statements: str | Attack) -> None:
        """Write to the file as its owner may."""
        self.database.dispose()
        with closing(sqlite3.connect(self.state / "remediate.db")) as raw:
            for (trigger,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                raw.execute(f"DROP TRIGGER {trigger}")
            for statement in statements:
                raw.execute(statement) if isinstance(statement, str) else statement(raw)
            raw.commit()

    def verify(self, *, outside: bool = False) -> AuditReport:
        return self.audit.verify(self.outside.received if outside else ())

    def found(self, *, outside: bool = False) -> tuple[Flaw | None, int | None, int | None]:
        verdict = self.verify(outside=outside).verdict
        return verdict.flaw, verdict.first_bad, verdict.first_bad_at_latest


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    made = Record(tmp_path)
    yield made
    made.database.dispose()


def rehash(raw: sqlite3.Connection) -> None:
    """Make every hash fit again, as whoever knows how the trail is made can."""
    last = "0" * 64
    for sequence, body in raw.execute("SELECT sequence, body FROM audit ORDER BY sequence").fetchall():
        last = hashlib.sha256((last + body).encode()).hexdigest()
        raw.execute("UPDATE audit SET hash = ? WHERE sequence = ?", (last, sequence))


def swap(first: int, second: int) -> Attack:
    def attack(raw: sqlite3.Connection) -> None:
        raw.execute("UPDATE audit SET sequence = -1 WHERE sequence = ?", (first,))
        raw.execute("UPDATE audit SET sequence = ? WHERE sequence = ?", (first, second))
        raw.execute("UPDATE audit SET sequence = ? WHERE sequence = -1", (second,))

    return attack


EDIT = """UPDATE audit SET body = replace(body, '"actor":"nadia"', '"actor":"omar"') WHERE sequence = 17"""
CUT = "DELETE FROM audit WHERE sequence > 20"
FORGET_HEADS = "DELETE FROM audit_heads"


def test_a_record_that_nobody_touched_is_intact_and_says_what_it_cannot_tell(record: Record) -> None:
    alone, compared = record.verify(), record.verify(outside=True)

    assert (alone.verdict.intact, alone.verdict.checked, alone.outside, alone.inside) == (True, 32, 0, 4)
    assert alone.notes[0].startswith("without a head from outside it is not seen when events at the end were cut off")
    assert (compared.verdict.intact, compared.outside, compared.notes, compared.doubts) == (True, 4, (), ())


def test_an_edited_event_is_found(record: Record) -> None:
    record.attack(EDIT)

    assert record.found() == (Flaw.EDITED, 17, 17)


def test_a_hash_that_was_changed_is_found(record: Record) -> None:
    record.attack("UPDATE audit SET hash = upper(hash) WHERE sequence = 9")

    assert record.found() == (Flaw.EDITED, 9, 9)


def test_a_deleted_event_is_found(record: Record) -> None:
    record.attack("DELETE FROM audit WHERE sequence IN (11, 12)")

    assert record.found() == (Flaw.MISSING, 11, 11)


def test_events_that_were_reordered_are_found(record: Record) -> None:
    record.attack(swap(13, 30))

    assert record.found() == (Flaw.MISPLACED, 13, 13)


def test_an_event_that_was_put_before_all_others_is_found(record: Record) -> None:
    record.attack("INSERT INTO audit VALUES (-3, '{}', 'x')")

    assert record.found() == (Flaw.MISSING, -3, -3)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET body = x'fffe00' WHERE sequence = 6",
        "UPDATE audit SET body = 17 WHERE sequence = 6",
        "UPDATE audit SET body = '' WHERE sequence = 6",
        "UPDATE audit SET hash = x'fffe00' WHERE sequence = 6",
        "UPDATE audit SET hash = 17 WHERE sequence = 6",
        "UPDATE audit SET hash = '' WHERE sequence = 6",
    ],
)
def test_what_is_no_text_at_all_is_found_and_does_not_break_the_check(record: Record, statement: str) -> None:
    record.attack(statement)

    assert record.found() == (Flaw.EDITED, 6, 6)


def test_an_event_that_cannot_be_read_ends_a_timeline_with_what_to_do(record: Record) -> None:
    record.attack('UPDATE audit SET body = \'{"subject":"run-0"\' WHERE sequence = 6')

    with pytest.raises(EngineFailure, match=r"Event 6 of the audit trail cannot be read") as refused:
        list(record.audit.trail.events(subject="run-0"))
    assert refused.value.next_step == "see `remediate audit verify`"


def test_a_trail_that_was_cut_off_is_found_by_a_head_from_outside(record: Record) -> None:
    record.attack(CUT, FORGET_HEADS)

    assert record.found() == (None, None, None)
    assert record.found(outside=True) == (Flaw.CUT_OFF, 21, 21)


def test_a_trail_that_was_cut_off_is_found_by_the_records_own_head_where_that_was_left(record: Record) -> None:
    record.attack(CUT)

    assert record.found() == (Flaw.CUT_OFF, 21, 21)


def test_a_trail_that_was_hashed_anew_is_found_by_heads_from_outside(record: Record) -> None:
    record.attack(EDIT, rehash, FORGET_HEADS)

    assert record.found() == (None, None, None)
    assert record.found(outside=True) == (Flaw.REWRITTEN, 17, 24)


def test_the_first_bad_event_is_exact_where_a_head_was_signed_for_every_event(record: Record) -> None:
    record.attack(
        """UPDATE audit SET body = replace(body, '"actor":"engine"', '"actor":"omar"') WHERE sequence = 32""",
        rehash,
        FORGET_HEADS,
    )
    assert record.found(outside=True) == (Flaw.REWRITTEN, 25, 32)

    every = [head for head in record.outside.received if head.sequence != 32]
    before = record.audit.trail.stored(after=30)
    place = next(before)
    key = record.audit.keys
    message = {"at": "2026-01-05T03:00:00Z", "hash": place[2], "key_id": key.key_id(), "sequence": 31}
    signature = key.sign(json.dumps(message, sort_keys=True, separators=(",", ":")).encode())
    exact = SignedHead.model_validate({**message, "signature": signature})
    report = record.audit.verify([*every, exact, record.outside.received[-1]])
    assert (report.verdict.first_bad, report.verdict.first_bad_at_latest) == (32, 32)


def test_heads_of_the_record_that_were_signed_anew_with_a_stolen_key_do_not_mislead(record: Record) -> None:
    record.attack(EDIT, rehash, FORGET_HEADS)
    record.open()
    record.audit.trail.sign_head(EPOCH)

    assert record.found() == (None, None, None)
    assert record.found(outside=True) == (Flaw.REWRITTEN, 17, 24)


def test_an_old_database_that_was_restored_is_found_by_a_head_from_outside(record: Record, tmp_path: Path) -> None:
    record.database.dispose()
    shutil.copytree(record.state, tmp_path / "old")
    record.open()
    record.carry_out("run-4")
    record.sign()
    record.database.dispose()
    shutil.rmtree(record.state)
    shutil.copytree(tmp_path / "old", record.state)
    record.open()

    assert record.found() == (None, None, None)
    assert record.found(outside=True) == (Flaw.CUT_OFF, 33, 33)
    assert "an older copy of the database was restored" in record.verify(outside=True).verdict.reason


def test_an_old_database_that_was_restored_and_used_further_is_found(record: Record, tmp_path: Path) -> None:
    record.database.dispose()
    shutil.copytree(record.state, tmp_path / "old")
    record.open()
    record.carry_out("run-4")
    record.sign()
    record.database.dispose()
    shutil.rmtree(record.state)
    shutil.copytree(tmp_path / "old", record.state)
    record.open()
    record.carry_out("run-5")

    assert record.found() == (None, None, None)
    assert record.found(outside=True) == (Flaw.REWRITTEN, 33, 40)


def test_a_trail_that_was_emptied_is_found(record: Record) -> None:
    record.attack("DELETE FROM audit", FORGET_HEADS)

    assert record.found(outside=True) == (Flaw.CUT_OFF, 1, 1)


def test_a_head_from_outside_with_another_key_is_a_doubt_and_proves_nothing(record: Record, tmp_path: Path) -> None:
    record.attack(CUT, FORGET_HEADS)
    (record.state / "audit-key").rename(tmp_path / "audit-key")
    record.open()
    record.audit.keys.key_id()
    doubtful = record.verify(outside=True)

    assert doubtful.verdict.intact
    assert len(doubtful.doubts) == 4
    assert "was signed by an unknown key" in doubtful.doubts[0]
    known = record.audit.verify(record.outside.received, AuditKey(tmp_path).public_key())
    assert (known.verdict.flaw, known.verdict.first_bad, known.doubts) == (Flaw.CUT_OFF, 21, ())


def test_a_head_that_was_changed_on_its_way_is_a_doubt(record: Record) -> None:
    moved = record.outside.received[0].model_copy(update={"sequence": 9})
    report = record.audit.verify([moved])

    assert report.doubts == ("the signature of the head of event 9 is wrong",)
    assert report.outside == 0


def test_heads_of_the_record_that_were_damaged_are_a_doubt(record: Record) -> None:
    record.attack("UPDATE audit_heads SET at = 'never'")

    assert record.verify().doubts == ("The heads in the record cannot be read: somebody has changed them.",)


def test_heads_of_the_record_that_were_changed_are_told(record: Record) -> None:
    record.attack("UPDATE audit_heads SET hash = (SELECT hash FROM audit WHERE sequence = 9) WHERE sequence = 8")

    assert record.verify(outside=True).verdict.intact
    assert record.verify(outside=True).notes == ("in the record the signature of the head of event 8 is wrong",)


def test_a_trail_that_was_changed_since_the_last_head_is_not_signed(record: Record) -> None:
    record.carry_out("run-4")
    record.attack("DELETE FROM audit WHERE sequence = 36")
    record.open()
    report = record.audit.sign_now(EPOCH)

    assert report.signed is None
    assert report.broken is not None
    assert report.broken.first_bad == 36
    assert len(record.audit.trail.heads()) == 4


def test_a_trail_that_was_cut_off_before_the_last_head_is_not_signed(record: Record) -> None:
    record.attack(CUT)
    record.open()
    report = record.audit.sign_if_due(EPOCH)

    assert report.signed is None
    assert report.broken is not None
    assert (report.broken.flaw, report.broken.first_bad) == (Flaw.CUT_OFF, 21)
