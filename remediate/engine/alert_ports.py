"""What the engine needs from the outside about alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from remediate.domain.alert import Alert, AlertAnswer, AlertRecord


@dataclass(frozen=True)
class Taken:
    """What became of an alert that was delivered: its record, and what was news about it."""

    record: AlertRecord
    #: Whether it was not known before.
    is_new: bool = False
    #: Whether it was open until now, and is over.
    has_ended: bool = False


class Alerts(Protocol):
    """The alerts that were delivered: one record for each fingerprint and start, however often it is delivered.

    Records are never removed, and go one way only: from firing to over.
    """

    def take(self, alerts: Sequence[Alert], now: datetime) -> tuple[Taken, ...]:
        """Record alerts that were delivered; each time that one stands here is a delivery of it.

        Returns each of them once, in the order in which they were named first.
        """
        ...

    def counted(self, deliveries: Mapping[str, int], now: datetime) -> None:
        """Add deliveries to alerts that are known, by their keys; nothing else about them was news."""
        ...

    def decided(self, key: str, answer: AlertAnswer, now: datetime) -> AlertRecord:
        """Record what was decided about an alert; raises UnknownAlert."""
        ...

    def decided_all(self, answers: Sequence[tuple[AlertRecord, AlertAnswer]], now: datetime) -> None:
        """Record what was decided about several alerts that are known."""
        ...

    def joined(self, key: str, incident_id: str) -> AlertRecord:
        """Record which incident an alert belongs to; raises UnknownAlert."""
        ...

    def resolved(self, key: str, now: datetime) -> AlertRecord | None:
        """Record that an alert is over, and return it; None when it was over already, or is not known."""
        ...

    def alert(self, key: str) -> AlertRecord:
        """Return an alert by its key; raises UnknownAlert."""
        ...

    def of_run(self, run_id: str) -> tuple[AlertRecord, ...]:
        """Return the alerts that a run was made of, oldest first."""
        ...

    def of_incident(self, incident_id: str) -> tuple[AlertRecord, ...]:
        """Return the alerts that belong to an incident, oldest first."""
        ...

    def open_ones(self, *, limit: int = 1000) -> tuple[AlertRecord, ...]:
        """Return the alerts that still fire as far as we were told, newest first."""
        ...

    def history(self, fingerprint: str, *, limit: int = 100) -> tuple[AlertRecord, ...]:
        """Return each time that an alert has fired, newest first."""
        ...

    def alerts(self, *, limit: int = 100) -> tuple[AlertRecord, ...]:
        """Return alerts, newest first."""
        ...


class AlertSource(Protocol):
    """A source that can be asked back: which alerts it holds now."""

    def alerts(self) -> tuple[Alert, ...]:
        """Return every alert that fires now; raises RemediateError when it does not answer as it should."""
        ...
