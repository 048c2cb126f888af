"""When cron expressions are due, most of all around changes of the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.domain.cron import check_cron, following, latest, shortest_gap

BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
MINUTE = timedelta(minutes=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def every(cron: str, zone: ZoneInfo, begins: str, ends: str) -> list[str]:
    """Every moment from one to another at which an expression is due."""
    found, now = [], at(begins) - MINUTE
    while (due := following(cron, zone, now)) and due <= at(ends):
        found.append(f"{due:%d %H:%M}")
        now = due
    return found


@pytest.mark.parametrize(
    ("cron", "zone", "begins", "ends", "expected"),
    [
        # The clock goes from 02:00 to 03:00 on 29 March: 01:00 in UTC.
        ("30 2 * * *", BERLIN, "2026-03-28", "2026-03-30 12:00", ["28 01:30", "29 01:00", "30 00:30"]),
        ("30 2,3 * * *", BERLIN, "2026-03-29", "2026-03-29 12:00", ["29 01:00", "29 01:30"]),
        ("0,30 2 * * *", BERLIN, "2026-03-29", "2026-03-29 12:00", ["29 01:00"]),
        ("*/30 * * * *", BERLIN, "2026-03-29 00:30", "2026-03-29 01:30", ["29 00:30", "29 01:00", "29 01:30"]),
        # The clock goes from 03:00 to 02:00 on 25 October: 01:00 in UTC.
        ("30 2 * * *", BERLIN, "2026-10-24", "2026-10-26 12:00", ["24 00:30", "25 00:30", "26 01:30"]),
        ("*/30 * * * *", BERLIN, "2026-10-25 00:30", "2026-10-25 01:30", ["25 00:30", "25 01:00", "25 01:30"]),
        # By half an hour only: from 02:00 to 02:30 on 4 October, back on 5 April.
        ("15 2 * * *", LORD_HOWE, "2026-10-02 18:00", "2026-10-05", ["03 15:30", "04 15:15"]),
        ("45 1 * * *", LORD_HOWE, "2026-04-03", "2026-04-05", ["03 14:45", "04 14:45"]),
        ("0 5 1 * *", ZoneInfo("UTC"), "2026-01-01", "2026-04-01", ["01 05:00", "01 05:00", "01 05:00"]),
        ("0 3 29 2 *", ZoneInfo("UTC"), "2026-01-01", "2030-01-01", ["29 03:00"]),
    ],
)
def test_what_is_due_between_two_moments(
    cron: str, zone: ZoneInfo, begins: str, ends: str, expected: list[str]
) -> None:
    assert every(cron, zone, begins, ends) == expected


def test_what_was_due_in_the_first_coming_of_an_hour_is_found_in_its_second() -> None:
    assert latest("30 2 * * *", BERLIN, at("2026-10-25 01:15")) == at("2026-10-25 00:30")
    assert following("30 2 * * *", BERLIN, at("2026-10-25 01:15")) == at("2026-10-26 01:30")


@given(
    cron=st.sampled_from(["30 2 * * *", "*/20 * * * *", "15 */2 * * *", "0,45 1-3 * * *", "5 1 * * mon", "0 0 1 * *"]),
    zone=st.sampled_from([BERLIN, LORD_HOWE, ZoneInfo("America/New_York"), ZoneInfo("UTC")]),
    change=st.sampled_from(["2026-03-29", "2026-10-25", "2026-04-05", "2026-10-04", "2026-03-08", "2026-11-01"]),
    seconds=st.integers(-86400, 86400),
)
def test_forwards_and_backwards_tell_the_same(cron: str, zone: ZoneInfo, change: str, seconds: int) -> None:
    now = at(change) + timedelta(seconds=seconds, microseconds=seconds % 2)
    last, after = latest(cron, zone, now), following(cron, zone, now)
    assert last is not None
    assert after is not None

    assert last <= now < after
    assert following(cron, zone, last) == after
    assert latest(cron, zone, after) == after


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 2 * *", "five fields are wanted"),
        ("0 0 2 * * *", "five fields are wanted"),
        ("@daily", "five fields are wanted"),
        ("60 2 * * *", "minute is wrong"),
        ("0 24 * * *", "hour is wrong"),
        ("0 2 * * monday", "day-of-week is wrong"),
        ("0 2 0 * *", "day-of-month is wrong"),
        ("0 2 30 2 *", "day-of-month is wrong"),
        ("0 2 * * 1#x", "day-of-week is wrong"),
        ("0 2 L 2 #", "day-of-week is wrong"),
    ],
)
def test_what_is_no_expression_is_refused_saying_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_cron(text)


def test_how_close_two_occurrences_come() -> None:
    assert shortest_gap("0 2,3 * * *", ZoneInfo("UTC")) == timedelta(hours=1)
    assert shortest_gap("30 2,3 * * *", BERLIN) == timedelta(minutes=30)
    assert shortest_gap("0 5 1 * *", ZoneInfo("UTC")) == timedelta(days=28)
