"""Runs one phase and records everything about it while it goes on."""

from __future__ import annotations

from threading import Event

from remediate.domain.run import Run, TaskRecord
from remediate.domain.runbook import Phase, Runbook
from remediate.engine.events import Observer, PhaseBegan, PhaseEnded, TaskEnded
from remediate.engine.executor_ports import PhaseRequest, PhaseResult
from remediate.engine.ports import Ports


class PhaseRunner:
    """Runs the phases of one run: the record is written before and after, and each task as it ends."""

    def __init__(self, ports: Ports, runbook: Runbook, observe: Observer) -> None:
        self._ports = ports
        self._runbook = runbook
        self._observe = observe

    def run(self, run: Run, phase: Phase, hosts: tuple[str, ...], stop: Event, *, check: bool = False) -> PhaseResult:
        """Run a phase on some hosts of the run and return what came of it."""
        store, clock = self._ports.store, self._ports.clock
        began = clock.now()
        sequence = store.begin_phase(run.id, phase, check=check, now=began)
        self._observe(PhaseBegan(phase, check, hosts))

        def record(task: TaskRecord) -> None:
            store.add_task(run.id, sequence, task)
            self._observe(TaskEnded(phase, task))

        request = PhaseRequest(
            run_id=run.id,
            sequence=sequence,
            runbook=self._runbook,
            phase=phase,
            hosts=hosts,
            parameters=run.parameters,
            check=check,
            timeout=self._runbook.limits(phase).timeout,
        )
        result = self._ports.executor.run_phase(request, record, stop)
        ended = clock.now()
        store.end_phase(run.id, sequence, result, ended)
        self._observe(PhaseEnded(phase, check, result.outcome, (ended - began).total_seconds()))
        return result
