"""The desk for incidents: opened or joined, taken on, called for, closed when they are over; each step is recorded."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from remediate.domain.alert import AlertRecord
from remediate.domain.approval import HIGHEST_LEVEL
from remediate.domain.audit import ENGINE
from remediate.domain.escalation import ladder_for
from remediate.domain.incident import (
    Closing,
    Incident,
    IncidentKind,
    closing,
    incident_entry,
    worse,
)
from remediate.domain.run import Run, RunStatus, StartedBy
from remediate.domain.runbook import Runbook, Severity
from remediate.domain.value import Value
from remediate.engine.alert_proofs import alerts_of
from remediate.engine.ports import Ports
from remediate.engine.staff import Call, News, Occasion, Staff
from remediate.errors import IllegalTransition, UsageError

#: More incidents than these are not open at once.
_MOST = 1000


class IncidentView(Value):
    """An incident with what belongs to it."""

    incident: Incident
    runs: tuple[Run, ...]
    alerts: tuple[AlertRecord, ...]


class IncidentDesk:
    """What happens to incidents, by itself and by people."""

    def __init__(self, ports: Ports, staff: Staff) -> None:
        self._ports = ports
        self._staff = staff

    def open_for(self, run: Run, runbook: Runbook, now: datetime) -> None:
        """Record that something is wrong, until it is proven cured; to be called within a transaction.

        A run that another one handed over to belongs to the incident of that one. A run that an alert started joins
        an incident of the same runbook on the same host, where one is open.
        """
        if run.parent or self._ports.incidents.of_run(run.id):
            return
        alerts = alerts_of(run, self._ports) if run.started_by is StartedBy.ALERT else ()
        severity = _severity(runbook, alerts)
        if known := self._known(run) if alerts else None:
            self._join(known, run, alerts, severity, now)
            return
        opened = Incident(
            id=f"inc-{run.id}",
            run_id=run.id,
            runbook=runbook.id,
            hosts=run.hosts,
            severity=severity,
            title=f"{runbook.title} on {', '.join(run.hosts)}",
            began_at=min((record.alert.starts_at for record in alerts), default=None),
            opened_at=min((record.first_seen for record in alerts), default=now),
            rto=runbook.rto,
        )
        self._ports.approvals.open_incident(opened)
        for record in alerts:
            self._ports.alerts.joined(record.key, opened.id)

    def open_without_run(self, incident: Incident) -> None:
        """Record an incident that no run belongs to, and call level 1 for it: nothing else will look after it."""
        called = incident.model_copy(update={"level": 1, "escalated_at": incident.opened_at})
        with self._ports.store.together():
            self._ports.approvals.open_incident(called)
            on_call = self._staff.on_call(1, called.opened_at)
            self._staff.call(Call(called, on_call, called.note, called.opened_at))

    def _known(self, run: Run) -> Incident | None:
        """Return the open incident that a run tells of as well."""
        found = self._ports.incidents.open_of(run.runbook)
        known = next((one for one, hosts in found.items() if set(hosts) & set(run.hosts)), None)
        return self._ports.incidents.incident(known) if known else None

    def _join(
        self, known: Incident, run: Run, alerts: Iterable[AlertRecord], severity: Severity, now: datetime
    ) -> None:
        self._ports.incidents.join(known.id, run.id, now)
        for record in alerts:
            self._ports.alerts.joined(record.key, known.id)
        # What was cured is back, or was not cured after all.
        self._change(known, "incident.joined", ENGINE, now, f"run {run.id}", cured_at=None)
        if worse(severity, known.severity) is not known.severity:
            self._raise(self._ports.incidents.incident(known.id), severity, now)

    def _raise(self, known: Incident, severity: Severity, now: datetime) -> None:
        words = f"{known.severity.value} -> {severity.value}"
        self._change(known, "incident.severity", ENGINE, now, words, severity=severity)

    def cured(self, run: Run, reason: str, now: datetime) -> None:
        """Record that a run has cured: its incident, and those of all attempts that it continues, are over.

        Where alerts of an incident still fire, as far as we were told, it is closed when they have resolved.
        """
        words = reason
        while True:
            found = self._ports.incidents.of_run(run.id)
            if found and found.is_open and self._firing(found):
                self._change(found, "incident.cured", ENGINE, now, words, cured_at=found.cured_at or now)
            else:
                self._ports.approvals.close_incident(found.id if found else f"inc-{run.id}", words, now)
            if not run.continues:
                return
            words = words if words is not reason else f"run {run.id}: {reason}"
            run = self._ports.store.run(run.continues)

    def call(self, run: Run, reason: str, now: datetime) -> None:
        """Remember that whoever is on call was told that a run has not cured: from now on, silence climbs."""
        found = self._ports.incidents.of_run(run.id)
        if found and found.is_open and found.level == 0:
            self._change(found, "incident.called", ENGINE, now, reason, level=1, escalated_at=now)

    def look(self, now: datetime) -> None:
        """Close what is over, and call the next level where nobody has taken an incident on in time."""
        firing = {record.incident_id for record in self._ports.alerts.open_ones(limit=_MOST)}
        for one in self._ports.approvals.incidents(limit=_MOST):
            # Only what alerts tell of ends by itself; the others are closed with their runs.
            if one.kind is IncidentKind.INCIDENT and one.began_at and one.id not in firing:
                self._settle(one, now)
            if _is_silent(one, now):
                with self._ports.store.together():
                    self._climb(self._ports.incidents.incident(one.id), ENGINE, "nobody has taken it on", now)

    def _settle(self, incident: Incident, now: datetime) -> None:
        """Close an incident that is over; nobody has to wait for this look where it is not."""
        if not self._closing(incident).over:
            return
        with self._ports.store.together():
            decision = self._closing(self._ports.incidents.incident(incident.id))
            if decision.over:
                self._ports.approvals.close_incident(incident.id, decision.reason, now)

    def _closing(self, incident: Incident) -> Closing:
        firing = sum(record.is_open for record in self._ports.alerts.of_incident(incident.id))
        return closing(incident, self._ends(incident), firing=firing)

    def _ends(self, incident: Incident) -> list[RunStatus]:
        """How the runs of an incident stand; of those that continue one another the last one."""
        runs = [self._ports.store.run(run_id) for run_id in self._ports.incidents.runs(incident.id)]
        runs += [later for run in runs for later in self._ports.store.continuations(run.id)]
        continued = {run.continues for run in runs}
        return [run.status for run in {run.id: run for run in runs}.values() if run.id not in continued]

    def acknowledge(self, incident_id: str, by: str) -> Incident:
        """Record that somebody takes an incident on; who was first counts."""
        now = self._ports.clock.now()
        with self._ports.store.together():
            found = self._open(incident_id)
            if found.acknowledged_at:
                raise IllegalTransition(
                    f"Incident {found.id} was taken on by {found.acknowledged_by} already.",
                    next_step=f"see `remediate incident show {found.id}`",
                )
            return self._change(found, "incident.acknowledged", by, now, acknowledged_at=now, acknowledged_by=by)

    def escalate(self, incident_id: str, by: str, level: int, reason: str) -> Incident:
        """Call a higher level at once."""
        _want(reason)
        now = self._ports.clock.now()
        with self._ports.store.together():
            found = self._open(incident_id)
            if not found.level < level <= HIGHEST_LEVEL:
                raise UsageError(
                    f"Level {found.level} was called already; --to wants a higher one, up to 4.",
                    next_step=f"see `remediate incident show {found.id}`",
                )
            return self._climb(found, by, reason, now, level=level)

    def resolve(self, incident_id: str, by: str, reason: str) -> Incident:
        """Close an incident by hand."""
        _want(reason)
        now = self._ports.clock.now()
        with self._ports.store.together():
            found = self._open(incident_id)
            closed = found.model_copy(update={"note": reason})
            return self._change(closed, "incident.closed", by, now, reason, closed_at=now, closed_by=by)

    def view(self, incident_id: str) -> IncidentView:
        """Return an incident with its runs and alerts; raises UnknownIncident."""
        found = self._ports.incidents.incident(incident_id)
        ids = self._ports.incidents.runs(found.id) or tuple(filter(None, [found.run_id]))
        runs = tuple(self._ports.store.run(run_id) for run_id in ids)
        return IncidentView(incident=found, runs=runs, alerts=self._ports.alerts.of_incident(found.id))

    def _climb(self, found: Incident, by: str, why: str, now: datetime, level: int = 0) -> Incident:
        """Call a level: the next one, unless another is named."""
        level = level or found.level + 1
        changed = self._change(found, "incident.escalated", by, now, why, level=level, escalated_at=now)
        to = self._staff.on_call(level, now)
        if found.run_id:
            run = self._ports.store.run(found.run_id)
            self._staff.announce(News(Occasion.CALLED, run, None, to, why, now, level))
        else:
            self._staff.call(Call(changed, to, why, now))
        return changed

    def _firing(self, incident: Incident) -> bool:
        return any(record.is_open for record in self._ports.alerts.of_incident(incident.id))

    def _open(self, incident_id: str) -> Incident:
        found = self._ports.incidents.incident(incident_id)
        if not found.is_open:
            raise IllegalTransition(
                f"Incident {found.id} is closed: {found.note}.", next_step=f"see `remediate incident show {found.id}`"
            )
        return found

    def _change(
        self, known: Incident, action: str, by: str, now: datetime, note: str = "", **change: object
    ) -> Incident:
        changed = known.model_copy(update=change)
        self._ports.incidents.change(changed, incident_entry(changed, action, by, now, note))
        return changed


def _severity(runbook: Runbook, alerts: Iterable[AlertRecord]) -> Severity:
    """Return the worst severity that the card gives to the alerts; without one that of the runbook."""
    names = {record.alert.name for record in alerts}
    found = [mapping.severity for mapping in runbook.alerts if mapping.name in names]
    return min(found, key=lambda severity: severity.value, default=runbook.severity)


def _is_silent(incident: Incident, now: datetime) -> bool:
    """Whether somebody was called, nobody has taken the incident on, and the time of that level is over."""
    if incident.kind is not IncidentKind.INCIDENT or incident.acknowledged_at or incident.cured_at:
        return False
    if not 1 <= incident.level < HIGHEST_LEVEL or incident.escalated_at is None:
        return False
    return now - incident.escalated_at >= ladder_for(incident.severity).patience(incident.level)


def _want(reason: str) -> None:
    if not reason.strip():
        raise UsageError("A reason is wanted: others will ask.", next_step="add --reason TEXT")
