"""Reads the section `freezes:` of remediate.yml: times in which nothing is begun."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime, time
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from remediate.catalog.document import Document, Problems
from remediate.domain.freeze import Freeze, Once, Weekday, Weekly, Window


def parse_time_of_day(value: object) -> time:
    """Return a time of day; raises ValueError for anything but text such as `06:30`."""
    match = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])", value) if isinstance(value, str) else None
    if match is None:
        # YAML reads an unquoted 22:00 as the number 1320, and nobody can tell what was meant.
        raise ValueError(f'a time of day in quotes such as "06:30" or "22:00" is wanted, not {value!r}')
    return time(int(match[1]), int(match[2]))


TimeOfDay = Annotated[
    time,
    BeforeValidator(parse_time_of_day),
    WithJsonSchema({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$", "examples": ["06:30", "22:00"]}),
]


def _moment(value: object) -> object:
    """Let only moments pass: pydantic would take a number as seconds since 1970, and a date as its midnight."""
    if isinstance(value, datetime) or (isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", value)):
        return value
    raise ValueError(f"a moment with its offset such as 2026-12-24T18:00:00+01:00 is wanted, not {value!s}")


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WeeklySettings(_Part):
    """A window of every week, by the clock on the wall; an end at or before the beginning is on the next day."""

    days: tuple[Weekday, ...] = Field(description="The days on which it begins.", json_schema_extra={"minItems": 1})
    begins: TimeOfDay = Field(alias="from", description="When it begins, in quotes.")
    ends: TimeOfDay = Field(alias="to", description="When it ends, in quotes.")
    timezone: ZoneInfo = Field(description="The zone whose clock is meant, such as Europe/Berlin.")

    @model_validator(mode="after")
    def _has_some_days_and_leaves_some_time(self) -> WeeklySettings:
        if not self.days:
            raise ValueError("days: at least one is wanted")
        if set(self.days) == set(Weekday) and self.begins == self.ends:
            raise ValueError("it leaves no time at all; `remediate pause` stops everything")
        return self

    def as_weekly(self) -> Weekly:
        """Return the domain's value."""
        return Weekly(days=frozenset(self.days), begins=self.begins, ends=self.ends, zone=self.timezone)


class FreezeSettings(_Part):
    """A time in which nothing is begun: once (`from`, `to`), or every week (`weekly`)."""

    name: str = Field(min_length=1, description="What it is called in refusals.")
    begins: Moment | None = Field(default=None, alias="from", description="When it begins, with its offset.")
    ends: Moment | None = Field(default=None, alias="to", description="When it ends, with its offset.")
    weekly: WeeklySettings | None = Field(default=None, description="The window of every week, instead of from and to.")
    groups: tuple[str, ...] = Field(default=(), description="Groups of hosts it is about; none named means all.")
    runbooks: tuple[str, ...] = Field(default=(), description="Runbooks it is about; none named means all.")
    hard: bool = Field(default=False, strict=True, description="Whether it stops SEV1 too, and no reason overrides it.")
    reason: str = Field(min_length=1, description="Why, for whoever is refused.")

    @model_validator(mode="after")
    def _once_or_weekly(self) -> FreezeSettings:
        if self.weekly is not None:
            if self.begins or self.ends:
                raise ValueError("either from and to, or weekly")
        elif self.begins is None or self.ends is None:
            raise ValueError("from and to, or weekly, are missing")
        elif self.begins >= self.ends:
            raise ValueError("to is not after from")
        return self

    def as_freeze(self) -> Freeze:
        """Return the domain's value."""
        return Freeze(
            name=self.name,
            when=self.weekly.as_weekly() if self.weekly else Once(window=_window(self.begins, self.ends)),
            groups=self.groups,
            runbooks=self.runbooks,
            hard=self.hard,
            reason=self.reason,
        )


def _window(begins: datetime | None, ends: datetime | None) -> Window:
    return Window.model_validate({"begins": begins, "ends": ends})


def note_freeze_problems(
    document: Document, freezes: Sequence[FreezeSettings], runbooks: Collection[str], problems: Problems
) -> None:
    """Note names that stand twice, and runbooks that do not exist: such a freeze would silently hold nothing back."""
    names: set[str] = set()
    for index, freeze in enumerate(freezes):
        if freeze.name in names:
            place = ("freezes", index, "name")
            problems.add(document.path, document.line(place), f"freezes.{index}.name", f"{freeze.name} stands twice")
        names.add(freeze.name)
        for unknown in sorted(set(freeze.runbooks) - set(runbooks)):
            place = ("freezes", index, "runbooks")
            problems.add(
                document.path, document.line(place), f"freezes.{index}.runbooks", f"there is no runbook {unknown!r}"
            )
