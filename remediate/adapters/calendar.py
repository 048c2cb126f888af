"""The rotation as a calendar that other programs subscribe to: the only importer of `icalendar`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime

from icalendar import Calendar, Event

from remediate.domain.people import People
from remediate.domain.rotation import Duty, Rotation


def rendered(shifts: Iterable[Duty], people: People, rotation: Rotation, now: datetime) -> bytes:
    """Return shifts as an iCalendar document (RFC 5545), one event each, in UTC.

    The id of an event is the moment at which its shift begins: whoever reads the calendar again replaces what has
    changed instead of showing it twice. How people are reached is left out: calendars are shared more widely than that.
    """
    calendar = Calendar()
    calendar.add("prodid", "-//remediate//on call//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", "On call")
    for shift in shifts:
        calendar.add_component(_event(shift, people, rotation, now))
    document: bytes = calendar.to_ical()
    return document


def _event(shift: Duty, people: People, rotation: Rotation, now: datetime) -> Event:
    event = Event()
    event.add("uid", f"{shift.since:%Y%m%dT%H%M%SZ}.{_series(rotation)}@oncall.remediate")
    event.add("dtstamp", now)
    event.add("dtstart", shift.since)
    event.add("dtend", shift.until)
    second = f", then {_name(people, shift.secondary)}" if shift.secondary else ""
    event.add("summary", _single_line(f"On call: {_name(people, shift.primary)}{second}"))
    event.add("description", _single_line(shift.reason))
    event.add("transp", "TRANSPARENT")
    return event


def _series(rotation: Rotation) -> str:
    """What tells this rotation from others and stays when its people change."""
    frame = f"{rotation.zone.key}|{rotation.start}|{rotation.handover_day}|{rotation.handover_time}"
    return hashlib.sha256(frame.encode()).hexdigest()[:12]


def _name(people: People, person: str) -> str:
    known = people.by_id.get(person)
    return known.name if known else person


def _single_line(text: str) -> str:
    """Text without line ends and other characters that nobody sees: what reads them may not unescape them rightly."""
    return "".join(character if character.isprintable() else " " for character in text)
