"""The use cases of the audit trail, on the twins."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remediate.domain.audit import Due
from remediate.engine.audit import AuditTrail
from remediate.testing import EPOCH, MemoryTarget, MemoryTrail, PlainKeys
from tests.builders import entry

HOUR = timedelta(hours=1)


class Made:
    """A trail with two targets."""

    def __init__(self) -> None:
        self.trail = MemoryTrail()
        self.here, self.there = MemoryTarget("here"), MemoryTarget("there")
        self.audit = AuditTrail(self.trail, PlainKeys(), [self.here, self.there], every_events=3, every=HOUR)

    def note(self, count: int) -> None:
        for _ in range(count):
            self.trail.note(entry())


@pytest.fixture
def made() -> Made:
    return Made()


def test_nothing_is_signed_while_nothing_is_recorded(made: Made) -> None:
    report = made.audit.sign_if_due(EPOCH)

    assert (report.signed, report.due, report.sent, report.unsent) == (None, Due.NOTHING_NEW, (), ())


def test_a_head_is_signed_when_it_is_due_and_sent_to_every_target(made: Made) -> None:
    made.note(1)
    first = made.audit.sign_if_due(EPOCH)
    made.note(2)
    early = made.audit.sign_if_due(EPOCH)
    made.note(1)
    second = made.audit.sign_if_due(EPOCH)

    assert (first.due, early.due, second.due) == (Due.FIRST, Due.NOT_YET, Due.EVENTS)
    assert early.signed is None
    assert [head.sequence for head in made.here.received] == [1, 4]
    assert made.here.received == made.there.received == [first.signed, second.signed]


def test_a_head_is_signed_after_its_time_when_something_followed_the_last_one(made: Made) -> None:
    made.note(1)
    made.audit.sign_if_due(EPOCH)
    idle = made.audit.sign_if_due(EPOCH + 2 * HOUR)
    made.note(1)
    late = made.audit.sign_if_due(EPOCH + 2 * HOUR)

    assert (idle.due, late.due) == (Due.NOTHING_NEW, Due.TIME)


def test_a_target_that_fails_blocks_no_other_one_and_gets_the_newest_head_next_time(made: Made) -> None:
    made.here.trouble = "the mount is gone"
    made.note(1)
    failed = made.audit.sign_if_due(EPOCH)
    again = made.audit.sign_if_due(EPOCH)
    made.note(3)
    made.here.trouble = ""
    recovered = made.audit.sign_if_due(EPOCH)

    assert (failed.sent, failed.unsent) == (("there",), (("here", "the mount is gone"),))
    assert (again.signed, again.sent, again.unsent) == (None, (), (("here", "the mount is gone"),))
    assert (recovered.sent, recovered.unsent) == (("here", "there"), ())
    assert [head.sequence for head in made.here.received] == [4]


def test_a_head_can_be_signed_before_it_is_due_but_not_twice(made: Made) -> None:
    made.note(1)
    made.audit.sign_if_due(EPOCH)
    made.note(1)

    assert made.audit.sign_now(EPOCH).signed is not None
    assert made.audit.sign_now(EPOCH).signed is None


def test_a_report_says_what_no_head_from_outside_covers_and_what_was_not_sent(made: Made) -> None:
    made.there.trouble = "away"
    made.note(2)
    made.audit.sign_if_due(EPOCH)
    made.note(1)
    report = made.audit.verify(made.here.received)

    assert (report.verdict.checked, report.outside, report.inside) == (3, 1, 1)
    assert report.notes == (
        "no head from outside covers the events after 2",
        "the head of event 2 has not reached there yet",
    )


def test_heads_of_another_key_in_the_record_are_told(made: Made) -> None:
    made.note(1)
    made.audit.sign_now(EPOCH)
    report = AuditTrail(made.trail, PlainKeys("new")).verify()

    assert report.inside == 0
    assert report.notes[1] == f"in the record the head of event 1 was signed by an unknown key, {PlainKeys().key_id()}"
    assert report.doubts == ()
