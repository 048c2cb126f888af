"""What the engine needs from the outside about incidents, beyond opening and closing them with a run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from remediate.domain.audit import AuditEntry
from remediate.domain.incident import Incident


class Incidents(Protocol):
    """The incidents, the runs that belong to them, and changes of them. Every method is one transaction."""

    def incident(self, incident_id: str) -> Incident:
        """Return the incident with this id, or the only one whose id begins or ends so; raises UnknownIncident."""
        ...

    def open_of(self, runbook: str) -> Mapping[str, tuple[str, ...]]:
        """Return the hosts of each open incident of a runbook, by its id, oldest first; reviews are none."""
        ...

    def of_run(self, run_id: str) -> Incident | None:
        """Return the incident that a run belongs to."""
        ...

    def join(self, incident_id: str, run_id: str, now: datetime) -> None:
        """Let a run belong to an incident; one that belongs to one stays there."""
        ...

    def runs(self, incident_id: str) -> tuple[str, ...]:
        """Return the ids of the runs of an incident, in the order in which they joined."""
        ...

    def change(self, changed: Incident, entry: AuditEntry) -> None:
        """Record an incident as it is now, and what happened to it.

        To be called in the transaction in which it was read.
        """
        ...
