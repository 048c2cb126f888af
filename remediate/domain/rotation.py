"""The on-call rotation: who has the duty at a moment, exactly, through swaps, absences and changes of the clock.

A week begins at a hand-over, which is a wall time of the rotation's zone: a week is 167 or 169 hours long where the
clock is changed. Moments are in UTC throughout: two wall times of one zone cannot be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AwareDatetime, Field

from remediate.domain.people import People, Person
from remediate.domain.value import Value

#: An absence up to this long changes nothing; a longer one hands the duty over.
TOLERATED_ABSENCE = timedelta(hours=2)

#: For so long after a hand-over the week that matters is the one that was handed over.
JUST_TAKEN_OVER = timedelta(hours=12)

Moment = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]


class Position(StrEnum):
    """One of the two duties of a week."""

    PRIMARY = "primary"
    SECONDARY = "secondary"


class Override(Value):
    """Somebody has a duty for a while, whatever the order says."""

    start: Moment
    end: Moment
    person: str
    position: Position
    reason: str = ""


class Swap(Value):
    """Two people exchange their places in two weeks: one that the first is primary in, and one of the other."""

    #: A date in the week that `give` gives away.
    week: date
    give: str
    take: str
    #: A date in the week that `give` has in return; None means the next week that `take` is primary in.
    in_return: date | None = None


class Absence(Value):
    """Somebody is not there."""

    person: str
    start: Moment
    end: Moment


class Rotation(Value):
    """Who has the duty in turn, week by week, and every exception from it."""

    zone: ZoneInfo
    #: 0 is Monday.
    handover_day: int = Field(default=0, ge=0, le=6)
    handover_time: time = time(9)
    #: A date in the week that the first of the order has; the order goes on from it, forwards and backwards.
    start: date
    order: tuple[str, ...] = Field(min_length=1)
    #: The secondaries in turn; none named means that the secondary is the one who is primary next.
    secondary_order: tuple[str, ...] = ()
    overrides: tuple[Override, ...] = ()
    swaps: tuple[Swap, ...] = ()
    absences: tuple[Absence, ...] = ()


class Duty(Value):
    """Who has the duty from one moment to another, and why it is them."""

    primary: str
    #: None when nobody else is there.
    secondary: str | None
    since: datetime
    until: datetime
    reason: str


def moment_of(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment of a wall time, in UTC, as RFC 5545 has it.

    Of a wall time that comes twice the first is meant. One that is skipped is counted from before the change: where the
    clock goes from 02:00 to 03:00, half past two is half past three.
    """
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


def week_of(rotation: Rotation, day: date) -> int:
    """Return the number of the week whose hand-over is on this date or was last before it; that of `start` is 0."""
    return (day - _first_day(rotation)).days // 7


def handover(rotation: Rotation, week: int) -> datetime:
    """Return the moment at which a week begins."""
    day = _first_day(rotation) + timedelta(weeks=week)
    return moment_of(datetime.combine(day, rotation.handover_time), rotation.zone)


def watch_start(rotation: Rotation, at: datetime) -> datetime:
    """Return the beginning of the week that a hand-over at a moment is about.

    It is the last hand-over; in the first hours after it, when the new one asks what there was, the one before that.
    """
    week = _week_at(rotation, at)
    return handover(rotation, week - 1 if at - handover(rotation, week) < JUST_TAKEN_OVER else week)


def duty(rotation: Rotation, at: datetime) -> Duty:
    """Return who has the duty at a moment, since when, and until when nothing changes."""
    return next(found for found in _duties(rotation, _week_at(rotation, at)) if found.since <= at < found.until)


def shifts(rotation: Rotation, start: datetime, until: datetime) -> tuple[Duty, ...]:
    """Return every duty between two moments, without gap or overlap; the first and the last may reach beyond them."""
    weeks = range(_week_at(rotation, start), _week_at(rotation, until) + 1)
    found = (entry for week in weeks for entry in _duties(rotation, week))
    return tuple(entry for entry in found if entry.until > start and entry.since < until)


def on_call_at(people: People, rotation: Rotation | None, level: int, at: datetime) -> tuple[Person, ...]:
    """Return whom to ask at a level, the first one first; nobody when all of them are absent or there is none.

    Level 1 is the primary, then the secondary; at the other levels, and without a rotation, everybody of the level.
    """
    if rotation is None:
        return people.of_level(level)
    asked = _asked(people, rotation, level, at)
    return tuple(person for person in asked if not is_absent(rotation, person.id, at))


def is_absent(rotation: Rotation, person: str, at: datetime) -> bool:
    """Return whether a person is absent at a moment, for longer than can be waited for."""
    return any(start <= at < end for start, end in _away(rotation, person) if end - start > TOLERATED_ABSENCE)


def swap_problem(rotation: Rotation, swap: Swap) -> str:
    """Return why a swap makes no sense in the order, or an empty string."""
    if swap.give == swap.take:
        return f"{swap.give} cannot swap with themselves"
    if swap.take not in rotation.order:
        return f"{swap.take} has no week to give in return: use an override"
    given = week_of(rotation, swap.week)
    if (holder := _turn(rotation, given)) != swap.give:
        return f"the week of {swap.week} is not {swap.give}'s but {holder}'s"
    if swap.in_return and (holder := _turn(rotation, week_of(rotation, swap.in_return))) != swap.take:
        return f"the week of {swap.in_return} is not {swap.take}'s but {holder}'s"
    return ""


def swapped_weeks(rotation: Rotation, swap: Swap) -> tuple[int, int]:
    """Return the numbers of the two weeks that a swap exchanges; it is one when `take` has none to give in return."""
    given = week_of(rotation, swap.week)
    if swap.in_return:
        return given, week_of(rotation, swap.in_return)
    later = range(given + 1, given + 1 + len(rotation.order))
    return given, next((week for week in later if _turn(rotation, week) == swap.take), given)


def _first_day(rotation: Rotation) -> date:
    return rotation.start - timedelta(days=(rotation.start.weekday() - rotation.handover_day) % 7)


def _week_at(rotation: Rotation, at: datetime) -> int:
    """The last week that has begun; the date alone does not tell, as the hand-over is in the middle of one."""
    week = week_of(rotation, at.astimezone(rotation.zone).date()) + 1
    while handover(rotation, week) > at:
        week -= 1
    return week


def _turn(rotation: Rotation, week: int) -> str:
    """Who is primary by the order alone."""
    return rotation.order[week % len(rotation.order)]


def _duties(rotation: Rotation, week: int) -> tuple[Duty, ...]:
    """The duties of one week: a new one begins wherever something changes for those who have it."""
    begin, end = handover(rotation, week), handover(rotation, week + 1)
    spans: tuple[Override | Absence, ...] = (*rotation.overrides, *rotation.absences)
    changes = {moment for span in spans for moment in (span.start, span.end) if begin < moment < end}
    swaps = [swap for swap in rotation.swaps if week in swapped_weeks(rotation, swap)]
    line = _line_up(rotation, week, swaps)
    found: list[Duty] = []
    for since, until in pairwise(sorted({begin, end} | changes)):
        entry = _duty_between(rotation, line, swaps, since, until)
        if found and found[-1].model_copy(update={"since": since, "until": until}) == entry:
            entry = entry.model_copy(update={"since": found.pop().since})
        found.append(entry)
    return tuple(found)


def _line_up(rotation: Rotation, week: int, swaps: Iterable[Swap]) -> tuple[str, ...]:
    """Everybody in the order in which they are called upon in a week: primary, secondary, and who comes next."""
    seconds = _turned(rotation.secondary_order, week) or _turned(rotation.order, week + 1)
    line = _once((_turn(rotation, week), *seconds, *_turned(rotation.order, week + 1)))
    for swap in swaps:
        places = {swap.give: swap.take, swap.take: swap.give}
        line = tuple(places.get(person, person) for person in line)
    return line


def _duty_between(
    rotation: Rotation, line: Sequence[str], swaps: Iterable[Swap], since: datetime, until: datetime
) -> Duty:
    """The duty in a time in which nothing changes: of those who are called upon, the first two who are there."""
    # The first one wins; remediate.yml is refused when there are two at once.
    active = {entry.position: entry for entry in reversed(rotation.overrides) if entry.start <= since < entry.end}
    first, second = active.get(Position.PRIMARY), active.get(Position.SECONDARY)
    planned = [first.person if first else line[0], *([second.person] if second else [])]
    called = _once((*planned, *line[1:], line[0]))
    there = [person for person in called if not is_absent(rotation, person, since)]
    on_duty = (there or list(called))[:2]
    reasons = [
        *(f"{swap.give} and {swap.take} have swapped" for swap in swaps),
        *(_override_words(entry) for entry in (first, second) if entry and entry.person in on_duty),
        *(_absence_words(called, there)),
    ]
    return Duty(
        primary=on_duty[0],
        secondary=on_duty[1] if len(on_duty) > 1 else None,
        since=since,
        until=until,
        reason="; ".join(reasons) or "by the order",
    )


def _absence_words(called: Sequence[str], there: Sequence[str]) -> list[str]:
    """Name those whose absence is why others are called upon."""
    if not there:
        return ["everybody is absent"]
    last = called.index(there[1]) if len(there) > 1 else len(called)
    return [f"{person} is absent" for person in called[:last] if person not in there]


def _override_words(override: Override) -> str:
    why = f": {override.reason}" if override.reason else ""
    return f"override, {override.person} as {override.position.value}{why}"


def _asked(people: People, rotation: Rotation, level: int, at: datetime) -> tuple[Person, ...]:
    if level != 1:
        return people.of_level(level)
    now = duty(rotation, at)
    return tuple(people.by_id[person] for person in (now.primary, now.secondary) if person)


def _away(rotation: Rotation, person: str) -> list[tuple[datetime, datetime]]:
    """The absences of a person; those that touch are one, so that a long one cannot be written as many short ones."""
    merged: list[tuple[datetime, datetime]] = []
    spans = ((entry.start, entry.end) for entry in rotation.absences if entry.person == person)
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _turned(order: Sequence[str], by: int) -> tuple[str, ...]:
    places = by % len(order) if order else 0
    return (*order[places:], *order[:places])


def _once(people: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(people))
