"""What the storm policy asks of the record: runs that go on, and attempts to change hosts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, RowMapping, func, select

from remediate.adapters.store.connection import Database
from remediate.adapters.store.tables import runs, transitions
from remediate.domain.run import RunStatus
from remediate.domain.storm import ACTING, Attempt, LiveRun

_began, _later, _ended, _moved = (transitions.alias(name) for name in ("began", "later", "ended", "moved"))


def live_runs(database: Database, statuses: Iterable[RunStatus]) -> tuple[LiveRun, ...]:
    """Return the runs in these states that do more than look, oldest first; plans and parameters are not read."""
    query = (
        select(runs.c.id, runs.c.runbook, runs.c.status, runs.c.hosts, runs.c.planned_hosts)
        .where(~runs.c.check_only, runs.c.status.in_([status.value for status in statuses]))
        .order_by(runs.c.created_at, runs.c.id)
    )
    with database.reading() as connection:
        rows = connection.execute(query).mappings().all()
    return tuple(
        LiveRun(run_id=row["id"], runbook=row["runbook"], hosts=_hosts(row), status=row["status"]) for row in rows
    )


def attempts(database: Database, since: datetime) -> tuple[Attempt, ...]:
    """Return the attempts of every run that moved at or after a moment, in the order of the record.

    An attempt is a transition to `snapshotting`; it ends with the next one to a state in which nothing acts.
    """
    lately = select(_moved.c.run_id).where(_moved.c.at >= since)
    query = (
        select(
            _began.c.id.label("sequence"),
            _began.c.at.label("began_at"),
            func.coalesce(_ended.c.to_status, runs.c.status).label("attempt_status"),
            *(runs.c[name] for name in ("id", "runbook", "hosts", "planned_hosts", "ended_at", "requested_by")),
        )
        .join(runs, runs.c.id == _began.c.run_id)
        .outerjoin(_ended, _ended.c.id == _first_end())
        .where(_began.c.to_status == RunStatus.SNAPSHOTTING.value, _began.c.run_id.in_(lately))
        .order_by(_began.c.id)
    )
    with database.reading() as connection:
        rows = connection.execute(query).mappings().all()
    return tuple(_attempt(row) for row in rows)


def _first_end() -> ColumnElement[int]:
    acting = [status.value for status in ACTING]
    return (
        select(func.min(_later.c.id))
        .where(_later.c.run_id == _began.c.run_id, _later.c.id > _began.c.id, _later.c.to_status.not_in(acting))
        .scalar_subquery()
    )


def _attempt(row: RowMapping) -> Attempt:
    return Attempt(
        sequence=row["sequence"],
        run_id=row["id"],
        runbook=row["runbook"],
        hosts=_hosts(row),
        status=row["attempt_status"],
        began_at=row["began_at"],
        ended_at=row["ended_at"],
        requested_by=row["requested_by"],
    )


def _hosts(row: RowMapping) -> tuple[str, ...]:
    """The hosts of the plan; a run that was recorded before they were kept apart has only those it was asked for."""
    return tuple(row["planned_hosts"] or row["hosts"])
