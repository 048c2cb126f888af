"""An incident: something is wrong, until it is proven cured. A review: something is to be looked at afterwards."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import Field, JsonValue

from remediate.domain.approval import HIGHEST_LEVEL
from remediate.domain.audit import AuditEntry
from remediate.domain.run import OWNED, WAITING, RunStatus
from remediate.domain.runbook import Severity
from remediate.domain.value import Value


class IncidentKind(StrEnum):
    """What an entry is about."""

    INCIDENT = "incident"
    #: An emergency override was used: it is looked at afterwards.
    REVIEW = "review"


class Stage(StrEnum):
    """How far an incident has come."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    #: A run has proven the cure; alerts have not resolved yet.
    CURED = "cured"
    CLOSED = "closed"


class Incident(Value):
    """One problem: the alerts that tell of it, and the runs that look into it."""

    id: str
    kind: IncidentKind = IncidentKind.INCIDENT
    #: The run that found it; empty: an alert that no run was made of.
    run_id: str = ""
    #: What the runs of it are of, and on which hosts; empty where no run was made.
    runbook: str = ""
    hosts: tuple[str, ...] = ()
    severity: Severity
    title: str
    note: str = ""
    #: When it began, as its first alert says; None: nobody knows, it was found.
    began_at: datetime | None = None
    #: When we came to know of it.
    opened_at: datetime
    #: In which time it has to be over.
    rto: timedelta | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    #: The highest level that was told; 0: none was called.
    level: int = Field(default=0, ge=0, le=HIGHEST_LEVEL)
    escalated_at: datetime | None = None
    #: When a run has proven its cure.
    cured_at: datetime | None = None
    closed_at: datetime | None = None
    #: Who closed it: a person, or the engine.
    closed_by: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it is not closed yet."""
        return self.closed_at is None

    @property
    def stage(self) -> Stage:
        """How far it has come."""
        if self.closed_at:
            return Stage.CLOSED
        if self.cured_at:
            return Stage.CURED
        return Stage.ACKNOWLEDGED if self.acknowledged_at else Stage.OPEN

    @property
    def times(self) -> IncidentTimes:
        """What is measured of it, as far as it has come."""
        began = self.began_at or self.opened_at
        over = min((moment for moment in (self.cured_at, self.closed_at) if moment), default=None)
        return IncidentTimes(
            detected=_after(self.opened_at, self.began_at),
            acknowledged=_after(self.acknowledged_at, self.opened_at),
            resolved=_after(over, began),
            target=self.rto,
        )


class IncidentTimes(Value):
    """How long it took; None where it has not happened yet, or nobody knows."""

    #: From its beginning until we knew of it.
    detected: timedelta | None
    #: From then on until somebody took it on.
    acknowledged: timedelta | None
    #: From its beginning until it was over: its cure, where one was proven, else its end.
    resolved: timedelta | None
    #: In which time it has to be over.
    target: timedelta | None

    @property
    def kept(self) -> bool | None:
        """Whether it was over in time; None while that is not known."""
        return None if self.resolved is None or self.target is None else self.resolved <= self.target


class MeanTimes(Value):
    """The means over some incidents; None where none of them has such a time."""

    count: int
    detect: timedelta | None
    acknowledge: timedelta | None
    resolve: timedelta | None
    #: How many were over in time, of those that have a target and are over.
    kept: int
    judged: int


def means(incidents: Iterable[Incident]) -> MeanTimes:
    """Return MTTD, MTTA and MTTR over incidents, and how many were over in time."""
    times = [one.times for one in incidents]
    verdicts = [one.kept for one in times if one.kept is not None]
    return MeanTimes(
        count=len(times),
        detect=_mean(one.detected for one in times),
        acknowledge=_mean(one.acknowledged for one in times),
        resolve=_mean(one.resolved for one in times),
        kept=sum(verdicts),
        judged=len(verdicts),
    )


def _mean(spans: Iterable[timedelta | None]) -> timedelta | None:
    known = [span for span in spans if span is not None]
    return sum(known, timedelta(0)) / len(known) if known else None


def _after(moment: datetime | None, begin: datetime | None) -> timedelta | None:
    """A clock elsewhere may be ahead of ours: nothing takes less than no time."""
    return max(moment - begin, timedelta(0)) if moment and begin else None


class Closing(Value):
    """Whether an incident is over, and why, or why it stays open."""

    over: bool
    reason: str


#: Ends of runs after which a host is as it was: nothing was done, or all of it was taken back.
_HARMLESS = frozenset(
    {RunStatus.NOT_NEEDED, RunStatus.REJECTED, RunStatus.EXPIRED, RunStatus.WITHDRAWN, RunStatus.CANCELED}
)


def closing(incident: Incident, runs: Collection[RunStatus], *, firing: int) -> Closing:
    """Decide whether an incident closes by itself: how its runs stand, and how many of its alerts still fire.

    Where alerts told of it, it closes when a cure is proven and the alerts have resolved. Where nothing was done about
    it, alerts that resolve are its end as well. Where something was done and not proven, a person has to look.
    """
    if firing:
        return Closing(over=False, reason=f"{firing} alert(s) still fire")
    if going_on := [status for status in runs if status in OWNED | WAITING]:
        return Closing(over=False, reason=f"a run is {going_on[0].value.replace('_', ' ')}")
    if incident.cured_at:
        return Closing(over=True, reason="cured, and its alerts have resolved")
    if uncured := [status for status in runs if status not in _HARMLESS | {RunStatus.SUCCEEDED}]:
        return Closing(over=False, reason=f"a run ended {uncured[0].value.replace('_', ' ')}: a person has to look")
    return Closing(over=True, reason="its alerts have resolved; nothing was changed here")


def worse(first: Severity, second: Severity) -> Severity:
    """Return the worse of two severities: SEV1 is the worst."""
    return min(first, second, key=lambda severity: severity.value)


def incident_entry(
    incident: Incident, action: str, by: str, at: datetime, note: str = "", **details: JsonValue
) -> AuditEntry:
    """Return an entry of the trail; it stands in the timeline of the run that found the problem, if one did."""
    known: dict[str, JsonValue] = {"incident": incident.id, "kind": incident.kind.value, "note": note}
    return AuditEntry(
        at=at, actor=by, action=action, subject=incident.run_id or incident.id, details={**known, **details}
    )
