from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.domain.delivery import (
    FIRST_PAUSE,
    GIVE_UP_AFTER,
    LONGEST_PAUSE,
    LONGEST_REQUEST,
    AfterFailure,
    after_failure,
    pause,
)
from remediate.testing import EPOCH
from tests.builders import notice

SOON = EPOCH + timedelta(seconds=30)


def test_a_failure_that_may_pass_is_tried_again_after_the_pause() -> None:
    failed = notice(attempts=1)

    assert after_failure(failed, permanent=False, now=SOON) == AfterFailure(
        again_at=SOON + pause(failed.key, 1), reason="it is tried again", elsewhere=False
    )


def test_from_the_second_failure_on_the_other_channels_are_used() -> None:
    assert [after_failure(notice(attempts=count), permanent=False, now=SOON).elsewhere for count in (1, 2, 3)] == [
        False,
        True,
        True,
    ]


def test_a_permanent_failure_is_given_up_at_once_and_the_other_channels_are_used() -> None:
    assert after_failure(notice(attempts=1), permanent=True, now=SOON) == AfterFailure(
        again_at=None, reason="trying again cannot help", elsewhere=True
    )


def test_a_notice_that_was_tried_for_a_day_is_given_up() -> None:
    after = after_failure(notice(attempts=90), permanent=False, now=EPOCH + GIVE_UP_AFTER)

    assert (after.again_at, after.reason) == (None, "it was tried for 24 h")


def test_the_last_attempt_is_at_the_end_of_the_day() -> None:
    now = EPOCH + GIVE_UP_AFTER - timedelta(seconds=5)

    assert after_failure(notice(attempts=90), permanent=False, now=now).again_at == EPOCH + GIVE_UP_AFTER


def test_a_notice_of_a_program_that_was_off_for_days_still_gets_some_attempts() -> None:
    late = EPOCH + timedelta(days=3)

    assert [
        after_failure(notice(attempts=count), permanent=False, now=late).again_at is None for count in (1, 2, 3)
    ] == [False, False, True]


def test_a_channel_that_asks_for_time_gets_it_within_a_limit() -> None:
    def again_after(wait: timedelta) -> timedelta:
        again_at = after_failure(notice(attempts=1), permanent=False, wait=wait, now=SOON).again_at
        assert again_at is not None
        return again_at - SOON

    assert again_after(timedelta(minutes=7)) == timedelta(minutes=7)
    assert again_after(timedelta(days=40)) == LONGEST_REQUEST
    assert again_after(timedelta(0)) == pause(notice().key, 1)


def test_a_test_notice_is_tried_once_and_over_no_other_channel() -> None:
    assert after_failure(notice(attempts=1, data={"kind": "test"}), permanent=False, now=SOON) == AfterFailure(
        again_at=None, reason="a test is tried once", elsewhere=False
    )


@pytest.mark.parametrize(
    ("attempts", "usual"), [(1, 10), (2, 20), (3, 40), (6, 320), (7, 640), (8, 900), (9, 900), (5000, 900)]
)
def test_the_pause_doubles_up_to_a_cap_and_differs_by_no_more_than_a_fifth(attempts: int, usual: int) -> None:
    pauses = [pause(f"run-{number}/asked-1/omar/mail", attempts).total_seconds() for number in range(50)]

    assert usual * 0.8 <= min(pauses)
    assert max(pauses) <= usual * 1.2
    assert max(pauses) - min(pauses) > usual * 0.3
    assert (FIRST_PAUSE.total_seconds(), LONGEST_PAUSE.total_seconds()) == (10, 900)


def test_the_pause_of_one_attempt_is_always_the_same() -> None:
    assert pause("run-1/asked-1/omar/mail", 3) == pause("run-1/asked-1/omar/mail", 3)
    assert pause("run-1/asked-1/omar/mail", 3) == timedelta(seconds=40.795591)


@given(attempts=st.integers(1, 10**6), age=st.timedeltas(timedelta(0), timedelta(days=30)), permanent=st.booleans())
def test_whatever_happens_it_is_tried_later_or_given_up(attempts: int, age: timedelta, permanent: bool) -> None:
    now = EPOCH + age
    after = after_failure(notice(attempts=attempts), permanent=permanent, now=now)

    assert after.again_at is None or now < after.again_at <= now + LONGEST_REQUEST
    assert after.again_at is None or age < GIVE_UP_AFTER or attempts < 3
