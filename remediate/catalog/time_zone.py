"""Time zones by name, and moments as people write them in a document."""

from __future__ import annotations

from datetime import date, datetime
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, WithJsonSchema

_WANTED = "a moment such as 2026-12-24 18:00 is wanted"


def parse_zone(value: object) -> ZoneInfo:
    """Return a time zone of the IANA database; raises ValueError with the nearest name for anything else.

    Only names of the database pass: `localtime` would mean another zone on another machine.
    """
    if not isinstance(value, str) or value not in _names():
        near = get_close_matches(str(value), _names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ", such as Europe/Berlin"
        raise ValueError(f"{value!r} is no time zone of the IANA database{hint}")
    return ZoneInfo(value)


def parse_moment(value: object) -> datetime:
    """Return a wall time, or a moment where an offset is given; raises ValueError for a date without a time of day."""
    if isinstance(value, str):
        try:
            # A date alone would be accepted as midnight, and nobody knows whether the day itself is meant.
            value = datetime.fromisoformat(value) if ":" in value else value
        except ValueError as error:
            raise ValueError(f"{_WANTED}, not {value!r}") from error
    if not isinstance(value, datetime):
        raise ValueError(f"{_WANTED}, with its time of day, not {value!s:.40}")
    _check_year(value)
    return value


def parse_day(value: object) -> date:
    """Return a date; raises ValueError for anything else, also for a moment."""
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        day = None
    if not isinstance(day, date) or isinstance(day, datetime):
        raise ValueError(f"a date such as 2026-12-24 is wanted, not {value!s:.40}")
    _check_year(day)
    return day


def _check_year(value: date) -> None:
    """Far from here a calendar ends, and what is meant is a slip of the finger anyway."""
    if not 2000 <= value.year < 2200:
        raise ValueError(f"the year {value.year} cannot be meant")


@cache
def _names() -> tuple[str, ...]:
    return tuple(sorted((files("tzdata") / "zones").read_text().split()))


Zone = Annotated[
    ZoneInfo, BeforeValidator(parse_zone), WithJsonSchema({"type": "string", "examples": ["Europe/Berlin", "UTC"]})
]
Day = Annotated[date, BeforeValidator(parse_day)]
LocalMoment = Annotated[
    datetime,
    BeforeValidator(parse_moment),
    WithJsonSchema({"type": "string", "examples": ["2026-12-24 18:00", "2026-12-24 18:00+01:00"]}),
]
