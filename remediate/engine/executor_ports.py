"""The port of what runs phases on hosts, and what goes through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Event
from typing import Protocol

from remediate.domain.host import Host
from remediate.domain.report import Report
from remediate.domain.run import PhaseOutcome, TaskRecord
from remediate.domain.runbook import ParameterValue, Phase, Runbook
from remediate.domain.value import Value


class PhaseRequest(Value):
    """One phase of one run, to be executed on some hosts."""

    run_id: str
    sequence: int
    runbook: Runbook
    phase: Phase
    hosts: tuple[str, ...]
    parameters: dict[str, ParameterValue]
    check: bool = False
    timeout: timedelta


class PhaseResult(Value):
    """What came of a phase: a report from each host that gave one, and a sentence for each that had trouble."""

    outcome: PhaseOutcome
    reports: dict[str, Report] = {}
    troubles: dict[str, str] = {}
    diffs: dict[str, str] = {}


#: Receives each task as it ends, and (with no outcome yet) the name of the task that begins.
TaskObserver = Callable[[TaskRecord], None]


class Executor(Protocol):
    """Runs the phases of runbooks on hosts."""

    def hosts(self) -> tuple[Host, ...]:
        """Return the hosts of the inventory; raises InvalidDocument when it cannot be read."""
        ...

    def stage(self, run_id: str, runbook: Runbook) -> dict[str, str]:
        """Copy the content for a run, so that it cannot change under it; return digests of what decides its work."""
        ...

    def run_phase(self, request: PhaseRequest, observe: TaskObserver, stop: Event) -> PhaseResult:
        """Run one phase to its end, its time limit, or `stop`; nothing of it is alive when this returns."""
        ...

    def inspect(self, hosts: Sequence[str]) -> dict[str, dict[str, object] | str]:
        """Look at whether hosts are ready: facts per host, or the message of what failed."""
        ...

    def warm_up(self) -> None:
        """Prepare for a phase that will come soon, beside what is done until then."""
        ...
