"""`remediate oncall`: who is on call, who is next, what is handed over, and the same as a calendar."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from remediate.adapters.clock import SystemClock
from remediate.catalog.settings import Settings, read_settings
from remediate.domain.people import People, Person
from remediate.domain.rotation import Duty, Rotation, duty, on_call_at, shifts
from remediate.engine.handover import Checklist, Point, Standing
from remediate.errors import UsageError
from remediate.interfaces.cli.text import printable

_LEVELS = (1, 2, 3, 4)
_MARKS = {Standing.CLEAR: "[ok]", Standing.LOOK: "[LOOK]", Standing.UNKNOWN: "[?]"}

_as_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")


@click.group(
    "oncall",
    invoke_without_command=True,
    help="Show who is on call and who is asked at each level; `next`, `handover` and `ics` show more.",
)
@_as_json
@click.pass_context
def oncall_command(ctx: click.Context, *, as_json: bool) -> int | None:
    """Show who is on call now, unless something else is asked for."""
    return None if ctx.invoked_subcommand else _show_now(ctx.obj, as_json=as_json)


@oncall_command.command("now", help="Show who is on call now, until when, and how they are reached.")
@_as_json
@click.pass_obj
def now_command(path: Path, *, as_json: bool) -> int:
    """Show who is on call now."""
    return _show_now(path, as_json=as_json)


@oncall_command.command("next", help="Show who is on call in the next weeks.")
@click.option("--weeks", default=4, show_default=True, type=click.IntRange(1, 104), help="How many weeks.")
@_as_json
@click.pass_obj
def next_command(path: Path, weeks: int, *, as_json: bool) -> int:
    """Show the shifts of the next weeks, beginning with the one that goes on."""
    rotation = read_settings(path).required_rotation()
    coming = _coming(rotation, SystemClock().now(), weeks)
    if as_json:
        click.echo(json.dumps([shift.model_dump(mode="json") for shift in coming], indent=2))
        return 0
    for shift in coming:
        click.echo(_shift_line(shift, rotation.zone))
    return 0


@oncall_command.command("handover", help="Show the checklist of a hand-over, with its values now.")
@_as_json
@click.pass_obj
def handover_command(path: Path, *, as_json: bool) -> int:
    """Show what the next one on call has to know."""
    # Everything else here reads remediate.yml alone, and works when the record does not.
    from remediate.interfaces.cli.site import opened  # noqa: PLC0415  # only this needs the engine and the record

    with opened(path, executing=False) as site:
        checklist, settings = site.handover(), site.settings
    if as_json:
        click.echo(checklist.model_dump_json(indent=2))
        return 0
    for line in _checklist_lines(checklist, settings.required_rotation()):
        click.echo(line)
    return 0


@oncall_command.command("ics", help="Print the shifts as an iCalendar document, or write it to a file.")
@click.option("--output", "-o", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write it here.")
@click.option("--weeks", default=13, show_default=True, type=click.IntRange(1, 104), help="How many weeks.")
@click.pass_obj
def ics_command(path: Path, output: Path | None, weeks: int) -> int:
    """Export the shifts of the next weeks."""
    from remediate.adapters.calendar import rendered  # noqa: PLC0415  # only this pays for icalendar

    settings = read_settings(path)
    rotation, now = settings.required_rotation(), SystemClock().now()
    coming = _coming(rotation, now, weeks)
    document = rendered(coming, settings.people, rotation, now)
    if output is None:
        click.echo(document, nl=False)
        return 0
    _replace(output, document)
    click.echo(f"Wrote {len(coming)} shifts to {output}.")
    return 0


def _show_now(path: Path, *, as_json: bool) -> int:
    settings = read_settings(path)
    rotation, now = settings.required_rotation(), SystemClock().now()
    if as_json:
        click.echo(json.dumps(_now_document(settings, rotation, now), indent=2))
        return 0
    for line in _now_lines(settings.people, rotation, now):
        click.echo(line)
    return 0


def _now_lines(people: People, rotation: Rotation, now: datetime) -> Iterator[str]:
    shift = duty(rotation, now)
    yield f"On call at {_local(now, rotation.zone)}, {printable(shift.reason)}"
    yield from _person_lines("Primary", people.by_id[shift.primary], f", until {_local(shift.until, rotation.zone)}")
    if shift.secondary:
        yield from _person_lines("Secondary", people.by_id[shift.secondary])
    else:
        yield "Secondary  nobody"
    for level in _LEVELS[1:]:
        asked = on_call_at(people, rotation, level, now)
        for person in asked:
            yield from _person_lines(f"Level {level}", person)
        if not asked:
            yield f"Level {level}    nobody: {_why_nobody(people, level)}"


def _why_nobody(people: People, level: int) -> str:
    if level in people.levels_without_anybody():
        return "no person in remediate.yml has this level"
    return "everybody of this level is absent"


def _person_lines(title: str, person: Person, more: str = "") -> Iterator[str]:
    yield f"{title:10} {printable(person.name)} ({person.id}){more}"
    yield f"{'':10} {', '.join(f'{way} {printable(address)}' for way, address in person.contacts.items())}"


def _now_document(settings: Settings, rotation: Rotation, now: datetime) -> dict[str, object]:
    people = settings.people
    shift = duty(rotation, now)
    return {
        "at": now.isoformat(),
        **shift.model_dump(mode="json"),
        "levels": {
            str(level): [_contact(person) for person in on_call_at(people, rotation, level, now)] for level in _LEVELS
        },
        "levels_without_anybody": people.levels_without_anybody(),
    }


def _contact(person: Person) -> dict[str, str]:
    return {"id": person.id, "name": person.name, **person.contacts}


def _coming(rotation: Rotation, now: datetime, weeks: int) -> tuple[Duty, ...]:
    return shifts(rotation, now, now + timedelta(weeks=weeks))


def _shift_line(shift: Duty, zone: ZoneInfo) -> str:
    hours = (shift.until - shift.since) / timedelta(hours=1)
    pair = f"{shift.primary}, then {shift.secondary}" if shift.secondary else f"{shift.primary}, nobody after"
    frame = f"{_local(shift.since, zone):25} to {_local(shift.until, zone):25}  {hours:5.4g} h"
    return f"{frame}  {pair:20}  {printable(shift.reason)}"


def _checklist_lines(checklist: Checklist, rotation: Rotation) -> Iterator[str]:
    at, since = (_local(moment, rotation.zone) for moment in (checklist.at, checklist.since))
    yield f"Hand-over at {at}, with what was since {since}"
    for point in checklist.points:
        yield from _point_lines(point)
    yield "Shifts"
    for shift in _coming(rotation, checklist.at, 1):
        yield f"  {_shift_line(shift, rotation.zone)}"
    yield "  next: `remediate doctor` shows whether every host can be worked on"


def _point_lines(point: Point) -> Iterator[str]:
    yield f"  {_MARKS[point.standing]:6} {point.name}: {point.summary}"
    yield from (f"           {printable(detail)}" for detail in point.details)


def _local(moment: datetime, zone: ZoneInfo) -> str:
    """A moment as a person in the time zone reads it: `Mon 2026-11-30 09:00 CET`."""
    return f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M %Z}"


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a web server may be reading it."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        with suppress(OSError):  # what cannot be written may not be there to be removed
            unfinished.unlink()
        raise UsageError(f"{path} cannot be written: {error.strerror}.", next_step="name another file") from error
