"""Alerts in the database: one row for each fingerprint and start, however often it is delivered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, bindparam, insert, select, update

from remediate.adapters.store.connection import Database
from remediate.adapters.store.tables import alerts
from remediate.adapters.store.trail import append, append_all
from remediate.domain.alert import (
    Alert,
    AlertAnswer,
    AlertDecision,
    AlertRecord,
    AlertStatus,
    alert_decided,
    alert_resolved,
)
from remediate.engine.alert_ports import Taken
from remediate.errors import UnknownAlert

#: How many keys one query asks for: SQLite takes no more than 32766 variables, PostgreSQL 65535.
_AT_ONCE = 10_000


class DatabaseAlerts:
    """Implements the port `Alerts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, delivered: Sequence[Alert], now: datetime) -> tuple[Taken, ...]:
        """Record alerts that were delivered; each time that one stands here is a delivery of it."""
        first: dict[str, Alert] = {}
        for alert in delivered:
            first.setdefault(alert.key, alert)
        over = {alert.key for alert in delivered if alert.status is AlertStatus.RESOLVED}
        counts = Counter(alert.key for alert in delivered)
        with self._database.writing() as connection:
            known = _known(connection, list(first))
            fresh = [_row(alert, counts[key], now) for key, alert in first.items() if key not in known]
            if fresh:
                connection.execute(insert(alerts), fresh)
            _count(connection, {key: counts[key] for key in known}, now)
            ended = [key for key in first if key in over and (key not in known or known[key].is_open)]
            _end(connection, ended, now)
            records = _known(connection, list(first))
            append_all(connection, [alert_resolved(records[key], now) for key in ended])
        return tuple(Taken(records[key], key not in known, key in set(ended)) for key in first)

    def counted(self, deliveries: Mapping[str, int], now: datetime) -> None:
        """Add deliveries to alerts that are known, by their keys."""
        with self._database.writing() as connection:
            _count(connection, deliveries, now)

    def decided(self, key: str, answer: AlertAnswer, now: datetime) -> AlertRecord:
        """Record what was decided about an alert; raises UnknownAlert."""
        with self._database.writing() as connection:
            record = _changed(connection, key, _answered(answer))
            append(connection, alert_decided(record, answer, now))
        return record

    def decided_all(self, answers: Sequence[tuple[AlertRecord, AlertAnswer]], now: datetime) -> None:
        """Record what was decided about several alerts that are known."""
        if not answers:
            return
        columns: dict[str, Any] = {
            name: bindparam(f"new_{name}") for name in ("decision", "reason", "runbook", "mode", "run_id")
        }
        query = update(alerts).where(alerts.c.key == bindparam("known")).values(columns)
        rows = [
            {"known": record.key, **{f"new_{name}": value for name, value in _answered(answer).items()}}
            for record, answer in answers
        ]
        with self._database.writing() as connection:
            connection.execute(query, rows)
            append_all(connection, [alert_decided(record, answer, now) for record, answer in answers])

    def joined(self, key: str, incident_id: str) -> AlertRecord:
        """Record which incident an alert belongs to; raises UnknownAlert."""
        with self._database.writing() as connection:
            return _changed(connection, key, {"incident_id": incident_id})

    def resolved(self, key: str, now: datetime) -> AlertRecord | None:
        """Record that an alert is over, and return it; None when it was over already, or is not known."""
        with self._database.writing() as connection:
            known = _known(connection, [key]).get(key)
            if known is None or not known.is_open:
                return None
            record = _changed(connection, key, {"resolved_at": now})
            append(connection, alert_resolved(record, now))
        return record

    def alert(self, key: str) -> AlertRecord:
        """Return an alert by its key; raises UnknownAlert."""
        with self._database.reading() as connection:
            return _one(connection, key)

    def of_run(self, run_id: str) -> tuple[AlertRecord, ...]:
        """Return the alerts that a run was made of, oldest first."""
        return self._found(_select(alerts.c.run_id == run_id).order_by(alerts.c.first_seen, alerts.c.key))

    def of_incident(self, incident_id: str) -> tuple[AlertRecord, ...]:
        """Return the alerts that belong to an incident, oldest first."""
        return self._found(_select(alerts.c.incident_id == incident_id).order_by(alerts.c.first_seen, alerts.c.key))

    def open_ones(self, *, limit: int = 1000) -> tuple[AlertRecord, ...]:
        """Return the alerts that still fire as far as we were told, newest first."""
        return self._found(_newest(_select(alerts.c.resolved_at.is_(None)), limit))

    def history(self, fingerprint: str, *, limit: int = 100) -> tuple[AlertRecord, ...]:
        """Return each time that an alert has fired, newest first."""
        mine = _select(alerts.c.fingerprint == fingerprint)
        return self._found(mine.order_by(alerts.c.starts_at.desc()).limit(limit))

    def alerts(self, *, limit: int = 100) -> tuple[AlertRecord, ...]:
        """Return alerts, newest first."""
        return self._found(_newest(select(alerts), limit))

    def _found(self, query: Select[Any]) -> tuple[AlertRecord, ...]:
        with self._database.reading() as connection:
            return tuple(_record(row) for row in connection.execute(query).mappings())


def _select(which: ColumnElement[bool]) -> Select[Any]:
    return select(alerts).where(which)


def _newest(query: Select[Any], limit: int) -> Select[Any]:
    return query.order_by(alerts.c.first_seen.desc(), alerts.c.key.desc()).limit(limit)


def _known(connection: Connection, keys: Sequence[str]) -> dict[str, AlertRecord]:
    found: dict[str, AlertRecord] = {}
    for start in range(0, len(keys), _AT_ONCE):
        query = _select(alerts.c.key.in_(keys[start : start + _AT_ONCE]))
        found |= {row["key"]: _record(row) for row in connection.execute(query).mappings()}
    return found


def _count(connection: Connection, deliveries: Mapping[str, int], now: datetime) -> None:
    if deliveries:
        more = update(alerts).where(alerts.c.key == bindparam("known"))
        counts = [{"known": key, "more": count, "now": now} for key, count in deliveries.items()]
        grown = more.values(deliveries=alerts.c.deliveries + bindparam("more"), last_seen=bindparam("now"))
        connection.execute(grown, counts)


def _end(connection: Connection, keys: Sequence[str], now: datetime) -> None:
    if keys:
        query = update(alerts).where(alerts.c.key == bindparam("known")).values(resolved_at=bindparam("now"))
        connection.execute(query, [{"known": key, "now": now} for key in keys])


def _changed(connection: Connection, key: str, change: Mapping[str, object]) -> AlertRecord:
    connection.execute(update(alerts).where(alerts.c.key == key).values(**change))
    return _one(connection, key)


def _one(connection: Connection, key: str) -> AlertRecord:
    found = _known(connection, [key])
    if key not in found:
        raise UnknownAlert(f"There is no alert {key!r}.", next_step="see `remediate alerts`")
    return found[key]


def _answered(answer: AlertAnswer) -> dict[str, object]:
    return answer.model_dump(mode="json") | {"mode": answer.mode.value if answer.mode else ""}


def _row(alert: Alert, deliveries: int, now: datetime) -> dict[str, object]:
    return {
        "key": alert.key,
        "fingerprint": alert.fingerprint,
        "starts_at": alert.starts_at,
        "source": alert.source,
        "body": alert.model_dump(mode="json"),
        "first_seen": now,
        "last_seen": now,
        "deliveries": deliveries,
        "decision": AlertDecision.UNDECIDED.value,
        **dict.fromkeys(("reason", "runbook", "mode", "run_id", "incident_id"), ""),
        "resolved_at": None,
    }


def _record(row: RowMapping) -> AlertRecord:
    answer = {name: row[name] for name in ("decision", "reason", "runbook", "run_id")}
    return AlertRecord(
        alert=Alert.model_validate(row["body"]),
        first_seen=row["first_seen"],
        last_seen=row["last_seen"],
        deliveries=row["deliveries"],
        answer=AlertAnswer.model_validate({**answer, "mode": row["mode"] or None}),
        incident_id=row["incident_id"],
        resolved_at=row["resolved_at"],
    )
