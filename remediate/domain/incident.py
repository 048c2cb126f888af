"""An incident: something is wrong, until it is proven cured. A review: something is to be looked at afterwards."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from remediate.domain.runbook import Severity
from remediate.domain.value import Value


class IncidentKind(StrEnum):
    """What an entry is about."""

    INCIDENT = "incident"
    #: An emergency override was used: it is looked at afterwards.
    REVIEW = "review"


class Incident(Value):
    """One problem, from the run that found it."""

    id: str
    kind: IncidentKind = IncidentKind.INCIDENT
    run_id: str
    severity: Severity
    title: str
    note: str = ""
    opened_at: datetime
    closed_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is not closed yet."""
        return self.closed_at is None
