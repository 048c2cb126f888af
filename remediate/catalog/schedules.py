"""Reads the section `schedules:` of remediate.yml: which runbooks are run by themselves, when and where."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from remediate.catalog.document import Document, Problems
from remediate.catalog.duration import Duration
from remediate.catalog.people import Line
from remediate.catalog.time_zone import Zone
from remediate.domain.approval import HIGHEST_LEVEL
from remediate.domain.cron import check_cron, shortest_gap
from remediate.domain.host import Host
from remediate.domain.runbook import Runbook
from remediate.domain.schedule import Schedule, schedule_problems, targets

_NAME = r"^[a-z][a-z0-9-]{0,47}$"

#: What a site does without the section, as far as it has these runbooks and hosts for them (docs/adr/0018). None of
#: them writes where production reads, and none acts above level 0 without a human.
DEFAULTS = (
    # It looks what is due: changes of the database every few minutes, the rest by its own parameters.
    Schedule(
        name="backups", runbook="backup-create", cron="*/5 * * * *", zone=ZoneInfo("UTC"), missed=timedelta(minutes=5)
    ),
    Schedule(name="daily-verify", runbook="backup-verify", cron="0 4 * * *", zone=ZoneInfo("UTC")),
    Schedule(
        name="monthly-restore-test",
        runbook="restore-test",
        cron="0 5 1 * *",
        zone=ZoneInfo("UTC"),
        jitter=timedelta(minutes=30),
        missed=timedelta(days=3),
    ),
)


def _cron(text: str) -> str:
    check_cron(text)
    return " ".join(text.split())


class ScheduleEntry(BaseModel):
    """One schedule: a runbook that is run by itself, as if somebody typed it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=_NAME, description="Its name: small letters, digits and `-`.")
    runbook: Line = Field(description="The runbook that is run.")
    cron: Annotated[str, AfterValidator(_cron)] = Field(
        description='When: minute, hour, day of the month, month and weekday, such as "0 5 1 * *".',
        examples=["0 2 * * *", "0 5 1 * *"],
    )
    time_zone: Zone = Field(
        default="UTC", validate_default=True, description="The time zone of the expression, by its IANA name."
    )
    jitter: Duration | None = Field(
        default=None,
        description="A run begins at most so much later than its time, by a draw that is the same for every service.",
    )
    hosts: tuple[Line, ...] = Field(
        default=(), description="Exact names of the inventory; none means the group, or `<runbook>_targets`."
    )
    group: Line = Field(default="", description="Instead of hosts: a group of the inventory.")
    parameters: dict[Line, JsonValue] = Field(default={}, description="Parameters of the runbook.")
    unattended: int = Field(
        default=0,
        ge=0,
        le=HIGHEST_LEVEL,
        strict=True,
        description="The highest level that is carried out without a human, 0 to 4; above it people are asked.",
    )
    missed: Duration = Field(
        default="24h",
        validate_default=True,
        description="How late a run is still made up, once, that was missed because nothing worked for the site.",
    )

    @model_validator(mode="after")
    def _one_kind_of_target(self) -> Self:
        if self.hosts and self.group:
            raise ValueError("hosts and group: name one of them")
        return self

    @model_validator(mode="after")
    def _jitter_fits(self) -> Self:
        gap = shortest_gap(self.cron, self.time_zone)
        if self.jitter and gap and self.jitter >= gap:
            raise ValueError(f"jitter: it may come after the next time, which is {gap} later: make it shorter")
        return self

    def as_schedule(self, written_at: str) -> Schedule:
        """Return the domain's value."""
        return Schedule(
            name=self.name,
            runbook=self.runbook,
            cron=self.cron,
            zone=self.time_zone,
            jitter=self.jitter or timedelta(0),
            hosts=self.hosts,
            group=self.group,
            parameters=self.parameters,
            unattended=self.unattended,
            missed=self.missed,
            written_at=written_at,
        )


def check_schedules(
    schedules: Sequence[ScheduleEntry], runbooks: Collection[str], document: Document, problems: Problems
) -> None:
    """Note schedules of runbooks that there are not, and names that stand twice."""
    names = [one.name for one in schedules]
    for index, one in enumerate(schedules):
        if one.runbook not in runbooks:
            near = get_close_matches(one.runbook, runbooks, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; see `remediate list`, or take the schedule out"
            document.note(("schedules", index, "runbook"), f"there is no runbook {one.runbook!r}{hint}", problems)
        if one.name in names[:index]:
            document.note(("schedules", index, "name"), f"{one.name} stands twice: give each its own name", problems)


def schedules_in_effect(
    written: Sequence[Schedule] | None, runbooks: Mapping[str, Runbook], hosts: Sequence[Host]
) -> tuple[Schedule, ...]:
    """Return what is written or, where there is no section, those of the default set that this site has hosts for."""
    if written is not None:
        return tuple(written)
    known = (one for one in DEFAULTS if one.runbook in runbooks)
    return tuple(one for one in known if targets(one, runbooks[one.runbook], hosts)[0])


def check_schedules_on_site(
    schedules: Sequence[Schedule], runbooks: Mapping[str, Runbook], hosts: Sequence[Host]
) -> None:
    """Raise InvalidDocument with everything that is wrong with schedules on this site: hosts, groups, parameters.

    That takes the inventory and the runbooks, so it is asked when a service starts, not for every command.
    """
    problems = Problems()
    for index, one in enumerate(schedules):
        for field, what in schedule_problems(one, runbooks[one.runbook], hosts):
            problems.sentences.append(f"{one.written_at or one.name}: schedules.{index}.{field}: {what}")
    problems.raise_if_any("The schedules cannot be used, so the service was not started:")
