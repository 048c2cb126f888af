"""Which runs stand where: the questions that the watch asks several times a second.

A statement is made once and asked often: to make one costs several times what the database needs to answer it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, exists, select

from remediate.adapters.store.tables import runs
from remediate.domain.run import OWNED, WAITING, RunStatus

_NAMES = ("status", "hosts", "carrier", "created_at", "parent", "stop_asked_by")


@cache
def standing(statuses: frozenset[RunStatus]) -> Select[Any]:
    """Runs in these states, oldest first; runs that only look and are planned have ended."""
    wanted = {status.value for status in statuses}
    acting = ~runs.c.check_only & runs.c.status.in_(wanted)
    looking = runs.c.check_only & runs.c.status.in_(wanted - {RunStatus.PLANNED.value})
    return _standing(acting | looking)


@cache
def handed_back() -> Select[Any]:
    """Runs that were handed over and whose children have all ended, oldest first."""
    child, later = runs.alias(), runs.alias()
    going_on = [status.value for status in OWNED | WAITING]
    followed = exists().where(later.c.continues == child.c.id)
    lost = (child.c.status == RunStatus.INTERRUPTED.value) & ~followed
    unfinished = exists().where(child.c.parent == runs.c.id, child.c.status.in_(going_on) | lost)
    return _standing((runs.c.status == RunStatus.HANDED_OVER.value) & ~unfinished)


@cache
def asked_to_stop() -> Select[str]:
    """Those of some runs, given as `run_ids`, that somebody wants to stop."""
    wanted = runs.c.id.in_(bindparam("run_ids", expanding=True)) & (runs.c.stop_asked_by != "")
    return select(runs.c.id).where(wanted)


def _standing(which: ColumnElement[bool]) -> Select[Any]:
    query = select(runs.c.id.label("run_id"), *(runs.c[name] for name in _NAMES)).where(which)
    return query.order_by(runs.c.created_at, runs.c.id)
