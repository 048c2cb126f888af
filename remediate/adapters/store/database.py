"""The store on a database: every method is one transaction, every change of state is compare-and-set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, exists, func, insert, select, update

from remediate.adapters.store import standing
from remediate.adapters.store.attempts import attempts, live_runs
from remediate.adapters.store.connection import Database
from remediate.adapters.store.tables import phases, runs, tasks, transitions
from remediate.adapters.store.trail import append, append_all
from remediate.domain import run_audit
from remediate.domain.audit import ENGINE
from remediate.domain.plan import Plan
from remediate.domain.run import (
    OWNED,
    WAITING,
    PhaseRecord,
    Run,
    RunStatus,
    Standing,
    TaskOutcome,
    TaskRecord,
    Transition,
    Verified,
    allowed,
)
from remediate.domain.runbook import Phase
from remediate.domain.storm import Attempt, LiveRun
from remediate.engine.executor_ports import PhaseResult
from remediate.errors import EngineFailure, IllegalTransition, UnknownRun


class DatabaseStore:
    """Implements the port `Store` on any database that SQLAlchemy Core speaks to.

    What happens to a run is told to the audit trail in the same transaction.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def together(self, *, urgent: bool = False) -> AbstractContextManager[object]:
        """Open one transaction: all that this thread writes to any table of the site inside it is written together."""
        return self._database.writing(urgent=urgent)

    def in_turn(self) -> None:
        """Be alone with the record until the open transaction ends; raises EngineFailure when none is open."""
        if not self._database.in_transaction:
            raise EngineFailure("A decision was about to be made outside of the transaction that records it.")

    def create_run(self, run: Run, *, by: str | None = None) -> None:
        """Record a new run and its first state."""
        with self._database.writing() as connection:
            connection.execute(insert(runs).values(_run_row(run)))
            connection.execute(_transition(run.id, None, run.status, "requested", run.created_at))
            append(connection, run_audit.run_requested(run, by or run.requested_by))

    def create_runs(self, made: Sequence[Run]) -> None:
        """Record several new runs in one go; each was asked for by who requested it."""
        if not made:
            return
        first = [_transition_row(run.id, None, run.status, "requested", run.created_at) for run in made]
        with self._database.writing() as connection:
            connection.execute(insert(runs), [_run_row(run) for run in made])
            connection.execute(insert(transitions), first)
            append_all(connection, [run_audit.run_requested(run, run.requested_by) for run in made])

    def move(
        self, run_id: str, current: RunStatus, wanted: RunStatus, reason: str, now: datetime, *, by: str = ENGINE
    ) -> Run:
        """Change the state of a run, where nobody else has changed it meanwhile."""
        if not allowed(current, wanted):
            raise IllegalTransition(f"Run {run_id} is {current.value}; it cannot become {wanted.value}.")
        ended = None if wanted in OWNED | WAITING else now
        change = {"status": wanted.value, "outcome": reason, "updated_at": now, "ended_at": ended}
        with self._database.writing() as connection:
            claim = update(runs).where(runs.c.id == run_id, runs.c.status == current.value).values(change)
            if connection.execute(claim).rowcount != 1:
                raise IllegalTransition(f"Run {run_id} is no longer {current.value}: something else has changed it.")
            connection.execute(_transition(run_id, current, wanted, reason, now))
            append(connection, run_audit.run_moved(run_id, current, wanted, reason, now, by))
            row = connection.execute(select(runs).where(runs.c.id == run_id)).mappings().one()
        return _run(row)

    def save_plan(self, run: Run, *, now: datetime | None = None) -> None:
        """Record the plan of a run that carries one."""
        plan = run.plan.model_dump(mode="json") if run.plan else None
        change = {"plan": plan, "planned_hosts": _planned_hosts(run)}
        with self._database.writing() as connection:
            connection.execute(update(runs).where(runs.c.id == run.id).values(change))
            if run.plan:
                append(connection, run_audit.plan_made(run.id, run.plan, now or run.updated_at))

    def run(self, run_id: str) -> Run:
        """Return the run with this id, or the only one whose id begins or ends so."""
        matches = runs.c.id.startswith(run_id, autoescape=True) | runs.c.id.endswith(run_id, autoescape=True)
        with self._database.reading() as connection:
            # A whole id is looked up; to look for a part of one is to look through all runs.
            exact = connection.execute(select(runs).where(runs.c.id == run_id)).mappings().first()
            if exact is not None:
                return _run(exact)
            found = connection.execute(select(runs).where(matches).limit(6)).mappings().all() if run_id else []
        if len(found) == 1:
            return _run(found[0])
        if found:
            raise UnknownRun(
                f"{run_id!r} may be any of {', '.join(row['id'] for row in found)}.", next_step="type more of the id"
            )
        raise UnknownRun(f"There is no run {run_id!r}.", next_step="see `remediate runs`")

    def runs(self, *, limit: int, runbook: str | None = None, statuses: Iterable[RunStatus] = ()) -> tuple[Run, ...]:
        """Return runs, newest first."""
        query = select(runs).order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit)
        if runbook:
            query = query.where(runs.c.runbook == runbook)
        if wanted := [status.value for status in statuses]:
            query = query.where(runs.c.status.in_(wanted))
        with self._database.reading() as connection:
            return tuple(_run(row) for row in connection.execute(query).mappings())

    def ask_to_stop(self, run_id: str, by: str) -> None:
        """Record that somebody wants a run to stop, for whoever carries it."""
        with self._database.writing() as connection:
            connection.execute(update(runs).where(runs.c.id == run_id).values(stop_asked_by=by))

    def asked_to_stop(self, run_ids: Iterable[str]) -> frozenset[str]:
        """Return those of some runs that somebody wants to stop."""
        with self._database.reading() as connection:
            asked = connection.execute(standing.asked_to_stop(), {"run_ids": list(run_ids)})
            return frozenset(asked.scalars())

    def standing(self, statuses: Iterable[RunStatus]) -> tuple[Standing, ...]:
        """Return where the runs in these states stand, oldest first; runs that only look and are planned have ended."""
        return self._standing(standing.standing(frozenset(statuses)))

    def waiting_for(self, carrier: str) -> int:
        """Return how many runs wait for a carrier of this kind to begin with them."""
        waiting = (runs.c.status == RunStatus.REQUESTED.value) & (runs.c.carrier == carrier)
        with self._database.reading() as connection:
            return int(connection.execute(select(func.count()).select_from(runs).where(waiting)).scalar_one())

    def _standing(self, query: Select[Any]) -> tuple[Standing, ...]:
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return tuple(Standing.model_validate(dict(row)) for row in rows)

    def broken_off(self) -> tuple[Run, ...]:
        """Return the interrupted runs of services that nobody has gone on with, oldest first."""
        later = runs.alias()
        followed = exists().where(later.c.continues == runs.c.id)
        lost = (runs.c.status == RunStatus.INTERRUPTED.value) & (runs.c.carrier == "service") & ~followed
        with self._database.reading() as connection:
            rows = connection.execute(select(runs).where(lost).order_by(runs.c.created_at, runs.c.id)).mappings().all()
        return tuple(_run(row) for row in rows)

    def continuations(self, run_id: str) -> tuple[Run, ...]:
        """Return the runs that continue a run, oldest first."""
        query = select(runs).where(runs.c.continues == run_id).order_by(runs.c.created_at, runs.c.id)
        with self._database.reading() as connection:
            return tuple(_run(row) for row in connection.execute(query).mappings())

    def children(self, run_id: str) -> tuple[Run, ...]:
        """Return the runs that a run handed over to, oldest first."""
        query = select(runs).where(runs.c.parent == run_id).order_by(runs.c.created_at, runs.c.id)
        with self._database.reading() as connection:
            return tuple(_run(row) for row in connection.execute(query).mappings())

    def handed_back(self) -> tuple[Standing, ...]:
        """Return where the runs stand that were handed over and whose children have all ended, oldest first."""
        return self._standing(standing.handed_back())

    def live(self, statuses: Iterable[RunStatus]) -> tuple[LiveRun, ...]:
        """Return the runs in these states that do more than look, oldest first."""
        return live_runs(self._database, statuses)

    def attempts(self, since: datetime) -> tuple[Attempt, ...]:
        """Return the attempts of every run that moved at or after a moment, in the order of the record."""
        return attempts(self._database, since)

    def transitions(self, run_id: str) -> tuple[Transition, ...]:
        """Return the states that a run went through, oldest first."""
        query = select(transitions).where(transitions.c.run_id == run_id).order_by(transitions.c.id)
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return tuple(
            Transition(from_status=row["from_status"], to_status=row["to_status"], reason=row["reason"], at=row["at"])
            for row in rows
        )

    def begin_phase(self, run_id: str, phase: Phase, *, check: bool, now: datetime) -> int:
        """Record that a phase begins and return its sequence number within the run."""
        with self._database.writing() as connection:
            last = connection.execute(select(func.max(phases.c.sequence)).where(phases.c.run_id == run_id)).scalar()
            sequence = (last or 0) + 1
            row = {"run_id": run_id, "sequence": sequence, "phase": phase.value, "check_only": check, "started_at": now}
            connection.execute(insert(phases).values(**row, reports={}, troubles={}))
            append(connection, run_audit.phase_began(run_id, sequence, phase, now, check=check))
        return sequence

    def add_task(self, run_id: str, sequence: int, task: TaskRecord) -> None:
        """Record one task of a phase that goes on."""
        with self._database.writing() as connection:
            connection.execute(insert(tasks).values(run_id=run_id, sequence=sequence, **task.model_dump()))
            if task.outcome not in {TaskOutcome.OK, TaskOutcome.SKIPPED}:
                phase, check = _phase_of(connection, run_id, sequence)
                if entry := run_audit.task_ended(run_id, phase, task, check=check):
                    append(connection, entry)

    def end_phase(self, run_id: str, sequence: int, result: PhaseResult, now: datetime) -> None:
        """Record the end of a phase and its reports."""
        reports = {host: report.model_dump(mode="json") for host, report in result.reports.items()}
        change = {"outcome": result.outcome.value, "reports": reports, "troubles": result.troubles, "ended_at": now}
        with self._database.writing() as connection:
            connection.execute(
                update(phases).where(phases.c.run_id == run_id, phases.c.sequence == sequence).values(change)
            )
            phase, _check = _phase_of(connection, run_id, sequence)
            troubled = list(result.troubles)
            append(connection, run_audit.phase_ended(run_id, sequence, phase, result.outcome, troubled, now))
            append_all(connection, run_audit.drills_reported(run_id, result.reports.values(), now))

    def phases(self, run_id: str) -> tuple[PhaseRecord, ...]:
        """Return the phases of a run with their tasks."""
        with self._database.reading() as connection:
            phase_rows = (
                connection.execute(select(phases).where(phases.c.run_id == run_id).order_by(phases.c.sequence))
                .mappings()
                .all()
            )
            task_rows = (
                connection.execute(select(tasks).where(tasks.c.run_id == run_id).order_by(tasks.c.id)).mappings().all()
            )
        return tuple(
            _phase(row, (task for task in task_rows if task["sequence"] == row["sequence"])) for row in phase_rows
        )

    def verified(self, runbook: str, *, limit: int) -> tuple[Verified, ...]:
        """Return what the last verification of each run of a runbook reported, newest first."""
        ended = (phases.c.phase == Phase.VERIFY.value) & phases.c.ended_at.is_not(None)
        last = select(phases.c.run_id, func.max(phases.c.sequence).label("sequence")).where(ended)
        newest = last.group_by(phases.c.run_id).subquery()
        query = (
            select(phases.c.run_id, phases.c.ended_at, phases.c.reports)
            .join(newest, (newest.c.run_id == phases.c.run_id) & (newest.c.sequence == phases.c.sequence))
            .join(runs, (runs.c.id == phases.c.run_id) & (runs.c.runbook == runbook))
            .order_by(phases.c.ended_at.desc(), phases.c.run_id.desc())
        )
        with self._database.reading() as connection:
            rows = connection.execute(query.limit(limit)).mappings().all()
        return tuple(Verified.model_validate(dict(row)) for row in rows)


def _phase_of(connection: Connection, run_id: str, sequence: int) -> tuple[Phase, bool]:
    """Return which phase this is, and whether it is a dry run."""
    query = select(phases.c.phase, phases.c.check_only).where(phases.c.run_id == run_id, phases.c.sequence == sequence)
    row = connection.execute(query).one()
    return Phase(row.phase), row.check_only


def _transition(run_id: str, current: RunStatus | None, wanted: RunStatus, reason: str, now: datetime) -> Any:
    return insert(transitions).values(_transition_row(run_id, current, wanted, reason, now))


def _transition_row(
    run_id: str, current: RunStatus | None, wanted: RunStatus, reason: str, now: datetime
) -> dict[str, object]:
    return {
        "run_id": run_id,
        "from_status": current.value if current else None,
        "to_status": wanted.value,
        "reason": reason,
        "at": now,
    }


def _run_row(run: Run) -> dict[str, object]:
    row = run.model_dump(mode="json", exclude={"check", "created_at", "updated_at", "ended_at"})
    return {
        **row,
        "planned_hosts": _planned_hosts(run),
        "check_only": run.check,
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "ended_at": run.ended_at,
    }


def _planned_hosts(run: Run) -> list[str] | None:
    return list(run.plan.hosts) if run.plan else None


def _run(row: RowMapping) -> Run:
    values: dict[str, Any] = dict(row)
    values["check"] = values.pop("check_only")
    del values["stop_asked_by"]
    del values["planned_hosts"]
    values["plan"] = Plan.model_validate(values["plan"]) if values["plan"] else None
    return Run.model_validate(values)


def _phase(row: RowMapping, task_rows: Iterable[RowMapping]) -> PhaseRecord:
    return PhaseRecord(
        sequence=row["sequence"],
        phase=row["phase"],
        check=row["check_only"],
        outcome=row["outcome"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        reports=row["reports"],
        troubles=row["troubles"],
        tasks=tuple(_task(task) for task in task_rows),
    )


def _task(row: RowMapping) -> TaskRecord:
    return TaskRecord.model_validate({name: row[name] for name in TaskRecord.model_fields})
