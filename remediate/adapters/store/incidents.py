"""Incidents in the database, and the runs that belong to them; each change is in the audit trail as well."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update

from remediate.adapters.store import trail
from remediate.adapters.store.connection import Database
from remediate.adapters.store.tables import incident_runs, incidents
from remediate.domain.audit import AuditEntry
from remediate.domain.incident import Incident, IncidentKind
from remediate.errors import UnknownIncident

_COLUMNS = [incidents.c[name] for name in Incident.model_fields]


class DatabaseIncidents:
    """Implements the port `Incidents`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def incident(self, incident_id: str) -> Incident:
        """Return the incident with this id, or the only one whose id begins or ends so; raises UnknownIncident."""
        like = incidents.c.id.startswith(incident_id, autoescape=True) | incidents.c.id.endswith(
            incident_id, autoescape=True
        )
        with self._database.reading() as connection:
            exact = connection.execute(select(*_COLUMNS).where(incidents.c.id == incident_id)).mappings().first()
            if exact is not None:
                return read(exact)
            found = connection.execute(select(*_COLUMNS).where(like).limit(6)).mappings().all() if incident_id else []
        if len(found) == 1:
            return read(found[0])
        if found:
            listed = ", ".join(row["id"] for row in found)
            raise UnknownIncident(f"{incident_id!r} may be any of {listed}.", next_step="type more of the id")
        raise UnknownIncident(f"There is no incident {incident_id!r}.", next_step="see `remediate incident list --all`")

    def open_of(self, runbook: str) -> Mapping[str, tuple[str, ...]]:
        """Return the hosts of each open incident of a runbook, by its id, oldest first; reviews are none."""
        is_open = (incidents.c.status == "open") & (incidents.c.runbook == runbook)
        incident = incidents.c.kind == IncidentKind.INCIDENT.value
        query = select(incidents.c.id, incidents.c.hosts).where(is_open & incident)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(incidents.c.opened_at, incidents.c.id)).all()
        return {row.id: tuple(row.hosts or ()) for row in rows}

    def of_run(self, run_id: str) -> Incident | None:
        """Return the incident that a run belongs to."""
        belongs = incident_runs.c.incident_id == incidents.c.id
        query = select(*_COLUMNS).join(incident_runs, belongs).where(incident_runs.c.run_id == run_id)
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
        return read(row) if row is not None else None

    def join(self, incident_id: str, run_id: str, now: datetime) -> None:
        """Let a run belong to an incident; one that belongs to one stays there."""
        with self._database.writing() as connection:
            join(connection, incident_id, run_id, now)

    def runs(self, incident_id: str) -> tuple[str, ...]:
        """Return the ids of the runs of an incident, in the order in which they joined."""
        mine = incident_runs.c.incident_id == incident_id
        query = select(incident_runs.c.run_id).where(mine).order_by(incident_runs.c.joined_at, incident_runs.c.run_id)
        with self._database.reading() as connection:
            return tuple(connection.execute(query).scalars())

    def change(self, changed: Incident, entry: AuditEntry) -> None:
        """Record an incident as it is now, and what happened to it."""
        with self._database.writing() as connection:
            connection.execute(update(incidents).where(incidents.c.id == changed.id).values(written(changed)))
            trail.append(connection, entry)


def join(connection: Connection, incident_id: str, run_id: str, now: datetime) -> None:
    """Let a run belong to an incident, in a transaction that is open."""
    if connection.execute(select(incident_runs.c.run_id).where(incident_runs.c.run_id == run_id)).first() is None:
        connection.execute(insert(incident_runs).values(run_id=run_id, incident_id=incident_id, joined_at=now))


def written(incident: Incident) -> dict[str, object]:
    """Return an incident as a row."""
    return {
        **incident.model_dump(exclude={"kind", "severity", "hosts", "rto"}),
        "run_id": incident.run_id or None,
        "kind": incident.kind.value,
        "severity": incident.severity.value,
        "status": "open" if incident.is_open else "closed",
        "hosts": list(incident.hosts),
        "rto": int(incident.rto.total_seconds()) if incident.rto else None,
    }


def read(row: RowMapping) -> Incident:
    """Return a row as an incident; one of an older version of this program knows less."""
    values: dict[str, Any] = {name: row[name] for name in Incident.model_fields}
    rto = values["rto"]
    return Incident.model_validate(
        {
            **values,
            "run_id": values["run_id"] or "",
            "hosts": values["hosts"] or (),
            "rto": timedelta(seconds=rto) if rto is not None else None,
        }
    )
