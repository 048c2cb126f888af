from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar

from remediate.adapters.calendar import rendered
from remediate.domain.people import People
from remediate.domain.rotation import Duty, Override, Position, Rotation, duty, shifts
from remediate.testing import EPOCH
from tests.builders import person, rotation

PEOPLE = People(by_id={one.id: one for one in (person("nadia"), person("omar"), person("pia"))})
MARCH = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def events(wanted: Rotation, found: tuple[Duty, ...], people: People = PEOPLE, now: datetime = EPOCH) -> list[Any]:
    """Write a calendar and read it back."""
    document = rendered(found, people, wanted, now)
    assert all(len(line) <= 75 for line in document.split(b"\r\n")), "the format folds longer lines"
    assert b"\n" not in document.replace(b"\r\n", b"")
    calendar: Any = Calendar.from_ical(document)
    assert (calendar["version"], calendar["prodid"], calendar["method"]) == (
        "2.0",
        "-//remediate//on call//EN",
        "PUBLISH",
    )
    assert [part.errors for part in calendar.walk()] == [[]] * len(calendar.walk())
    return list(calendar.walk("VEVENT"))


def test_every_shift_is_an_event_at_its_exact_moments_through_a_change_of_the_clock() -> None:
    wanted = rotation()
    found = shifts(wanted, MARCH, MARCH + timedelta(weeks=5))
    read = events(wanted, found)

    assert [(event.decoded("dtstart"), event.decoded("dtend")) for event in read] == [
        (shift.since, shift.until) for shift in found
    ]
    assert [str(event["summary"]) for event in read[:3]] == [
        "On call: Pia, then Nadia",
        "On call: Nadia, then Omar",
        "On call: Omar, then Pia",
    ]
    assert all(event.decoded("dtstamp") == EPOCH for event in read)
    assert {f"{event.decoded('dtstart').astimezone(ZoneInfo('Europe/Berlin')):%a %H:%M}" for event in read} == {
        "Mon 09:00"
    }


def test_an_event_says_why_and_not_how_anybody_is_reached() -> None:
    wanted = rotation("nadia")
    document = rendered((duty(wanted, MARCH),), PEOPLE, wanted, EPOCH)

    assert b"DESCRIPTION:by the order" in document
    assert b"SUMMARY:On call: Nadia\r\n" in document
    assert b"example.org" not in document


def test_an_event_keeps_its_id_when_its_people_change_and_another_rotation_has_others() -> None:
    def ids(wanted: Rotation) -> list[str]:
        return [str(event["uid"]) for event in events(wanted, shifts(wanted, MARCH, MARCH + timedelta(weeks=4)))]

    before = ids(rotation())

    assert len(set(before)) == len(before) == 5
    assert ids(rotation("pia", "omar")) == before
    assert not set(ids(rotation(zone="Europe/Madrid"))) & set(before)
    assert before[0] == "20260302T080000Z.6ae8bc69ce9a@oncall.remediate"


HOSTILE = st.text(st.characters(codec="utf-8"), max_size=120) | st.sampled_from(
    [
        "x\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nSUMMARY:y",
        "\\n;,:\\",
        "a\nATTENDEE:mailto:x@y",
        "\x85BEGIN:VALARM",
        "\u2028END:VCALENDAR",
    ]
)


@given(HOSTILE, HOSTILE)
def test_text_from_outside_never_becomes_a_line_of_its_own(name: str, reason: str) -> None:
    people = People(by_id={"nadia": person("nadia", name=name), "omar": person("omar")})
    moments = {"start": MARCH, "end": MARCH + timedelta(days=1)}
    wanted = rotation(
        "omar", overrides=(Override(**moments, person="nadia", position=Position.PRIMARY, reason=reason),)
    )
    (event,) = events(wanted, (duty(wanted, MARCH),), people)

    assert set(event) == {"UID", "DTSTAMP", "DTSTART", "DTEND", "SUMMARY", "DESCRIPTION", "TRANSP"}
    assert str(event["summary"]) == f"On call: {shown(name)}, then Omar"
    assert str(event["description"]) == f"override, nadia as primary{': ' if reason else ''}{shown(reason)}"


def shown(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
