"""Schedules: what is run by itself when, and what is decided about each time that it is due. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import takewhile
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pydantic import Field

from remediate.domain.approval import HIGHEST_LEVEL
from remediate.domain.audit import ENGINE, AuditEntry
from remediate.domain.cron import following, latest
from remediate.domain.host import Host, unknown_hosts
from remediate.domain.parameter import checked_parameters
from remediate.domain.run import Run, RunStatus
from remediate.domain.runbook import ParameterValue, Runbook
from remediate.domain.times import moment, span
from remediate.domain.value import Value

#: What begins this late was missed, and is made up: a service looks more often than that.
ON_TIME = timedelta(minutes=5)

#: The ends of a run after which its schedule has had its turn: an answer was found, whatever it is.
ANSWERED = frozenset(
    {
        *(RunStatus.SUCCEEDED, RunStatus.NOT_NEEDED, RunStatus.FAILED),
        *(RunStatus.ROLLED_BACK, RunStatus.ROLLBACK_FAILED),
    }
)

_WELL = frozenset({RunStatus.SUCCEEDED, RunStatus.NOT_NEEDED})
_MOST_COUNTED = 1000


class Schedule(Value):
    """One schedule: which runbook is run when, where, with what, and how far it may go by itself."""

    name: str
    runbook: str
    #: Five fields, by the clock on the wall of the zone.
    cron: str
    zone: ZoneInfo
    #: At most so much later than its time a run begins.
    jitter: timedelta = timedelta(0)
    #: Exact names of the inventory, or a group; neither: the group `<runbook>_targets`.
    hosts: tuple[str, ...] = ()
    group: str = ""
    parameters: dict[str, ParameterValue] = {}
    #: Up to which level plans are carried out without a human.
    unattended: int = Field(default=0, ge=0, le=HIGHEST_LEVEL)
    #: How late a run that was missed is still made up.
    missed: timedelta = timedelta(days=1)
    #: Where it is written, for messages: `remediate.yml:34`.
    written_at: str = ""

    @property
    def timing(self) -> str:
        """When it is due, in one line: where that changes, nothing of before was missed."""
        return f"{self.cron} {self.zone.key}"

    @property
    def requester(self) -> str:
        """What the record calls it."""
        return f"schedule:{self.name}"


class Occurrence(Value):
    """One time that a schedule is due: the moment that its expression names, and the one at which it begins."""

    due: datetime
    begins: datetime


class Decision(StrEnum):
    """What is decided about an occurrence, by the name of its reason."""

    #: A run was made: in time, late because nothing worked for the site, or because a person wanted one.
    STARTED = "started"
    MADE_UP = "made_up"
    BY_HAND = "by_hand"
    #: The schedule is new, or its time was changed: it counts from now on.
    TAKEN_UP = "taken_up"
    #: No run was made: the one before goes on, it is too late, or its hosts are not in the inventory.
    OVERLAP = "overlap"
    TOO_OLD = "too_old"
    NO_HOSTS = "no_hosts"
    #: Nothing is due; this is never recorded.
    NOT_YET = "not_yet"

    @property
    def starts(self) -> bool:
        """Whether a run is made."""
        return self in {Decision.STARTED, Decision.MADE_UP, Decision.BY_HAND}


class Turn(Value):
    """An occurrence that was decided about; there is one record of each, so that it is begun once."""

    schedule: str
    due: datetime
    timing: str
    decision: Decision
    #: Why, in a sentence.
    reason: str
    #: The run that was made; empty: none was.
    run_id: str = ""
    decided_at: datetime
    decided_by: str = ENGINE


class Due(NamedTuple):
    """What there is to do about a schedule now: the occurrence that it is about, and what is decided about it."""

    occurrence: Occurrence | None
    decision: Decision
    reason: str


class Overdue(Value):
    """How long a schedule has been without a run that gave an answer, and how often it should have one."""

    #: Since when it is due; None: it is not overdue.
    since: datetime | None = None
    late: timedelta = timedelta(0)
    #: From one occurrence to the next.
    window: timedelta = timedelta(0)


def due(schedule: Schedule, last: Turn | None, now: datetime, *, going_on: str = "") -> Due:
    """Decide what is to be done about a schedule now.

    `last` is the newest turn that was decided about, `going_on` a run of the schedule that has not ended. Only the
    newest occurrence is ever begun: of several that were missed one is made up.
    """
    if last is None or last.timing != schedule.timing:
        why = "its time was changed" if last else "it is new"
        return Due(extra_occurrence(last, now), Decision.TAKEN_UP, f"{why}: it counts from now on")
    found = _newest(schedule, now)
    if found is None or found.due <= last.due:
        return Due(None, Decision.NOT_YET, "it is not due")
    late, when = now - found.begins, f"due {moment(found.due)}"
    limit = max(schedule.missed, ON_TIME)
    if late > limit:
        return Due(found, Decision.TOO_OLD, f"{when}, {_told(late)} late: after {span(limit)} it is not made up")
    if going_on:
        return Due(found, Decision.OVERLAP, f"{when}, while run {going_on} of the time before goes on")
    if late <= ON_TIME:
        return Due(found, Decision.STARTED, when)
    return Due(found, Decision.MADE_UP, f"{when}, {_told(late)} late{_left_out(schedule, last, found)}")


def extra_occurrence(last: Turn | None, now: datetime) -> Occurrence:
    """Return an occurrence of now, which no expression names; it comes after the last one, whatever the clock says."""
    at = max(now, last.due + timedelta(microseconds=1)) if last else now
    return Occurrence(due=at, begins=at)


def occurrence(schedule: Schedule, at: datetime) -> Occurrence:
    """Return an occurrence with the moment at which it begins; that follows from it, so that all services agree."""
    spread = int(schedule.jitter.total_seconds()) + 1
    drawn = hashlib.sha256(f"{schedule.name} {at.astimezone(UTC).isoformat()}".encode()).digest()
    return Occurrence(due=at, begins=at + timedelta(seconds=int.from_bytes(drawn[:8]) % spread))


def next_occurrence(schedule: Schedule, now: datetime) -> Occurrence | None:
    """Return the next occurrence that begins after now."""
    at = latest(schedule.cron, schedule.zone, now)
    if at and (found := occurrence(schedule, at)).begins > now:
        return found
    after = following(schedule.cron, schedule.zone, now)
    return occurrence(schedule, after) if after else None


def overdue(schedule: Schedule, answered: datetime | None, now: datetime) -> Overdue:
    """Return how late a schedule is whose last turn with an answer was due at a moment; None: it was not taken up."""
    at = following(schedule.cron, schedule.zone, answered) if answered else None
    if at is None:
        return Overdue()
    after = following(schedule.cron, schedule.zone, at)
    window = after - at if after else timedelta(0)
    begins = occurrence(schedule, at).begins
    if begins > now:
        return Overdue(window=window)
    return Overdue(since=begins, late=now - begins, window=window)


def answered_at(turns: Iterable[tuple[Turn, RunStatus | None]]) -> datetime | None:
    """Return when the last turn with an answer was due, of turns with the end of their runs, newest first.

    Where none had one, it is when the schedule was taken up, or else its oldest turn.
    """
    oldest = None
    for turn, status in turns:
        oldest = turn.due
        if status in ANSWERED or turn.decision is Decision.TAKEN_UP:
            break
    return oldest


def targets(schedule: Schedule, runbook: Runbook, hosts: Sequence[Host]) -> tuple[tuple[str, ...], str]:
    """Return the hosts of a schedule in the inventory as it is now, and what is wrong with them, empty if nothing."""
    known = [host.name for host in hosts]
    if schedule.hosts:
        wrong = "; ".join(unknown_hosts(schedule.hosts, known))
        return (() if wrong else schedule.hosts), wrong
    group = schedule.group or f"{runbook.role}_targets"
    found = tuple(host.name for host in hosts if group in host.groups)
    nobody = f"no host of the inventory is in the group {group!r}: name `hosts:`, or another `group:`"
    return found, "; ".join(unknown_hosts(found, known)) if found else nobody


def schedule_problems(schedule: Schedule, runbook: Runbook, hosts: Sequence[Host]) -> tuple[tuple[str, str], ...]:
    """Return what is wrong with a schedule on this site: the field, and a sentence that says what to do about it."""
    field = "hosts" if schedule.hosts else "group"
    _, nowhere = targets(schedule, runbook, hosts)
    _, wrong = checked_parameters(runbook.parameters, runbook.role, schedule.parameters)
    bad = [("parameters", f"{one}; see `remediate show {runbook.id}`") for one in wrong]
    return (*([(field, nowhere)] if nowhere else []), *bad)


def is_news(status: RunStatus, before: RunStatus | None) -> bool:
    """Decide whether the end of a run of a schedule is told to people: when it is another one than the time before."""
    if status in _WELL:
        return before is not None and before not in _WELL
    return status is not before


def turn_of(schedule: Schedule, found: Due, now: datetime, *, run: Run | None = None, by: str = ENGINE) -> Turn:
    """Return the record of what was decided about an occurrence."""
    return Turn(
        schedule=schedule.name,
        due=found.occurrence.due if found.occurrence else now,
        timing=schedule.timing,
        decision=found.decision,
        reason=found.reason,
        run_id=run.id if run else "",
        decided_at=now,
        decided_by=by,
    )


def turn_entry(turn: Turn) -> AuditEntry:
    """What the audit trail says about a turn; its subject is `RUN/schedule`, or the schedule where no run was made."""
    return AuditEntry(
        at=turn.decided_at,
        actor=turn.decided_by,
        action="schedule.decided",
        subject=f"{turn.run_id}/schedule" if turn.run_id else f"schedule:{turn.schedule}",
        details={
            "schedule": turn.schedule,
            "due": turn.due.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "decision": turn.decision.value,
            "reason": turn.reason,
        },
    )


def _newest(schedule: Schedule, now: datetime) -> Occurrence | None:
    """Return the newest occurrence that has begun."""
    at = latest(schedule.cron, schedule.zone, now)
    found = occurrence(schedule, at) if at else None
    if found and found.begins > now:
        at = latest(schedule.cron, schedule.zone, found.due - timedelta(seconds=1))
        return occurrence(schedule, at) if at else None
    return found


def _left_out(schedule: Schedule, last: Turn, found: Occurrence) -> str:
    """Say how many that were missed before it are not made up."""
    count = sum(1 for _ in takewhile(lambda at: at < found.due, _since(schedule, last.due)))
    return f"; {count} before it are left out" if count else ""


def _since(schedule: Schedule, after: datetime) -> Iterable[datetime]:
    for _ in range(_MOST_COUNTED):
        at = following(schedule.cron, schedule.zone, after)
        if at is None:
            return
        yield at
        after = at


def _told(late: timedelta) -> str:
    return span(timedelta(minutes=late // timedelta(minutes=1)))
