"""The section `on_call` of `remediate.yml`: the weekly rotation and its exceptions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, time
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from remediate.catalog.document import Document, Location, Problems
from remediate.catalog.people import Line, PersonEntry
from remediate.catalog.time_zone import Day, LocalMoment, Zone
from remediate.domain.rotation import (
    Absence,
    Override,
    Position,
    Rotation,
    Swap,
    moment_of,
    swap_problem,
    swapped_weeks,
)


class Weekday(StrEnum):
    """The days of the week, in order."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


def parse_time_of_day(value: object) -> time:
    """Return a time of day written as HH:MM; raises ValueError for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and 60 <= value < 24 * 60:
        # YAML reads 10:00 without quotes as a number of base 60, and 09:00 as text.
        return time(*divmod(value, 60))
    if not isinstance(value, str) or not re.fullmatch(r"([01]?[0-9]|2[0-3]):[0-5][0-9]", value):
        raise ValueError(f'a time of day such as "09:00" is wanted, not {value!r}')
    hour, minute = value.split(":")
    return time(int(hour), int(minute))


TimeOfDay = Annotated[
    time,
    BeforeValidator(parse_time_of_day),
    WithJsonSchema({"type": "string", "pattern": "^([01]?[0-9]|2[0-3]):[0-5][0-9]$", "examples": ["09:00"]}),
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HandoverEntry(_Part):
    """When a week of duty begins."""

    day: Weekday = Field(default=Weekday.MONDAY, description="Day of the week.")
    time: TimeOfDay = Field(
        default="09:00", validate_default=True, description="Time of day in the time zone, in quotes."
    )


class SpanEntry(_Part):
    """From one moment to another."""

    start: LocalMoment = Field(alias="from", description="When it begins, in the time zone unless an offset is given.")
    end: LocalMoment = Field(alias="to", description="When it ends, likewise.")


class OverrideEntry(SpanEntry):
    """Somebody has a duty for a while, whatever the order says."""

    person: Line = Field(description="Who has it.")
    position: Position = Field(alias="as", description="Which duty: primary or secondary.")
    reason: Line = Field(default="", max_length=200, description="Why, for the others to read.")


class AbsenceEntry(SpanEntry):
    """Somebody is not there; for longer than 2 h this hands the duty to the secondary."""

    person: Line = Field(description="Who is away.")


class SwapEntry(_Part):
    """Two people exchange their places in two weeks."""

    week: Day = Field(description="A date in the week that `give` is primary in and gives away.")
    give: Line = Field(description="Who gives the week away.")
    take: Line = Field(description="Who takes it.")
    in_return: Day | None = Field(
        default=None, description="A date in the week that `give` takes in return; none means the next one of `take`."
    )


class OnCallSection(_Part):
    """Who is on call at level 1, week by week."""

    time_zone: Zone = Field(description="The time zone of all times here, by its IANA name.")
    handover: HandoverEntry = Field(default=HandoverEntry(), description="When a week of duty begins.")
    start: Day = Field(description="A date in the week that the first of the order has.")
    order: tuple[Line, ...] = Field(min_length=1, description="The people who are primary in turn, a week each.")
    secondary_order: tuple[Line, ...] = Field(
        default=(), description="The people who are secondary in turn; none means who is primary next."
    )
    overrides: tuple[OverrideEntry, ...] = Field(default=(), description="Duties that differ for a while.")
    swaps: tuple[SwapEntry, ...] = Field(default=(), description="Weeks that two people exchange.")
    absences: tuple[AbsenceEntry, ...] = Field(default=(), description="Who is away when.")


def read_rotation(section: OnCallSection) -> Rotation:
    """Return the rotation of a section, with all moments in UTC."""
    return Rotation(
        zone=section.time_zone,
        handover_day=list(Weekday).index(section.handover.day),
        handover_time=section.handover.time,
        start=section.start,
        order=section.order,
        secondary_order=section.secondary_order,
        overrides=tuple(
            Override(person=entry.person, position=entry.position, reason=entry.reason, **_span(section, entry))
            for entry in section.overrides
        ),
        swaps=tuple(Swap(**entry.model_dump()) for entry in section.swaps),
        absences=tuple(Absence(person=entry.person, **_span(section, entry)) for entry in section.absences),
    )


def check_on_call(
    section: OnCallSection, people: Mapping[str, PersonEntry], document: Document, problems: Problems
) -> None:
    """Note what no single field shows: unknown people, spans that end too early, two for one duty, bad swaps."""
    rotation = read_rotation(section)
    found = (
        *_people_problems(section, people),
        *_doubles(("order",), section.order),
        *_doubles(("secondary_order",), section.secondary_order),
        *_span_problems("overrides", rotation.overrides),
        *_span_problems("absences", rotation.absences),
        *_overlaps(rotation.overrides),
        *_swap_problems(rotation),
    )
    for location, what in found:
        document.note(("on_call", *location), what, problems)


def _span(section: OnCallSection, entry: SpanEntry) -> dict[str, datetime]:
    return {"start": _moment(entry.start, section.time_zone), "end": _moment(entry.end, section.time_zone)}


def _moment(written: datetime, zone: ZoneInfo) -> datetime:
    return written if written.tzinfo else moment_of(written, zone)


#: Where a problem is within the section, and what it is.
_Found = Iterator[tuple[Location, str]]


def _people_problems(section: OnCallSection, people: Mapping[str, PersonEntry]) -> _Found:
    for location, person_id, on_duty in _named(section):
        person = people.get(person_id)
        if person is None:
            yield location, f"{person_id!r} is nobody of `people`"
        elif on_duty and person.service:
            yield location, f"{person_id} is a service account: it has no duty"
        elif on_duty and person.level == 0:
            yield location, f"{person_id} has level 0 and could not approve anything: level 1 or higher is wanted"


def _named(section: OnCallSection) -> Iterator[tuple[Location, str, bool]]:
    """Everybody who is named anywhere, and whether that gives them a duty."""
    yield from ((("order", index), person, True) for index, person in enumerate(section.order))
    yield from ((("secondary_order", index), person, True) for index, person in enumerate(section.secondary_order))
    yield from ((("overrides", at, "person"), entry.person, True) for at, entry in enumerate(section.overrides))
    yield from ((("absences", at, "person"), entry.person, False) for at, entry in enumerate(section.absences))
    for at, swap in enumerate(section.swaps):
        yield ("swaps", at, "give"), swap.give, False
        yield ("swaps", at, "take"), swap.take, False


def _doubles(location: Location, order: Sequence[str]) -> _Found:
    for index, person in enumerate(order):
        if person in order[:index]:
            yield (*location, index), f"{person} stands in it twice"


def _span_problems(name: str, spans: Sequence[Override | Absence]) -> _Found:
    for index, span in enumerate(spans):
        if span.start >= span.end:
            yield (name, index, "to"), "ends before it begins, or at the same moment"


def _overlaps(overrides: Sequence[Override]) -> _Found:
    for index, later in enumerate(overrides):
        for earlier, other in enumerate(overrides[:index]):
            if other.position is later.position and max(other.start, later.start) < min(other.end, later.end):
                yield ("overrides", index), f"is at the same time as overrides.{earlier}, for the same duty"


def _swap_problems(rotation: Rotation) -> _Found:
    taken: dict[int, int] = {}
    for index, swap in enumerate(rotation.swaps):
        if problem := swap_problem(rotation, swap):
            yield ("swaps", index), problem
            continue
        for week in swapped_weeks(rotation, swap):
            if taken.setdefault(week, index) != index:
                yield ("swaps", index), f"exchanges a week that swaps.{taken[week]} exchanges already"
