"""The twin of the incidents, which that of the approvals opens and closes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from threading import RLock

from remediate.domain.audit import ENGINE, AuditEntry
from remediate.domain.incident import Incident, IncidentKind
from remediate.errors import UnknownIncident


class MemoryIncidents:
    """Implements the port `Incidents` in memory, for one process."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._incidents: dict[str, Incident] = {}
        self._runs: dict[str, str] = {}
        #: The entries of the audit trail about changes, oldest first.
        self.audited: list[AuditEntry] = []

    def open(self, incident: Incident) -> None:
        """Record an incident; one that is known already is left as it is."""
        with self._lock:
            is_new = incident.id not in self._incidents
            self._incidents.setdefault(incident.id, incident)
            if is_new and incident.run_id and incident.kind is IncidentKind.INCIDENT:
                self.join(incident.id, incident.run_id, incident.opened_at)

    def close(self, incident_id: str, note: str, now: datetime) -> None:
        """Close an incident that is open."""
        with self._lock:
            known = self._incidents.get(incident_id)
            if known and known.is_open:
                change = {"note": note, "closed_at": now, "closed_by": ENGINE}
                self._incidents[incident_id] = known.model_copy(update=change)

    def newest(self, *, only_open: bool, limit: int) -> tuple[Incident, ...]:
        """Return incidents, newest first."""
        found = sorted(self._incidents.values(), key=lambda one: (one.opened_at, one.id), reverse=True)
        return tuple(one for one in found if one.is_open or not only_open)[:limit]

    def incident(self, incident_id: str) -> Incident:
        """Return the incident with this id, or the only one whose id begins or ends so; raises UnknownIncident."""
        with self._lock:
            if incident_id in self._incidents:
                return self._incidents[incident_id]
            found = [one for one in self._incidents if one.startswith(incident_id) or one.endswith(incident_id)]
            if not incident_id or not found:
                raise UnknownIncident(
                    f"There is no incident {incident_id!r}.", next_step="see `remediate incident list --all`"
                )
            if len(found) > 1:
                listed = ", ".join(sorted(found)[:6])
                raise UnknownIncident(f"{incident_id!r} may be any of {listed}.", next_step="type more of the id")
            return self._incidents[found[0]]

    def open_of(self, runbook: str) -> Mapping[str, tuple[str, ...]]:
        """Return the hosts of each open incident of a runbook, by its id, oldest first; reviews are none."""
        found = reversed(self.newest(only_open=True, limit=len(self._incidents)))
        return {one.id: one.hosts for one in found if one.runbook == runbook and one.kind is IncidentKind.INCIDENT}

    def of_run(self, run_id: str) -> Incident | None:
        """Return the incident that a run belongs to."""
        return self._incidents.get(self._runs.get(run_id, ""))

    def join(self, incident_id: str, run_id: str, now: datetime) -> None:
        """Let a run belong to an incident; one that belongs to one stays there."""
        del now
        with self._lock:
            self._runs.setdefault(run_id, incident_id)

    def runs(self, incident_id: str) -> tuple[str, ...]:
        """Return the ids of the runs of an incident, in the order in which they joined."""
        return tuple(run_id for run_id, joined in self._runs.items() if joined == incident_id)

    def change(self, changed: Incident, entry: AuditEntry) -> None:
        """Record an incident as it is now, and what happened to it."""
        with self._lock:
            self._incidents[changed.id] = changed
            self.audited.append(entry)
