"""Silence climbs: every ladder of the escalation matrix, to the second, and what a clock that jumps does to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.domain.approval import HIGHEST_LEVEL, ApprovalRequest
from remediate.domain.escalation import (
    LADDERS,
    UNWATCHED,
    Ladder,
    Move,
    deadline,
    following,
    ladder_for,
    next_step,
    patience,
    validity,
)
from remediate.domain.runbook import Severity
from remediate.testing import EPOCH
from tests.builders import request

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def minutes(spans: tuple[timedelta, ...]) -> list[int]:
    return [int(span / MINUTE) for span in spans]


def asked(
    severity: Severity = Severity.SEV1, level: int = 1, at: datetime = EPOCH, **changes: object
) -> ApprovalRequest:
    """A request as the engine opens it: asked now, at the level that it needs."""
    ladder = ladder_for(severity)
    opened = request(
        severity=severity,
        level=level,
        climbs_after=tuple(int(span / SECOND) for span in ladder.climbs_after),
        remind_every=int(ladder.remind_every / SECOND),
        asked_level=level,
        opened_at=at,
        asked_at=at,
        reminded_at=at,
        expires_at=at + validity(ladder, level),
        next_at=at,
        **changes,
    )
    return opened.model_copy(update={"next_at": following(opened)})


def stepped(before: ApprovalRequest, now: datetime) -> ApprovalRequest | None:
    """What the engine makes of the next step; None when the request has expired."""
    match next_step(before, now).move:
        case Move.WAIT:
            return before
        case Move.EXPIRE:
            return None
        case Move.REMIND:
            changed = before.model_copy(update={"reminded_at": now})
        case Move.ASK_AGAIN:
            changed = before.model_copy(update={"asked_at": now, "reminded_at": now})
        case Move.CLIMB:
            level = before.asked_level + 1
            changed = before.model_copy(update={"asked_level": level, "asked_at": now, "reminded_at": now})
    return changed.model_copy(update={"next_at": following(changed)})


class Climb(NamedTuple):
    at: datetime
    level: int


def watched(
    before: ApprovalRequest, every: timedelta = MINUTE, hours: int = 200
) -> tuple[list[Climb], datetime | None]:
    """Watch a request that nobody answers; return when each level was asked, and when it expired."""
    climbs = [Climb(before.asked_at, before.asked_level)]
    now, current = before.asked_at, before
    while now < before.asked_at + timedelta(hours=hours):
        now += every
        after = stepped(current, now)
        if after is None:
            return climbs, now
        if after.asked_level != current.asked_level:
            climbs.append(Climb(now, after.asked_level))
        current = after
    return climbs, None


@pytest.mark.parametrize(
    ("severity", "climbs", "remind"),
    [
        (Severity.SEV1, [15, 30, 60, 120], 5),
        (Severity.SEV2, [30, 120, 240, 480], 15),
        (Severity.SEV3, [60, 240, 480, 960], 30),
        (Severity.SEV4, [240, 1440, 2880, 5760], 240),
    ],
)
def test_the_ladder_of_a_severity_is_the_one_of_the_matrix(severity: Severity, climbs: list[int], remind: int) -> None:
    ladder = ladder_for(severity)

    assert minutes(ladder.climbs_after) == climbs
    assert ladder.remind_every == remind * MINUTE


def test_database_failures_tighten_the_first_two_steps_and_their_reminders() -> None:
    ladder = ladder_for(Severity.SEV1, (5 * MINUTE, 15 * MINUTE))

    assert minutes(ladder.climbs_after) == [5, 15, 60, 120]
    assert ladder.remind_every == 5 * MINUTE


def test_a_first_step_shorter_than_the_reminders_shortens_those_too() -> None:
    assert ladder_for(Severity.SEV2, (5 * MINUTE,)).remind_every == 5 * MINUTE


def test_a_runbook_may_only_tighten_never_loosen() -> None:
    assert (
        ladder_for(Severity.SEV1, (timedelta(hours=1), timedelta(hours=2), timedelta(hours=3)))
        == LADDERS[Severity.SEV1]
    )


@pytest.mark.parametrize(("level", "span"), [(1, 15), (2, 15), (3, 30), (4, 60)])
def test_each_level_has_the_time_between_its_step_and_the_next(level: int, span: int) -> None:
    assert LADDERS[Severity.SEV1].patience(level) == span * MINUTE
    assert patience(asked(level=1), level) == span * MINUTE


@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize("first", [1, 2, 3, 4])
def test_a_silent_request_climbs_through_every_level_and_expires_after_the_last(severity: Severity, first: int) -> None:
    opened = asked(severity, first)
    climbs, expired = watched(opened, every=5 * MINUTE)
    ladder = LADDERS[severity]
    due, at = [Climb(EPOCH, first)], EPOCH
    for level in range(first, HIGHEST_LEVEL):
        at += ladder.patience(level)
        due.append(Climb(at, level + 1))

    assert climbs == due
    assert expired == at + ladder.patience(HIGHEST_LEVEL)


@pytest.mark.parametrize(
    ("severity", "after"),
    [(Severity.SEV1, [15, 30, 60]), (Severity.SEV2, [30, 120, 240])],
)
def test_a_request_of_level_one_asks_the_others_at_the_minutes_of_the_matrix(
    severity: Severity, after: list[int]
) -> None:
    climbs, _ = watched(asked(severity))

    assert [(climb.at - EPOCH) / MINUTE for climb in climbs[1:]] == after


@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_level_has_its_time_to_the_second(severity: Severity, level: int) -> None:
    before = asked(severity, level).model_copy(update={"reminded_at": EPOCH + patience(asked(severity, level), level)})
    before = before.model_copy(update={"next_at": following(before)})
    due = deadline(before)

    assert next_step(before, due - SECOND).move is Move.WAIT
    assert next_step(before, due).move is Move.CLIMB


def test_the_last_level_expires_to_the_second() -> None:
    before = asked(level=4).model_copy(update={"reminded_at": EPOCH + timedelta(hours=2)})
    before = before.model_copy(update={"next_at": following(before)})
    due = EPOCH + timedelta(minutes=60)

    assert next_step(before, due - SECOND).move is Move.WAIT
    assert next_step(before, due).move is Move.EXPIRE
    assert next_step(before, due).reason == "nobody has answered, up to level 4"


def test_a_reminder_is_due_to_the_second_and_names_the_level() -> None:
    before = asked()

    assert next_step(before, EPOCH + 5 * MINUTE - SECOND).move is Move.WAIT
    assert next_step(before, EPOCH + 5 * MINUTE).move is Move.REMIND
    assert next_step(before, EPOCH + 5 * MINUTE).reason == "level 1 has not answered yet"


def test_reminders_come_until_the_level_has_had_its_time() -> None:
    current, moves = asked(Severity.SEV3), []
    for minute in range(1, 61):
        now = EPOCH + minute * MINUTE
        if (move := next_step(current, now).move) is not Move.WAIT:
            moves.append((minute, move))
        after = stepped(current, now)
        assert after is not None
        current = after

    assert moves == [(30, Move.REMIND), (60, Move.CLIMB)]


def test_a_climb_says_how_long_nobody_has_answered() -> None:
    before = asked().model_copy(update={"reminded_at": EPOCH + 14 * MINUTE, "next_at": EPOCH + 15 * MINUTE})

    assert next_step(before, EPOCH + 16 * MINUTE).reason == "level 1 has not answered for 16 min"


def test_a_plan_that_is_no_longer_valid_expires_whoever_is_asked() -> None:
    before = asked(level=2)

    assert next_step(before, before.expires_at).reason == (
        "nobody answered up to level 2, and the plan is no longer valid"
    )


def test_late_by_no_more_than_the_limit_it_climbs_and_later_the_level_is_asked_again() -> None:
    before = asked().model_copy(update={"reminded_at": EPOCH + 14 * MINUTE, "next_at": EPOCH + 15 * MINUTE})
    limit = before.next_at + UNWATCHED

    assert next_step(before, limit).move is Move.CLIMB
    late = next_step(before, limit + SECOND)
    assert late.move is Move.ASK_AGAIN
    assert late.reason == "nothing was watching for 10 min, or the clock has jumped: level 1 is asked again"


@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_a_plan_is_valid_for_longer_than_all_levels_together_have(severity: Severity, level: int) -> None:
    ladder = LADDERS[severity]
    together = sum((ladder.patience(one) for one in range(level, HIGHEST_LEVEL + 1)), timedelta(0))

    assert validity(ladder, level) == together * 3 / 2


def test_what_follows_is_never_after_the_end_of_the_plan() -> None:
    before = asked().model_copy(update={"expires_at": EPOCH + MINUTE})

    assert following(before) == EPOCH + MINUTE


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    "begins",
    [
        datetime(2026, 3, 29, 1, 30, tzinfo=BERLIN),
        datetime(2026, 10, 25, 1, 30, tzinfo=BERLIN),
        datetime(2028, 2, 28, 23, 30, tzinfo=BERLIN),
        datetime(2026, 12, 31, 23, 30, tzinfo=BERLIN),
    ],
    ids=["spring", "autumn", "leap-day", "new-year"],
)
def test_clocks_of_the_wall_and_the_calendar_change_nothing(begins: datetime) -> None:
    climbs, expired = watched(asked(at=begins.astimezone(UTC)))

    assert [(climb.at - begins) / MINUTE for climb in climbs] == [0, 15, 30, 60]
    assert expired == begins.astimezone(UTC) + 120 * MINUTE


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1)])
@pytest.mark.parametrize("at", [2, 14, 16, 31, 59])
def test_a_clock_that_jumps_an_hour_skips_no_level_and_asks_none_twice_over(jump: timedelta, at: int) -> None:
    current, levels, now = asked(), [1], EPOCH
    for minute in range(1, 400):
        now += MINUTE + (jump if minute == at else timedelta(0))
        after = stepped(current, now)
        if after is None:
            break
        if after.asked_level != current.asked_level:
            levels.append(after.asked_level)
            assert now - current.asked_at >= patience(current, current.asked_level)
        current = after

    assert levels == [1, 2, 3, 4][: len(levels)]
    assert len(levels) >= 3


@given(
    severity=st.sampled_from(Severity),
    first=st.integers(1, 4),
    spans=st.lists(st.integers(-7200, 7200).map(lambda seconds: timedelta(seconds=seconds)), max_size=80),
)
def test_whatever_the_clock_does_levels_rise_by_one_never_fall_and_each_has_all_of_its_time(
    severity: Severity, first: int, spans: list[timedelta]
) -> None:
    current, now = asked(severity, first), EPOCH
    for span in spans:
        now += span
        after = stepped(current, now)
        if after is None:
            assert now >= current.expires_at or current.asked_level == HIGHEST_LEVEL
            return
        assert after.asked_level - current.asked_level in {0, 1}
        if after.asked_level > current.asked_level:
            assert now - current.asked_at >= patience(current, current.asked_level)
            assert now - current.next_at <= UNWATCHED
        assert after.next_at <= after.expires_at
        current = after


@given(
    severity=st.sampled_from(Severity),
    steps=st.lists(st.integers(0, 1440).map(lambda count: timedelta(minutes=count)), min_size=3, max_size=3),
)
def test_a_tightened_ladder_is_nowhere_slower(severity: Severity, steps: list[timedelta]) -> None:
    usual, tightened = LADDERS[severity], ladder_for(severity, tuple(sorted(steps)))

    assert all(new <= old for new, old in zip(tightened.climbs_after, usual.climbs_after, strict=True))
    assert isinstance(tightened, Ladder)
