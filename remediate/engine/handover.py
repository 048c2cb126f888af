"""The hand-over of the duty: what the next one on call has to know, counted from the record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from remediate.domain.people import People
from remediate.domain.rotation import Rotation, on_call_at, watch_start
from remediate.domain.run import OWNED, Run, RunStatus
from remediate.domain.value import Value
from remediate.engine.ports import Store

#: Runs that ended without a proven cure.
NOT_CURED = frozenset(
    {
        RunStatus.FAILED,
        RunStatus.UNPROVEN,
        RunStatus.ROLLED_BACK,
        RunStatus.ROLLBACK_FAILED,
        RunStatus.INTERRUPTED,
        RunStatus.PARKED,
        RunStatus.EXPIRED,
    }
)

#: More runs than these are not told apart.
_MOST = 1000


class Counts(Protocol):
    """What other records count."""

    def open_incidents(self) -> int:
        """Return how many incidents are open."""
        ...

    def notices_given_up(self, since: datetime) -> int:
        """Return how many notices were given up since a moment: people who were to be told, and were not."""
        ...


class Standing(StrEnum):
    """Whether a point of the checklist wants somebody's attention."""

    CLEAR = "clear"
    LOOK = "look"
    #: There is no record that could tell.
    UNKNOWN = "unknown"


class Point(Value):
    """One point of the checklist."""

    name: str
    standing: Standing
    summary: str
    details: tuple[str, ...] = ()


class Checklist(Value):
    """What is handed over at a moment, from the week that began at `since`."""

    at: datetime
    since: datetime
    points: tuple[Point, ...]


class Handover:
    """Makes the checklist of a hand-over."""

    def __init__(self, store: Store, counts: Counts) -> None:
        self._store = store
        self._counts = counts

    def checklist(self, people: People, rotation: Rotation, now: datetime) -> Checklist:
        """Return every point with its value now; nothing that has no record is called fine."""
        since = watch_start(rotation, now)
        failed = [run for run in self._runs(NOT_CURED) if run.updated_at >= since]
        points = (
            _counted("open incidents", self._counts.open_incidents()),
            _listed("runs waiting for approval", self._runs({RunStatus.WAITING_APPROVAL})),
            _listed("runs under way", self._runs(OWNED | {RunStatus.HANDED_OVER})),
            _listed("runs without a proven cure", failed),
            _counted("notices given up", self._counts.notices_given_up(since)),
            _escalation(people, rotation, now),
            _unrecorded("failed backups", "no backup is recorded: nothing here makes or watches backups yet"),
            _unrecorded("drills due", "no restore test or drill is recorded: nothing here runs them yet"),
        )
        return Checklist(at=now, since=since, points=points)

    def _runs(self, statuses: Iterable[RunStatus]) -> list[Run]:
        """Runs that were meant to change something, newest first; what a plan found is no news."""
        found = self._store.runs(limit=_MOST, statuses=statuses)
        return [run for run in found if not run.check]


def _counted(name: str, count: int) -> Point:
    return Point(name=name, standing=Standing.LOOK if count else Standing.CLEAR, summary=str(count or "none"))


def _listed(name: str, runs: Sequence[Run]) -> Point:
    count = f"{_MOST} or more" if len(runs) >= _MOST else str(len(runs))
    return Point(
        name=name,
        standing=Standing.LOOK if runs else Standing.CLEAR,
        summary=count if runs else "none",
        details=tuple(_words(run) for run in runs),
    )


def _words(run: Run) -> str:
    said = f": {run.outcome}" if run.outcome else ""
    return f"{run.id} {run.runbook} on {', '.join(run.hosts)}, {run.status.value}{said}"


def _escalation(people: People, rotation: Rotation, now: datetime) -> Point:
    silent = [str(level) for level in (1, 2, 3, 4) if not on_call_at(people, rotation, level, now)]
    summary = f"nobody is there at level {', '.join(silent)}" if silent else "somebody is there at every level"
    return Point(name="escalation", standing=Standing.LOOK if silent else Standing.CLEAR, summary=summary)


def _unrecorded(name: str, why: str) -> Point:
    return Point(name=name, standing=Standing.UNKNOWN, summary=why)
