from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from remediate.catalog.settings import read_settings
from remediate.domain.freeze import Freeze, Once, Weekday, Weekly, Window
from remediate.errors import InvalidDocument

BERLIN = ZoneInfo("Europe/Berlin")
SECOND = timedelta(seconds=1)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def weekly(begins: str, ends: str, *days: Weekday, zone: ZoneInfo = BERLIN) -> Freeze:
    when = Weekly(
        days=frozenset(days or Weekday), begins=time.fromisoformat(begins), ends=time.fromisoformat(ends), zone=zone
    )
    return Freeze(name="nights", when=when, reason="people sleep")


def frozen(freeze: Freeze, *texts: str) -> list[bool]:
    return [freeze.window_at(moment(text)) is not None for text in texts]


def test_a_weekly_freeze_holds_by_the_clock_on_the_wall_of_its_zone() -> None:
    office = weekly("08:00", "18:00", Weekday.MON)

    assert frozen(
        office,
        "2026-01-05T07:59:59+01:00",
        "2026-01-05T08:00:00+01:00",
        "2026-01-05T17:59:59+01:00",
        "2026-01-05T18:00:00+01:00",
        "2026-07-06T08:00:00+02:00",
        "2026-07-06T07:59:59+02:00",
        "2026-01-06T12:00:00+01:00",
    ) == [False, True, True, False, True, False, False]


def test_a_weekly_freeze_that_ends_at_or_before_its_beginning_ends_on_the_next_day() -> None:
    weekend = weekly("22:00", "06:00", Weekday.FRI)
    whole_day = weekly("00:00", "00:00", Weekday.FRI)

    assert frozen(
        weekend,
        "2026-01-09T21:59:59+01:00",
        "2026-01-09T22:00:00+01:00",
        "2026-01-10T05:59:59+01:00",
        "2026-01-10T06:00:00+01:00",
        "2026-01-09T05:00:00+01:00",
    ) == [False, True, True, False, False]
    assert frozen(
        whole_day,
        "2026-01-08T23:59:59+01:00",
        "2026-01-09T00:00:00+01:00",
        "2026-01-09T23:59:59+01:00",
        "2026-01-10T00:00:00+01:00",
    ) == [False, True, True, False]


def test_a_day_is_that_of_the_zone_and_not_that_of_the_machine() -> None:
    tokyo = weekly("06:00", "07:00", Weekday.MON, zone=ZoneInfo("Asia/Tokyo"))

    assert frozen(tokyo, "2026-01-04T21:30:00+00:00", "2026-01-05T06:30:00+00:00") == [True, False]


def test_a_time_that_the_clock_shows_twice_begins_with_the_first_and_ends_with_the_last() -> None:
    # On 25 October 2026 in Berlin 02:00 to 03:00 comes twice: at 00:00 and at 01:00 UTC.
    assert weekly("02:15", "02:30", Weekday.SUN).window_at(moment("2026-10-25T00:20:00+00:00")) == Window(
        begins=moment("2026-10-25T00:15:00+00:00"), ends=moment("2026-10-25T01:30:00+00:00")
    )
    assert weekly("22:00", "02:30", Weekday.SAT).window_at(moment("2026-10-25T01:29:59+00:00")) is not None
    assert weekly("02:30", "06:00", Weekday.SUN).window_at(moment("2026-10-25T00:30:00+00:00")) is not None


def test_a_time_that_the_clock_skips_is_frozen_as_widely_as_it_can_be_read() -> None:
    # On 29 March 2026 in Berlin the clock goes from 02:00 to 03:00, at 01:00 UTC.
    assert weekly("02:15", "02:30", Weekday.SUN).window_at(moment("2026-03-29T01:00:00+00:00")) == Window(
        begins=moment("2026-03-29T00:15:00+00:00"), ends=moment("2026-03-29T01:30:00+00:00")
    )
    assert frozen(
        weekly("22:00", "06:00", Weekday.SAT),
        "2026-03-28T21:00:00+00:00",
        "2026-03-29T03:59:59+00:00",
        "2026-03-29T04:00:00+00:00",
    ) == [True, True, False]


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-24", 24)])
def test_a_whole_day_is_as_long_as_the_day_is(day: str, hours: int) -> None:
    freeze = weekly("00:00", "00:00", Weekday(f"{moment(day):%a}".lower()))
    window = freeze.window_at(moment(f"{day}T12:00:00+00:00"))

    assert window is not None
    assert window.ends - window.begins == timedelta(hours=hours)


def test_windows_that_touch_are_one_and_end_with_the_last() -> None:
    weekend = weekly("00:00", "00:00", Weekday.SAT, Weekday.SUN, zone=ZoneInfo("UTC"))

    assert weekend.window_at(moment("2026-01-10T08:00:00+00:00")) == Window(
        begins=moment("2026-01-10T00:00:00+00:00"), ends=moment("2026-01-12T00:00:00+00:00")
    )


def test_the_next_window_is_the_first_that_begins_later() -> None:
    office = weekly("08:00", "18:00", Weekday.MON, zone=ZoneInfo("UTC"))
    following = Window(begins=moment("2026-01-12T08:00:00+00:00"), ends=moment("2026-01-12T18:00:00+00:00"))

    assert office.next_window(moment("2026-01-05T08:00:00+00:00")) == following
    assert office.next_window(moment("2026-01-12T07:59:59+00:00")) == following


def test_a_freeze_that_happens_once_has_no_next_when_it_has_begun() -> None:
    window = Window(begins=datetime(2026, 1, 5, tzinfo=UTC), ends=datetime(2026, 1, 6, tzinfo=UTC))
    freeze = Freeze(name="move", when=Once(window=window), reason="boxes")

    assert freeze.next_window(window.begins - SECOND) == window
    assert freeze.next_window(window.begins) is None
    assert freeze.window_at(window.begins) == window
    assert freeze.window_at(window.ends) is None


SETTINGS = """\
version: 1
freezes:
  - name: christmas
    from: 2026-12-24T12:00:00+01:00
    to: 2026-12-27T08:00:00+01:00
    hard: true
    reason: nobody is there
  - name: evenings
    weekly: {days: [mon, fri], from: "22:00", to: "06:00", timezone: Europe/Berlin}
    groups: [web]
    runbooks: [disk-full]
    reason: backups
"""


def test_freezes_are_read_from_the_settings(tmp_path: Path) -> None:
    (tmp_path / "remediate.yml").write_text(SETTINGS)
    once, evenings = read_settings(tmp_path, {}).freezes

    assert once == Freeze(
        name="christmas",
        when=Once(window=Window(begins=moment("2026-12-24T11:00:00+00:00"), ends=moment("2026-12-27T07:00:00+00:00"))),
        hard=True,
        reason="nobody is there",
    )
    assert evenings == Freeze(
        name="evenings",
        when=Weekly(days=frozenset({Weekday.MON, Weekday.FRI}), begins=time(22), ends=time(6), zone=BERLIN),
        groups=("web",),
        runbooks=("disk-full",),
        reason="backups",
    )


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "remediate.yml"
    file.write_text(f"version: 1\n{text}")
    with pytest.raises(InvalidDocument) as refused:
        read_settings(tmp_path, {})
    return [line.removeprefix(f"{file}:") for line in refused.value.message.split("\n  ")[1:]]


def test_every_problem_of_the_freezes_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    text = """\
freezes:
  - name: a
    from: 2026-12-24
    to: 2026-12-27T08:00:00
    reason: r
  - name: b
    weekly: {days: [monday], from: 22:00, to: "24:00", timezone: Mars/Olympus}
    reason: r
  - name: c
    hard: perhaps
  - name: d
    from: 2026-12-27T08:00:00Z
    to: 2026-12-27T08:00:00Z
    reason: r
  - name: e
    from: 2026-12-27T08:00:00Z
    weekly: {days: [mon], from: "22:00", to: "23:00", timezone: UTC}
    reason: r
  - name: f
    weekly: {days: [mon, tue, wed, thu, fri, sat, sun], from: "00:00", to: "00:00", timezone: UTC}
    reason: r
  - {name: g, reason: r}
"""
    assert problems(tmp_path, text) == [
        "4: freezes.0.from: a moment with its offset such as 2026-12-24T18:00:00+01:00 is wanted, not 2026-12-24",
        "5: freezes.0.to: input should have timezone info",
        "8: freezes.1.weekly.days.0: input should be 'mon', 'tue', 'wed', 'thu', 'fri', 'sat' or 'sun'",
        '8: freezes.1.weekly.from: a time of day in quotes such as "06:30" or "22:00" is wanted, not 1320',
        '8: freezes.1.weekly.to: a time of day in quotes such as "06:30" or "22:00" is wanted, not \'24:00\'',
        "8: freezes.1.weekly.timezone: invalid timezone: Mars/Olympus",
        "11: freezes.2.hard: input should be a valid boolean",
        "10: freezes.2.reason: is missing",
        "12: freezes.3: to is not after from",
        "16: freezes.4: either from and to, or weekly",
        "21: freezes.5.weekly: it leaves no time at all; `remediate pause` stops everything",
        "23: freezes.6: from and to, or weekly, are missing",
    ]


def test_a_freeze_that_would_silently_hold_nothing_back_is_a_problem(tmp_path: Path) -> None:
    text = """\
freezes:
  - {name: a, from: 2026-12-24T12:00:00Z, to: 2026-12-25T12:00:00Z, reason: r}
  - name: a
    from: 2026-12-24T12:00:00Z
    to: 2026-12-25T12:00:00Z
    reason: r
    runbooks: [disk-full, disk-ful]
"""
    assert problems(tmp_path, text) == [
        "4: freezes.1.name: a stands twice",
        "8: freezes.1.runbooks: there is no runbook 'disk-ful'",
    ]


@pytest.mark.parametrize("value", ["1735689600", "true", "[]", "soon"])
def test_what_is_no_moment_is_refused(tmp_path: Path, value: str) -> None:
    text = f"freezes:\n  - {{name: a, from: {value}, to: 2026-12-25T12:00:00Z, reason: r}}\n"
    (problem,) = problems(tmp_path, text)

    assert problem.startswith("3: freezes.0.from: a moment with its offset such as 2026-12-24T18:00:00+01:00 is wanted")


def test_a_weekly_freeze_needs_a_day(tmp_path: Path) -> None:
    text = 'freezes: [{name: a, weekly: {days: [], from: "01:00", to: "02:00", timezone: UTC}, reason: r}]\n'

    assert problems(tmp_path, text) == ["2: freezes.0.weekly: days: at least one is wanted"]
