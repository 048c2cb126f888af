"""What every outbox does: the one on the database and its twin in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest
from sqlalchemy import select

from remediate.adapters.store.connection import Database, open_database
from remediate.adapters.store.outbox import DatabaseOutbox
from remediate.adapters.store.tables import audit
from remediate.domain.audit import AuditEntry, read_event
from remediate.domain.notice import Notice
from remediate.engine.ports import Outbox
from remediate.testing import EPOCH, MemoryOutbox
from tests.builders import notice

LEASE = timedelta(minutes=2)
LATER = EPOCH + timedelta(minutes=1)
MAIL, HOOK = notice(), notice("run-1/asked-1/omar/hook")


class Subject:
    """An outbox, and the way to read what the audit trail got from it."""

    def __init__(self, outbox: Outbox, audited: Callable[[], list[AuditEntry]]) -> None:
        self.outbox = outbox
        self.audited = audited

    def claim(self, channel: str = "mail", after: timedelta = timedelta(0), limit: int = 1) -> tuple[Notice, ...]:
        return self.outbox.claim(channel, EPOCH + after, lease=LEASE, limit=limit)

    def kept(self, key: str = MAIL.key) -> Notice:
        (found,) = self.outbox.notices(prefix=key)
        return found


def entries(database: Database) -> list[AuditEntry]:
    with database.reading() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.sequence)).all()
    return [read_event((row.sequence, row.body, row.hash)).entry for row in rows]


@contextmanager
def interrupted(database: Database) -> Iterator[None]:
    """A transaction that is broken off right before its end."""
    with suppress(KeyboardInterrupt), database.writing():
        yield
        raise KeyboardInterrupt


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "state")
    yield opened
    opened.dispose()


@pytest.fixture(params=["database", "memory"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "memory":
        twin = MemoryOutbox()
        return Subject(twin, lambda: twin.audited)
    opened: Database = request.getfixturevalue("database")
    return Subject(DatabaseOutbox(opened), lambda: entries(opened))


def test_a_notice_comes_back_as_it_was_put(subject: Subject) -> None:
    put = notice(subject="Grüße\u202e", body="a\nb", data={"kind": "asked", "hosts": ["web1"], "level": 2})
    subject.outbox.put([put])

    assert subject.kept() == put


def test_the_same_key_twice_is_one_notice_and_the_first_one_stays(subject: Subject) -> None:
    subject.outbox.put([MAIL, MAIL.model_copy(update={"body": "other"})])
    subject.outbox.put([MAIL.model_copy(update={"body": "later"}), HOOK])

    assert {one.key: one.body for one in subject.outbox.notices()} == {MAIL.key: "Look at it.", HOOK.key: "Look at it."}


def test_a_key_that_was_delivered_is_not_made_again(subject: Subject) -> None:
    subject.outbox.put([MAIL])
    subject.outbox.delivered(subject.claim()[0], LATER)
    subject.outbox.put([MAIL])

    assert subject.outbox.waiting(LATER) == ()


def test_nothing_put_is_nothing(subject: Subject) -> None:
    subject.outbox.put([])

    assert subject.outbox.notices() == ()


def test_the_channels_with_something_due_are_named_once_each(subject: Subject) -> None:
    later = notice("run-1/asked-1/omar/pager", next_at=LATER)
    subject.outbox.put([MAIL, notice("run-2/asked-1/omar/mail"), HOOK, later])

    assert subject.outbox.waiting(EPOCH) == ("hook", "mail")
    assert subject.outbox.waiting(LATER) == ("hook", "mail", "pager")


def test_a_claim_takes_the_oldest_due_notices_of_its_channel(subject: Subject) -> None:
    second = notice("run-2/asked-1/omar/mail", next_at=EPOCH + timedelta(seconds=1))
    third = notice("run-3/asked-1/omar/mail", next_at=EPOCH + timedelta(seconds=2))
    subject.outbox.put([third, HOOK, second, MAIL])

    claimed = subject.claim(after=timedelta(seconds=1), limit=5)
    assert [one.key for one in claimed] == [MAIL.key, second.key]


def test_a_claim_counts_the_attempt_and_lends_the_notice(subject: Subject) -> None:
    subject.outbox.put([MAIL])
    claimed = subject.claim()

    assert claimed == (MAIL.model_copy(update={"attempts": 1, "next_at": EPOCH + LEASE}),)
    assert subject.kept() == claimed[0]


def test_what_is_claimed_is_not_claimed_again_before_the_lease_ends(subject: Subject) -> None:
    subject.outbox.put([MAIL])
    subject.claim()

    assert subject.claim(after=LEASE - timedelta(seconds=1)) == ()
    assert [one.attempts for one in subject.claim(after=LEASE)] == [2]


def test_what_was_delivered_is_never_due_again_and_stands_in_the_trail(subject: Subject) -> None:
    subject.outbox.put([MAIL])
    subject.outbox.delivered(subject.claim()[0], LATER)

    assert subject.kept().delivered_at == LATER
    assert subject.claim(after=timedelta(days=9)) == ()
    assert subject.audited() == [
        AuditEntry(
            at=LATER,
            actor="engine",
            action="notice.delivered",
            subject="run-1",
            details={"key": MAIL.key, "person": "omar", "channel": "mail", "attempts": 1},
        )
    ]


def test_a_delivery_is_recorded_once_whoever_made_it(subject: Subject) -> None:
    subject.outbox.put([MAIL])
    slow = subject.claim()[0]
    quick = subject.claim(after=LEASE)[0]
    subject.outbox.delivered(quick, LATER)
    subject.outbox.delivered(slow, LATER + LEASE)

    assert subject.kept().delivered_at == LATER
    assert len(subject.audited()) == 1


def test_a_delivery_that_is_known_late_counts_after_a_notice_was_given_up(subject: Subject) -> None:
    subject.outbox.put([MAIL])
    slow = subject.claim()[0]
    subject.outbox.failed(subject.claim(after=LEASE)[0], "refused", again_at=None, now=LATER)
    subject.outbox.delivered(slow, LATER + LEASE)

    assert (subject.kept().delivered_at, subject.kept().given_up_at) == (LATER + LEASE, None)


def test_a_failure_is_kept_and_the_notice_is_due_when_it_was_said(subject: Subject) -> None:
    subject.outbox.put([MAIL])
    subject.outbox.failed(subject.claim()[0], "452 full", again_at=LATER, now=EPOCH)

    assert (subject.kept().last_error, subject.kept().next_at, subject.kept().ended) == ("452 full", LATER, False)
    assert [one.attempts for one in subject.claim(after=timedelta(minutes=1))] == [2]
    assert subject.audited() == []


def test_what_is_given_up_is_never_due_again_and_stands_in_the_trail_with_its_reason(subject: Subject) -> None:
    subject.outbox.put([MAIL])
    subject.outbox.failed(subject.claim()[0], "550 unknown", again_at=None, now=LATER)

    assert subject.kept().given_up_at == LATER
    assert subject.claim(after=timedelta(days=9)) == ()
    assert [(entry.action, entry.details["error"]) for entry in subject.audited()] == [
        ("notice.given_up", "550 unknown")
    ]


def test_a_failure_of_a_claim_that_somebody_else_has_taken_over_says_nothing(subject: Subject) -> None:
    subject.outbox.put([MAIL])
    slow = subject.claim()[0]
    taken = subject.claim(after=LEASE)[0]
    subject.outbox.failed(slow, "hung", again_at=None, now=LATER)

    assert subject.kept() == taken
    assert subject.audited() == []


def test_a_failure_after_a_delivery_changes_nothing(subject: Subject) -> None:
    subject.outbox.put([MAIL])
    claimed = subject.claim()[0]
    subject.outbox.delivered(claimed, LATER)
    subject.outbox.failed(claimed, "late", again_at=LATER, now=LATER)

    assert (subject.kept().last_error, subject.kept().delivered_at) == ("", LATER)


def test_notices_are_listed_by_the_beginning_of_their_key_newest_first(subject: Subject) -> None:
    newer = notice("run-1/climbed-2/nadia/mail", created_at=LATER)
    subject.outbox.put([MAIL, HOOK, newer, notice("run-10/asked-1/omar/mail"), notice("run_1/asked-1/omar/mail")])

    assert [one.key for one in subject.outbox.notices(prefix="run-1/")] == [newer.key, HOOK.key, MAIL.key]
    assert [one.key for one in subject.outbox.notices(prefix="run-1/", limit=1)] == [newer.key]
    assert subject.outbox.notices(prefix="%") == ()


def test_many_who_claim_at_once_never_take_the_same_notice(subject: Subject) -> None:
    subject.outbox.put(notice(f"run-{number}/asked-1/omar/mail") for number in range(40))
    start = Barrier(4)
    taken: list[str] = []

    def take() -> None:
        start.wait()
        while claimed := subject.claim(limit=3):
            taken.extend(one.key for one in claimed)

    threads = [Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(taken), len(set(taken))) == (40, 40)


def test_a_notice_is_kept_or_lost_together_with_the_state_it_tells_about(database: Database) -> None:
    outbox = DatabaseOutbox(database)
    with interrupted(database):
        outbox.put([MAIL])
        assert [one.key for one in outbox.notices()] == [MAIL.key]

    assert outbox.notices() == ()


def test_a_delivery_and_its_entry_in_the_trail_are_kept_or_lost_together(database: Database) -> None:
    outbox = DatabaseOutbox(database)
    outbox.put([MAIL])
    claimed = outbox.claim("mail", EPOCH, lease=LEASE)[0]
    with interrupted(database):
        outbox.delivered(claimed, LATER)

    assert (outbox.notices()[0].delivered_at, entries(database)) == (None, [])
