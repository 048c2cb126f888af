"""The twin of the alerts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from threading import RLock

from remediate.domain.alert import (
    Alert,
    AlertAnswer,
    AlertRecord,
    AlertStatus,
    alert_decided,
    alert_resolved,
)
from remediate.domain.audit import AuditEntry
from remediate.engine.alert_ports import Taken
from remediate.errors import UnknownAlert


class MemoryAlerts:
    """Implements the port `Alerts` in memory; `note` is given what the trail would say."""

    def __init__(self, note: Callable[[AuditEntry], object] = lambda _entry: None) -> None:
        self._lock = RLock()
        self._note = note
        self._records: dict[str, AlertRecord] = {}

    def take(self, delivered: Sequence[Alert], now: datetime) -> tuple[Taken, ...]:
        """Record alerts that were delivered; each time that one stands here is a delivery of it."""
        with self._lock:
            before = dict(self._records)
            for alert in delivered:
                record = self._records.get(alert.key)
                self._records[alert.key] = (
                    record.model_copy(update={"deliveries": record.deliveries + 1, "last_seen": now})
                    if record
                    else AlertRecord(alert=alert, first_seen=now, last_seen=now, deliveries=1)
                )
            over = {alert.key for alert in delivered if alert.status is AlertStatus.RESOLVED}
            ended = {key for key in dict.fromkeys(a.key for a in delivered) if key in over and self.resolved(key, now)}
            keys = dict.fromkeys(alert.key for alert in delivered)
            return tuple(Taken(self._records[key], key not in before, key in ended) for key in keys)

    def counted(self, deliveries: Mapping[str, int], now: datetime) -> None:
        """Add deliveries to alerts that are known, by their keys."""
        with self._lock:
            for key, count in deliveries.items():
                if record := self._records.get(key):
                    self._change(key, deliveries=record.deliveries + count, last_seen=now)

    def decided(self, key: str, answer: AlertAnswer, now: datetime) -> AlertRecord:
        """Record what was decided about an alert; raises UnknownAlert."""
        with self._lock:
            record = self._change(key, answer=answer)
            self._note(alert_decided(record, answer, now))
            return record

    def decided_all(self, answers: Sequence[tuple[AlertRecord, AlertAnswer]], now: datetime) -> None:
        """Record what was decided about several alerts that are known."""
        with self._lock:
            for record, answer in answers:
                self.decided(record.key, answer, now)

    def joined(self, key: str, incident_id: str) -> AlertRecord:
        """Record which incident an alert belongs to; raises UnknownAlert."""
        with self._lock:
            return self._change(key, incident_id=incident_id)

    def resolved(self, key: str, now: datetime) -> AlertRecord | None:
        """Record that an alert is over, and return it; None when it was over already, or is not known."""
        with self._lock:
            known = self._records.get(key)
            if known is None or not known.is_open:
                return None
            record = self._change(key, resolved_at=now)
            self._note(alert_resolved(record, now))
            return record

    def alert(self, key: str) -> AlertRecord:
        """Return an alert by its key; raises UnknownAlert."""
        with self._lock:
            if key not in self._records:
                raise UnknownAlert(f"There is no alert {key!r}.", next_step="see `remediate alerts`")
            return self._records[key]

    def of_run(self, run_id: str) -> tuple[AlertRecord, ...]:
        """Return the alerts that a run was made of, oldest first."""
        return tuple(one for one in reversed(self._newest()) if one.answer.run_id == run_id)

    def of_incident(self, incident_id: str) -> tuple[AlertRecord, ...]:
        """Return the alerts that belong to an incident, oldest first."""
        found = [record for record in self._records.values() if record.incident_id == incident_id]
        return tuple(sorted(found, key=lambda record: (record.first_seen, record.key)))

    def open_ones(self, *, limit: int = 1000) -> tuple[AlertRecord, ...]:
        """Return the alerts that still fire as far as we were told, newest first."""
        return tuple(one for one in self._newest() if one.is_open)[:limit]

    def history(self, fingerprint: str, *, limit: int = 100) -> tuple[AlertRecord, ...]:
        """Return each time that an alert has fired, newest first."""
        mine = [one for one in self._newest() if one.alert.fingerprint == fingerprint]
        return tuple(sorted(mine, key=lambda one: one.alert.starts_at, reverse=True)[:limit])

    def alerts(self, *, limit: int = 100) -> tuple[AlertRecord, ...]:
        """Return alerts, newest first."""
        return tuple(self._newest()[:limit])

    def _newest(self) -> list[AlertRecord]:
        with self._lock:
            return sorted(self._records.values(), key=lambda one: (one.first_seen, one.key), reverse=True)

    def _change(self, key: str, **change: object) -> AlertRecord:
        self._records[key] = self.alert(key).model_copy(update=change)
        return self._records[key]
