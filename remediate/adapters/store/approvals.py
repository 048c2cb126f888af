"""Requests for approval, answers and incidents in the database; each change is in the audit trail as well."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Integer, Select, bindparam, delete, insert, select, update

from remediate.adapters.store import trail
from remediate.adapters.store.connection import Database
from remediate.adapters.store.incidents import join, read, written
from remediate.adapters.store.tables import approval_decisions, approval_requests, incidents
from remediate.domain.approval import ApprovalDecision, ApprovalRequest, Asking
from remediate.domain.audit import ENGINE, AuditEntry
from remediate.domain.incident import Incident, IncidentKind, incident_entry
from remediate.errors import IllegalTransition


class DatabaseApprovals:
    """Implements the port `Approvals`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, request: ApprovalRequest) -> None:
        """Record a new request; one that the run had before is replaced."""
        with self._database.writing() as connection:
            connection.execute(delete(approval_requests).where(approval_requests.c.run_id == request.run_id))
            connection.execute(insert(approval_requests).values(_row(request)))
            trail.append(
                connection, _entry("approval.asked", request, request.opened_at, reasons=list(request.reasons))
            )

    def change(self, request: ApprovalRequest, *, why: str, at: datetime) -> ApprovalRequest:
        """Record a request changed at a moment; raises IllegalTransition when somebody else did meanwhile."""
        changed = request.model_copy(update={"version": request.version + 1})
        same = (approval_requests.c.run_id == request.run_id) & (approval_requests.c.version == request.version)
        with self._database.writing() as connection:
            if connection.execute(update(approval_requests).where(same).values(_row(changed))).rowcount != 1:
                raise IllegalTransition(f"The request for run {request.run_id} was changed by somebody else meanwhile.")
            action = "approval.changed" if changed.state is Asking.OPEN else f"approval.{changed.state.value}"
            trail.append(connection, _entry(action, changed, at, why=why))
        return changed

    def request(self, run_id: str) -> ApprovalRequest | None:
        """Return the newest request of a run."""
        with self._database.reading() as connection:
            query = select(approval_requests.c.body).where(approval_requests.c.run_id == run_id)
            body = connection.execute(query).scalar()
        return ApprovalRequest.model_validate(body) if body else None

    def requests(self, *, due_by: datetime | None = None, limit: int = 1000) -> tuple[ApprovalRequest, ...]:
        """Return open requests, those that are due first; only those due by a moment, when one is given."""
        given: dict[str, object] = {"most": limit} if due_by is None else {"most": limit, "due_by": due_by}
        with self._database.reading() as connection:
            rows = connection.execute(_open(only_due=due_by is not None), given).scalars().all()
        return tuple(ApprovalRequest.model_validate(body) for body in rows)

    def answer(self, decision: ApprovalDecision) -> None:
        """Record an answer; raises IllegalTransition when this person has answered to this plan already."""
        row = decision.model_dump(exclude={"answer"}) | {"answer": decision.answer.value}
        details = {"answer": decision.answer.value, "digest": decision.digest, "level": decision.level}
        entry = AuditEntry(
            at=decision.at,
            actor=decision.person,
            action="approval.answered",
            subject=decision.run_id,
            details={**details, "channel": decision.channel, "reason": decision.reason},
        )
        same = [approval_decisions.c[name] == row[name] for name in ("run_id", "digest", "person")]
        with self._database.writing() as connection:
            # Whoever writes is alone (docs/adr/0007), so nobody answers between this look and the answer.
            if connection.execute(select(approval_decisions.c.person).where(*same)).first():
                raise IllegalTransition(f"{decision.person} has answered to run {decision.run_id} already.")
            connection.execute(insert(approval_decisions).values(row))
            trail.append(connection, entry)

    def answers(self, run_id: str) -> tuple[ApprovalDecision, ...]:
        """Return the answers to the plans of a run, oldest first."""
        mine = approval_decisions.c.run_id == run_id
        query = select(approval_decisions).where(mine).order_by(approval_decisions.c.at, approval_decisions.c.person)
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return tuple(ApprovalDecision.model_validate(dict(row)) for row in rows)

    def open_incident(self, incident: Incident) -> None:
        """Record an incident; one that is known already is left as it is."""
        with self._database.writing() as connection:
            if connection.execute(select(incidents.c.id).where(incidents.c.id == incident.id)).scalar():
                return
            connection.execute(insert(incidents).values(written(incident)))
            if incident.run_id and incident.kind is IncidentKind.INCIDENT:
                join(connection, incident.id, incident.run_id, incident.opened_at)
            entry = incident_entry(incident, "incident.opened", ENGINE, incident.opened_at, incident.title)
            trail.append(connection, entry)

    def close_incident(self, incident_id: str, note: str, now: datetime) -> None:
        """Close an incident that is open."""
        is_open = (incidents.c.id == incident_id) & incidents.c.closed_at.is_(None)
        with self._database.writing() as connection:
            known = connection.execute(select(incidents).where(is_open)).mappings().first()
            if known is None:
                return
            change = {"status": "closed", "note": note, "closed_at": now, "closed_by": ENGINE}
            connection.execute(update(incidents).where(is_open).values(change))
            trail.append(connection, incident_entry(read(known), "incident.closed", ENGINE, now, note))

    def incidents(self, *, only_open: bool = True, limit: int = 100) -> tuple[Incident, ...]:
        """Return incidents, newest first."""
        query = select(incidents).order_by(incidents.c.opened_at.desc(), incidents.c.id.desc()).limit(limit)
        if only_open:
            query = query.where(incidents.c.closed_at.is_(None))
        with self._database.reading() as connection:
            return tuple(read(row) for row in connection.execute(query).mappings())


@cache
def _open(*, only_due: bool) -> Select[Any]:
    """At `most` so many open requests; made once, because the watch asks several times a second."""
    query = select(approval_requests.c.body).where(approval_requests.c.is_open)
    if only_due:
        query = query.where(approval_requests.c.next_at <= bindparam("due_by", type_=approval_requests.c.next_at.type))
    return query.order_by(approval_requests.c.next_at).limit(bindparam("most", type_=Integer))


def _row(request: ApprovalRequest) -> dict[str, object]:
    is_open = request.state is Asking.OPEN
    return {
        "run_id": request.run_id,
        "version": request.version,
        "body": request.model_dump(mode="json"),
        "is_open": is_open,
        "next_at": request.next_at if is_open else None,
    }


def _entry(action: str, request: ApprovalRequest, at: datetime, **details: object) -> AuditEntry:
    known = {"digest": request.digest, "level": request.level, "asked_level": request.asked_level}
    return AuditEntry.model_validate(
        {
            "at": at,
            "actor": "engine",
            "action": action,
            "subject": request.run_id,
            "details": {**known, "asked": list(request.asked), **details},
        }
    )
