from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.domain.people import People
from remediate.domain.rotation import (
    Absence,
    Duty,
    Override,
    Position,
    Rotation,
    Swap,
    duty,
    handover,
    is_absent,
    moment_of,
    on_call_at,
    shifts,
    swap_problem,
    swapped_weeks,
    watch_start,
    week_of,
)
from tests.builders import person, rotation

BERLIN = ZoneInfo("Europe/Berlin")
#: The first hand-over of the rotations here: Monday 09:00 in Berlin.
MONDAY = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)


def wall(text: str) -> datetime:
    """A wall time, in no zone."""
    return datetime.fromisoformat(text)


def absence(who: str, start: datetime = MONDAY + DAY, length: timedelta = DAY) -> Absence:
    return Absence(person=who, start=start, end=start + length)


def override(who: str, position: Position = Position.PRIMARY, reason: str = "") -> Override:
    return Override(start=MONDAY + DAY, end=MONDAY + 2 * DAY, person=who, position=position, reason=reason)


def pair(found: Duty) -> tuple[str, str | None]:
    return (found.primary, found.secondary)


def pairs(wanted: Rotation, start: datetime = MONDAY, length: timedelta = WEEK) -> list[tuple[str, str | None]]:
    return [pair(found) for found in shifts(wanted, start, start + length)]


def test_each_has_a_week_in_turn_and_the_next_one_is_secondary() -> None:
    assert pairs(rotation(), length=4 * WEEK) == [
        ("nadia", "omar"),
        ("omar", "pia"),
        ("pia", "nadia"),
        ("nadia", "omar"),
    ]


def test_a_duty_says_since_when_until_when_and_why() -> None:
    assert duty(rotation(), MONDAY + 3 * DAY) == Duty(
        primary="nadia", secondary="omar", since=MONDAY, until=MONDAY + WEEK, reason="by the order"
    )


def test_the_duty_changes_at_the_very_moment_of_the_hand_over() -> None:
    assert duty(rotation(), MONDAY + WEEK - timedelta(microseconds=1)).primary == "nadia"
    assert duty(rotation(), MONDAY + WEEK).primary == "omar"


def test_the_order_goes_on_backwards_so_that_somebody_is_always_asked() -> None:
    assert duty(rotation(), MONDAY - timedelta(seconds=1)).primary == "pia"
    assert duty(rotation(), datetime(1999, 12, 31, tzinfo=UTC)).primary in {"nadia", "omar", "pia"}


def test_the_start_may_be_any_day_of_the_week_of_the_first() -> None:
    for day in range(5, 12):
        assert duty(rotation(start=date(2026, 1, day)), MONDAY).primary == "nadia"
    assert duty(rotation(start=date(2026, 1, 12)), MONDAY).primary == "pia"


def test_a_moment_may_be_given_in_any_zone() -> None:
    tokyo = (MONDAY + WEEK).astimezone(ZoneInfo("Asia/Tokyo"))

    assert duty(rotation(), tokyo) == duty(rotation(), MONDAY + WEEK)


def test_one_person_alone_has_every_week_and_no_secondary() -> None:
    assert pairs(rotation("nadia"), length=2 * WEEK) == [("nadia", None), ("nadia", None)]


def test_an_order_of_their_own_makes_the_secondaries() -> None:
    wanted = rotation("nadia", "omar", secondary_order=("pia", "lee", "kim"))

    assert pairs(wanted, length=4 * WEEK) == [("nadia", "pia"), ("omar", "lee"), ("nadia", "kim"), ("omar", "pia")]


def test_a_secondary_order_never_makes_one_person_both() -> None:
    wanted = rotation("nadia", "omar", secondary_order=("nadia", "pia"))

    assert pairs(wanted, length=2 * WEEK) == [("nadia", "pia"), ("omar", "pia")]


# Changes of the clock


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 23), 167),
        ("Europe/Berlin", date(2026, 10, 19), 169),
        ("Europe/Berlin", date(2026, 3, 30), 168),
        ("America/New_York", date(2026, 3, 2), 167),
        ("America/New_York", date(2026, 10, 26), 169),
        ("Australia/Lord_Howe", date(2026, 9, 28), 167.5),
        ("Australia/Lord_Howe", date(2026, 3, 30), 168.5),
        ("UTC", date(2026, 3, 23), 168),
        ("UTC", date(2026, 10, 19), 168),
        ("Asia/Tokyo", date(2026, 10, 19), 168),
    ],
)
def test_a_hand_over_stays_at_nine_where_the_clock_is_changed(zone: str, day: date, hours: float) -> None:
    wanted = rotation(zone=zone)
    found = duty(wanted, handover(wanted, week_of(wanted, day)))

    assert found.until - found.since == timedelta(hours=hours)
    assert [f"{moment.astimezone(wanted.zone):%a %H:%M}" for moment in (found.since, found.until)] == ["Mon 09:00"] * 2


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"])
def test_over_twenty_years_every_week_begins_on_monday_at_nine(zone: str) -> None:
    wanted = rotation(zone=zone)
    moments = [handover(wanted, week).astimezone(wanted.zone) for week in range(20 * 52)]

    assert {f"{moment:%a %H:%M:%S}" for moment in moments} == {"Mon 09:00:00"}


def test_a_hand_over_that_the_clock_skips_is_counted_from_before_the_change() -> None:
    wanted = rotation(handover_day=6, handover_time=time(2, 30))
    skipped = week_of(wanted, date(2026, 3, 29))

    assert [handover(wanted, skipped + step) for step in (-1, 0, 1)] == [
        datetime(2026, 3, 22, 1, 30, tzinfo=UTC),
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        datetime(2026, 4, 5, 0, 30, tzinfo=UTC),
    ]
    assert f"{handover(wanted, skipped).astimezone(BERLIN):%H:%M %Z}" == "03:30 CEST"


def test_a_hand_over_that_comes_twice_is_the_first_of_them() -> None:
    wanted = rotation(handover_day=6, handover_time=time(2, 30))
    twice = handover(wanted, week_of(wanted, date(2026, 10, 25)))

    assert twice == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert f"{twice.astimezone(BERLIN):%H:%M %Z}" == "02:30 CEST"
    assert pair(duty(wanted, twice)) == pair(duty(wanted, twice + HOUR)) != pair(duty(wanted, twice - HOUR))


def test_half_an_hour_that_comes_twice_or_is_skipped_is_defined_as_well() -> None:
    lord_howe = ZoneInfo("Australia/Lord_Howe")

    assert moment_of(wall("2026-04-05 01:45"), lord_howe) == datetime(2026, 4, 4, 14, 45, tzinfo=UTC)
    assert moment_of(wall("2026-10-04 02:15"), lord_howe) == datetime(2026, 10, 3, 15, 45, tzinfo=UTC)


def test_a_day_that_a_zone_leaves_out_has_its_hand_over_on_the_next() -> None:
    wanted = rotation(zone="Pacific/Apia", handover_day=4)
    friday = handover(wanted, week_of(wanted, date(2011, 12, 30)))

    assert friday == datetime(2011, 12, 30, 19, 0, tzinfo=UTC)
    assert duty(wanted, friday).since == friday


def test_a_hand_over_after_which_the_clock_falls_back_to_the_day_before_stays_done() -> None:
    wanted = rotation(zone="America/St_Johns", handover_day=6, handover_time=time(0, 0))
    midnight = handover(wanted, week_of(wanted, date(2010, 11, 7)))
    after = midnight + timedelta(minutes=10)

    assert f"{after.astimezone(wanted.zone):%a %H:%M}" == "Sat 23:10"
    assert duty(wanted, after).since == midnight


def test_a_span_is_compared_by_its_moments_and_not_by_its_wall_times() -> None:
    first = datetime(2026, 10, 25, 2, 45, tzinfo=BERLIN)
    second = datetime(2026, 10, 25, 2, 15, tzinfo=BERLIN, fold=1)
    entry = Override(start=first, end=second, person="lee", position=Position.PRIMARY)

    assert entry.end - entry.start == timedelta(minutes=30)
    assert duty(rotation(overrides=(entry,)), first.astimezone(UTC)).primary == "lee"


# Overrides


def test_an_override_holds_from_its_first_moment_to_its_last() -> None:
    found = shifts(rotation(overrides=(override("lee", reason="training"),)), MONDAY, MONDAY + WEEK)

    assert [pair(one) for one in found] == [("nadia", "omar"), ("lee", "omar"), ("nadia", "omar")]
    assert (found[1].since, found[1].until) == (MONDAY + DAY, MONDAY + 2 * DAY)
    assert found[1].reason == "override, lee as primary: training"


def test_a_secondary_who_is_made_primary_leaves_a_place_that_the_next_one_fills() -> None:
    assert pairs(rotation(overrides=(override("omar"),)))[1] == ("omar", "pia")


def test_an_override_of_the_secondary_leaves_the_primary_alone() -> None:
    assert pairs(rotation(overrides=(override("lee", Position.SECONDARY),)))[1] == ("nadia", "lee")


def test_a_primary_cannot_be_made_their_own_secondary() -> None:
    assert pairs(rotation(overrides=(override("nadia", Position.SECONDARY),)))[1] == ("nadia", "omar")


def test_both_duties_may_be_overridden_at_once() -> None:
    both = (override("lee"), override("kim", Position.SECONDARY))

    assert pairs(rotation(overrides=both))[1] == ("lee", "kim")


def test_an_override_by_somebody_absent_does_not_hold_meanwhile() -> None:
    found = shifts(rotation(overrides=(override("lee"),), absences=(absence("lee"),)), MONDAY, MONDAY + WEEK)

    assert [pair(one) for one in found] == [("nadia", "omar"), ("omar", "pia"), ("nadia", "omar")]
    assert found[1].reason == "lee is absent"


# Swaps


def test_a_swap_exchanges_two_people_in_the_week_given_and_in_the_next_one_of_the_other() -> None:
    wanted = rotation(swaps=(Swap(week=date(2026, 1, 5), give="nadia", take="pia"),))

    assert pairs(wanted, length=4 * WEEK) == [("pia", "omar"), ("omar", "pia"), ("nadia", "pia"), ("nadia", "omar")]
    assert [one.reason for one in shifts(wanted, MONDAY, MONDAY + 2 * WEEK)] == [
        "nadia and pia have swapped",
        "by the order",
    ]


def test_a_swap_with_the_secondary_makes_the_one_who_gave_secondary() -> None:
    wanted = rotation(swaps=(Swap(week=date(2026, 1, 11), give="nadia", take="omar"),))

    assert pairs(wanted, length=2 * WEEK) == [("omar", "nadia"), ("nadia", "pia")]


def test_the_week_in_return_may_be_named() -> None:
    swap = Swap(week=date(2026, 1, 5), give="nadia", take="omar", in_return=date(2026, 2, 2))
    wanted = rotation(swaps=(swap,))

    assert swapped_weeks(wanted, swap) == (0, 4)
    assert [one.primary for one in shifts(wanted, MONDAY, MONDAY + 5 * WEEK)] == [
        "omar",
        "omar",
        "pia",
        "nadia",
        "nadia",
    ]


@pytest.mark.parametrize(
    ("swap", "problem"),
    [
        (Swap(week=date(2026, 1, 5), give="nadia", take="omar"), ""),
        (Swap(week=date(2026, 1, 5), give="nadia", take="nadia"), "nadia cannot swap with themselves"),
        (Swap(week=date(2026, 1, 4), give="nadia", take="omar"), "the week of 2026-01-04 is not nadia's but pia's"),
        (
            Swap(week=date(2026, 1, 5), give="nadia", take="lee"),
            "lee has no week to give in return: use an override",
        ),
        (
            Swap(week=date(2026, 1, 5), give="nadia", take="omar", in_return=date(2026, 1, 19)),
            "the week of 2026-01-19 is not omar's but pia's",
        ),
    ],
)
def test_a_swap_that_makes_no_sense_is_told(swap: Swap, problem: str) -> None:
    assert swap_problem(rotation(), swap) == problem


# Absences


def test_a_long_absence_hands_the_duty_to_the_secondary_and_the_next_one_fills_in() -> None:
    found = shifts(rotation(absences=(absence("nadia"),)), MONDAY, MONDAY + WEEK)

    assert [pair(one) for one in found] == [("nadia", "omar"), ("omar", "pia"), ("nadia", "omar")]
    assert [one.reason for one in found] == ["by the order", "nadia is absent", "by the order"]


def test_an_absent_secondary_is_filled_in_for() -> None:
    assert pairs(rotation(absences=(absence("omar"),)))[1] == ("nadia", "pia")


def test_an_absence_of_somebody_without_duty_changes_nothing() -> None:
    assert pairs(rotation(absences=(absence("pia"),))) == [("nadia", "omar")]


@pytest.mark.parametrize(("length", "changes"), [(2 * HOUR, False), (2 * HOUR + timedelta(seconds=1), True)])
def test_an_absence_of_two_hours_changes_nothing_and_a_longer_one_does(length: timedelta, changes: bool) -> None:
    assert (len(pairs(rotation(absences=(absence("nadia", length=length),)))) == 3) is changes


def test_the_two_hours_are_true_hours_where_the_clock_is_changed() -> None:
    def away(start: str, end: str) -> bool:
        absent = Absence(person="nadia", start=moment_of(wall(start), BERLIN), end=moment_of(wall(end), BERLIN))
        return is_absent(rotation(absences=(absent,)), "nadia", absent.start)

    assert not away("2026-03-29 01:00", "2026-03-29 04:00")
    assert away("2026-10-25 01:30", "2026-10-25 03:00")


def test_absences_that_touch_are_one() -> None:
    early, late = absence("nadia", length=2 * HOUR), absence("nadia", start=MONDAY + DAY + HOUR, length=3 * HOUR)
    after = absence("nadia", start=MONDAY + DAY + 4 * HOUR, length=HOUR)
    found = shifts(rotation(absences=(after, late, early)), MONDAY, MONDAY + WEEK)

    assert (found[1].since, found[1].until, found[1].primary) == (MONDAY + DAY, MONDAY + DAY + 5 * HOUR, "omar")


def test_when_only_one_is_there_they_are_primary_and_nobody_is_secondary() -> None:
    found = shifts(rotation(absences=(absence("nadia"), absence("pia"))), MONDAY, MONDAY + WEEK)[1]

    assert (pair(found), found.reason) == (("omar", None), "nadia is absent; pia is absent")


def test_when_everybody_is_absent_the_planned_ones_keep_the_duty_and_nobody_is_asked() -> None:
    wanted = rotation(absences=tuple(absence(one) for one in ("nadia", "omar", "pia")))
    found = duty(wanted, MONDAY + DAY)

    assert (pair(found), found.reason) == (("nadia", "omar"), "everybody is absent")
    assert on_call_at(EVERYBODY, wanted, 1, MONDAY + DAY) == ()


# Whom to ask

EVERYBODY = People(
    by_id={
        one.id: one
        for one in (
            person("nadia"),
            person("omar"),
            person("pia", level=2),
            person("lee", level=2),
            person("max", level=4),
            person("bot", level=4, service=True),
        )
    }
)


def asked(wanted: Rotation | None, level: int, at: datetime = MONDAY + DAY) -> list[str]:
    return [one.id for one in on_call_at(EVERYBODY, wanted, level, at)]


def test_level_1_is_the_primary_and_then_the_secondary() -> None:
    assert asked(rotation("omar", "nadia"), 1) == ["omar", "nadia"]
    assert asked(rotation("omar", "nadia"), 1, MONDAY + WEEK) == ["nadia", "omar"]


def test_higher_levels_are_everybody_of_the_level_who_is_not_absent() -> None:
    assert asked(rotation(), 2) == ["lee", "pia"]
    assert asked(rotation(absences=(absence("pia"),)), 2) == ["lee"]
    assert asked(rotation(absences=(absence("max"),)), 4) == []


def test_a_level_that_nobody_has_asks_nobody() -> None:
    assert asked(rotation(), 3) == []
    assert EVERYBODY.levels_without_anybody() == (3,)


def test_without_a_rotation_level_1_is_everybody_of_the_level() -> None:
    assert asked(None, 1) == ["nadia", "omar"]


def test_a_hand_over_is_about_the_week_that_ends() -> None:
    assert watch_start(rotation(), MONDAY + WEEK - HOUR) == MONDAY
    assert watch_start(rotation(), MONDAY + WEEK) == MONDAY
    assert watch_start(rotation(), MONDAY + WEEK + 12 * HOUR) == MONDAY + WEEK


# Whatever is configured

NAMES = ["nadia", "omar", "pia", "lee", "kim"]
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Pacific/Apia"]
#: Around a change of the clock in each zone.
MOMENTS = st.datetimes(wall("2026-03-01"), wall("2026-04-20"), timezones=st.just(UTC))
SPANS = st.tuples(MOMENTS, st.timedeltas(timedelta(minutes=1), timedelta(days=20))).map(
    lambda span: {"start": span[0], "end": span[0] + span[1]}
)
PEOPLE = st.sampled_from(NAMES)


@st.composite
def rotations(draw: st.DrawFn) -> Rotation:
    order = draw(st.lists(PEOPLE, min_size=1, max_size=4, unique=True))
    bare = rotation(
        *order,
        zone=draw(st.sampled_from(ZONES)),
        start=date(2026, 1, 5),
        handover_day=draw(st.integers(0, 6)),
        handover_time=draw(st.times()),
        secondary_order=draw(st.lists(PEOPLE, max_size=3, unique=True)),
    )
    days = st.dates(date(2026, 3, 1), date(2026, 4, 20))
    return bare.model_copy(
        update={
            "overrides": tuple(
                Override(**span, person=draw(PEOPLE), position=draw(st.sampled_from(Position)))
                for span in draw(st.lists(SPANS, max_size=3))
            ),
            "swaps": tuple(
                Swap(week=draw(days), give=draw(st.sampled_from(order)), take=draw(st.sampled_from(order)))
                for _ in range(draw(st.integers(0, 2)))
            ),
            "absences": tuple(Absence(**span, person=draw(PEOPLE)) for span in draw(st.lists(SPANS, max_size=6))),
        }
    )


def called_upon(wanted: Rotation, at: datetime) -> set[str]:
    # Of two for the same duty, which remediate.yml refuses, the first holds.
    active = {entry.position: entry.person for entry in reversed(wanted.overrides) if entry.start <= at < entry.end}
    return {*wanted.order, *wanted.secondary_order, *active.values()}


@given(rotations(), MOMENTS)
def test_at_any_moment_one_is_primary_and_another_is_secondary(wanted: Rotation, at: datetime) -> None:
    found = duty(wanted, at)
    there = [one for one in called_upon(wanted, at) if not is_absent(wanted, one, at)]

    assert found.since <= at < found.until
    assert found.primary in called_upon(wanted, at)
    assert found.primary != found.secondary
    assert (found.secondary is None) <= (len(there) <= 1)


@given(rotations(), MOMENTS)
def test_nobody_absent_has_a_duty_unless_everybody_is_absent(wanted: Rotation, at: datetime) -> None:
    there = {one for one in wanted.order if not is_absent(wanted, one, at)}
    found = duty(wanted, at)

    if there:
        assert not is_absent(wanted, found.primary, at)
        assert found.secondary is None or not is_absent(wanted, found.secondary, at)


@given(rotations(), MOMENTS, st.timedeltas(timedelta(seconds=1), timedelta(weeks=5)), st.floats(0, 1))
def test_shifts_leave_no_gap_do_not_overlap_and_agree_with_the_duty_at_any_moment(
    wanted: Rotation, start: datetime, length: timedelta, part: float
) -> None:
    until = start + length
    found = shifts(wanted, start, until)
    at = min(start + length * part, until - timedelta(microseconds=1))

    assert found[0].since <= start < found[0].until
    assert found[-1].since < until <= found[-1].until
    assert all(earlier.until == later.since for earlier, later in pairwise(found))
    assert [one for one in found if one.since <= at < one.until] == [duty(wanted, at)]


@given(rotations(), MOMENTS)
def test_a_new_shift_begins_only_where_something_changes_or_a_week_ends(wanted: Rotation, at: datetime) -> None:
    found = duty(wanted, at)
    after = duty(wanted, found.until)
    week_ends = found.until == handover(wanted, week_of(wanted, found.until.astimezone(wanted.zone).date()))

    assert week_ends or (pair(after), after.reason) != (pair(found), found.reason)
