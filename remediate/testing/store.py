"""The twin of the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from threading import RLock

from remediate.domain import run_audit
from remediate.domain.audit import ENGINE
from remediate.domain.child_runs import has_ended
from remediate.domain.run import (
    OWNED,
    WAITING,
    PhaseRecord,
    Run,
    RunStatus,
    Standing,
    TaskRecord,
    Transition,
    Verified,
    allowed,
)
from remediate.domain.runbook import Phase
from remediate.domain.storm import ACTING, Attempt, LiveRun
from remediate.engine.executor_ports import PhaseResult
from remediate.errors import EngineFailure, IllegalTransition, UnknownRun
from remediate.testing.audit import MemoryTrail


class MemoryStore:
    """Implements the port `Store` in memory, for one process; its audit trail may be shared with other twins."""

    def __init__(self, trail: MemoryTrail | None = None) -> None:
        self.trail = trail or MemoryTrail()
        self._lock = RLock()
        self._runs: dict[str, Run] = {}
        self._stops: dict[str, str] = {}
        self._transitions: dict[str, list[Transition]] = {}
        self._phases: dict[str, list[PhaseRecord]] = {}
        #: Every transition in the order of the record: of which run, and which of its transitions.
        self._moves: list[tuple[str, int]] = []
        self._open = 0

    @contextmanager
    def together(self, *, urgent: bool = False) -> Iterator[None]:
        """Keep all other threads out until everything inside is written; what fails is not taken back."""
        del urgent  # nobody waits long here
        with self._lock:
            self._open += 1
            try:
                yield
            finally:
                self._open -= 1

    def in_turn(self) -> None:
        """Check that this thread keeps all others out; raises EngineFailure when it does not."""
        with self._lock:
            if not self._open:
                raise EngineFailure("A decision was about to be made outside of the transaction that records it.")

    def create_run(self, run: Run, *, by: str | None = None) -> None:
        """Record a new run and its first state."""
        with self._lock:
            self._runs[run.id] = run
            self._phases[run.id] = []
            self._transitions[run.id] = []
            self._note(run.id, _transition(None, run.status, "requested", run.created_at))
            self.trail.note(run_audit.run_requested(run, by or run.requested_by))

    def create_runs(self, made: Sequence[Run]) -> None:
        """Record several new runs, each asked for by who requested it."""
        with self._lock:
            for run in made:
                self.create_run(run)

    def move(
        self, run_id: str, current: RunStatus, wanted: RunStatus, reason: str, now: datetime, *, by: str = ENGINE
    ) -> Run:
        """Change the state of a run, where nobody else has changed it meanwhile."""
        if not allowed(current, wanted):
            raise IllegalTransition(f"Run {run_id} is {current.value}; it cannot become {wanted.value}.")
        ended = None if wanted in OWNED | WAITING else now
        change = {"status": wanted, "outcome": reason, "updated_at": now, "ended_at": ended}
        with self._lock:
            run = self._runs.get(run_id)
            if run is None or run.status is not current:
                raise IllegalTransition(f"Run {run_id} is no longer {current.value}: something else has changed it.")
            self._runs[run_id] = run.model_copy(update=change)
            self._note(run_id, _transition(current, wanted, reason, now))
            self.trail.note(run_audit.run_moved(run_id, current, wanted, reason, now, by))
            return self._runs[run_id]

    def save_plan(self, run: Run, *, now: datetime | None = None) -> None:
        """Record the plan of a run that carries one."""
        with self._lock:
            self._runs[run.id] = self._runs[run.id].model_copy(update={"plan": run.plan})
            if run.plan:
                self.trail.note(run_audit.plan_made(run.id, run.plan, now or run.updated_at))

    def run(self, run_id: str) -> Run:
        """Return the run with this id, or the only one whose id begins or ends so."""
        with self._lock:
            if run_id in self._runs:
                return self._runs[run_id]
            matches = [known for known in self._runs if known.startswith(run_id) or known.endswith(run_id)]
            if not run_id or not matches:
                raise UnknownRun(f"There is no run {run_id!r}.", next_step="see `remediate runs`")
            if len(matches) > 1:
                listed = ", ".join(sorted(matches)[:6])
                raise UnknownRun(f"{run_id!r} may be any of {listed}.", next_step="type more of the id")
            return self._runs[matches[0]]

    def runs(self, *, limit: int, runbook: str | None = None, statuses: Iterable[RunStatus] = ()) -> tuple[Run, ...]:
        """Return runs, newest first."""
        wanted = set(statuses)
        with self._lock:
            newest = sorted(self._runs.values(), key=lambda run: (run.created_at, run.id), reverse=True)
        found = (run for run in newest if not wanted or run.status in wanted)
        return tuple(run for run in found if not runbook or run.runbook == runbook)[:limit]

    def ask_to_stop(self, run_id: str, by: str) -> None:
        """Record that somebody wants a run to stop, for whoever carries it."""
        self._stops[run_id] = by

    def asked_to_stop(self, run_ids: Iterable[str]) -> frozenset[str]:
        """Return those of some runs that somebody wants to stop."""
        return frozenset(self._stops) & frozenset(run_ids)

    def standing(self, statuses: Iterable[RunStatus]) -> tuple[Standing, ...]:
        """Return where the runs in these states stand, oldest first; runs that only look and are planned have ended."""
        wanted = set(statuses)
        with self._lock:
            return tuple(
                self._standing(run)
                for run in self._oldest()
                if run.status in wanted and not (run.check and run.status is RunStatus.PLANNED)
            )

    def waiting_for(self, carrier: str) -> int:
        """Return how many runs wait for a carrier of this kind to begin with them."""
        with self._lock:
            return sum(run.status is RunStatus.REQUESTED and run.carrier == carrier for run in self._oldest())

    def _standing(self, run: Run) -> Standing:
        return Standing(
            run_id=run.id,
            status=run.status,
            hosts=run.hosts,
            carrier=run.carrier,
            created_at=run.created_at,
            parent=run.parent,
            stop_asked_by=self._stops.get(run.id, ""),
        )

    def broken_off(self) -> tuple[Run, ...]:
        """Return the interrupted runs of services that nobody has gone on with, oldest first."""
        with self._lock:
            followed = {run.continues for run in self._runs.values()}
            lost = [run for run in self._oldest() if run.status is RunStatus.INTERRUPTED and run.id not in followed]
        return tuple(run for run in lost if run.carrier == "service")

    def _oldest(self) -> list[Run]:
        return sorted(self._runs.values(), key=lambda run: (run.created_at, run.id))

    def continuations(self, run_id: str) -> tuple[Run, ...]:
        """Return the runs that continue a run, oldest first."""
        with self._lock:
            found = [run for run in self._runs.values() if run.continues == run_id]
        return tuple(sorted(found, key=lambda run: (run.created_at, run.id)))

    def children(self, run_id: str) -> tuple[Run, ...]:
        """Return the runs that a run handed over to, oldest first."""
        with self._lock:
            return tuple(run for run in self._oldest() if run.parent == run_id)

    def handed_back(self) -> tuple[Standing, ...]:
        """Return where the runs stand that were handed over and whose children have all ended, oldest first."""
        with self._lock:
            followed = {run.continues for run in self._runs.values()}
            newest = [run for run in self._runs.values() if run.id not in followed]
            unfinished = {run.parent for run in newest if not has_ended(run)}
            handed = [run for run in self._oldest() if run.status is RunStatus.HANDED_OVER]
            return tuple(self._standing(run) for run in handed if run.id not in unfinished)

    def live(self, statuses: Iterable[RunStatus]) -> tuple[LiveRun, ...]:
        """Return the runs in these states that do more than look, oldest first."""
        wanted = set(statuses)
        with self._lock:
            oldest = sorted(self._runs.values(), key=lambda run: (run.created_at, run.id))
        return tuple(
            LiveRun(run_id=run.id, runbook=run.runbook, hosts=_hosts(run), status=run.status)
            for run in oldest
            if run.status in wanted and not run.check
        )

    def attempts(self, since: datetime) -> tuple[Attempt, ...]:
        """Return the attempts of every run that moved at or after a moment, in the order of the record."""
        with self._lock:
            lately = {run_id for run_id, moves in self._transitions.items() if any(move.at >= since for move in moves)}
            return tuple(
                self._attempt(sequence, run_id, index)
                for sequence, (run_id, index) in enumerate(self._moves, start=1)
                if run_id in lately and self._transitions[run_id][index].to_status is RunStatus.SNAPSHOTTING
            )

    def transitions(self, run_id: str) -> tuple[Transition, ...]:
        """Return the states that a run went through, oldest first."""
        return tuple(self._transitions.get(run_id, ()))

    def begin_phase(self, run_id: str, phase: Phase, *, check: bool, now: datetime) -> int:
        """Record that a phase begins and return its sequence number within the run."""
        with self._lock:
            sequence = len(self._phases[run_id]) + 1
            record = PhaseRecord(
                sequence=sequence, phase=phase, check=check, outcome=None, started_at=now, ended_at=None
            )
            self._phases[run_id].append(record)
            self.trail.note(run_audit.phase_began(run_id, sequence, phase, now, check=check))
            return sequence

    def add_task(self, run_id: str, sequence: int, task: TaskRecord) -> None:
        """Record one task of a phase that goes on."""
        with self._lock:
            record = self._phases[run_id][sequence - 1]
            self._change_phase(run_id, sequence, {"tasks": (*record.tasks, task)})
            if entry := run_audit.task_ended(run_id, record.phase, task, check=record.check):
                self.trail.note(entry)

    def end_phase(self, run_id: str, sequence: int, result: PhaseResult, now: datetime) -> None:
        """Record the end of a phase and its reports."""
        reports = {host: report.model_dump(mode="json") for host, report in result.reports.items()}
        change = {"outcome": result.outcome, "reports": reports, "troubles": result.troubles, "ended_at": now}
        with self._lock:
            self._change_phase(run_id, sequence, change)
            phase, troubled = self._phases[run_id][sequence - 1].phase, list(result.troubles)
            self.trail.note(run_audit.phase_ended(run_id, sequence, phase, result.outcome, troubled, now))
            for entry in run_audit.drills_reported(run_id, result.reports.values(), now):
                self.trail.note(entry)

    def phases(self, run_id: str) -> tuple[PhaseRecord, ...]:
        """Return the phases of a run with their tasks."""
        return tuple(self._phases.get(run_id, ()))

    def verified(self, runbook: str, *, limit: int) -> tuple[Verified, ...]:
        """Return what the last verification of each run of a runbook reported, newest first."""
        with self._lock:
            ended = [
                Verified(run_id=run_id, ended_at=last.ended_at, reports=last.reports)
                for run_id, records in self._phases.items()
                if self._runs[run_id].runbook == runbook and (last := _last_verification(records)) and last.ended_at
            ]
        return tuple(sorted(ended, key=lambda one: (one.ended_at, one.run_id), reverse=True)[:limit])

    def _note(self, run_id: str, move: Transition) -> None:
        self._moves.append((run_id, len(self._transitions[run_id])))
        self._transitions[run_id].append(move)

    def _attempt(self, sequence: int, run_id: str, index: int) -> Attempt:
        run = self._runs[run_id]
        began, *later = self._transitions[run_id][index:]
        following = (move.to_status for move in later)
        return Attempt(
            sequence=sequence,
            run_id=run_id,
            runbook=run.runbook,
            hosts=_hosts(run),
            status=next((status for status in following if status not in ACTING), run.status),
            began_at=began.at,
            ended_at=run.ended_at,
            requested_by=run.requested_by,
        )

    def _change_phase(self, run_id: str, sequence: int, change: Mapping[str, object]) -> None:
        records = self._phases[run_id]
        records[sequence - 1] = records[sequence - 1].model_copy(update=change)


def _last_verification(records: Sequence[PhaseRecord]) -> PhaseRecord | None:
    found = (record for record in reversed(records) if record.phase is Phase.VERIFY and record.ended_at)
    return next(found, None)


def _hosts(run: Run) -> tuple[str, ...]:
    return tuple(run.plan.hosts if run.plan else ()) or run.hosts


def _transition(current: RunStatus | None, wanted: RunStatus, reason: str, at: datetime) -> Transition:
    return Transition(from_status=current, to_status=wanted, reason=reason, at=at)
