"""What an observer of a run is told while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from remediate.domain.plan import Plan
from remediate.domain.run import PhaseOutcome, Run, RunStatus, TaskRecord
from remediate.domain.runbook import Phase


@dataclass(frozen=True)
class StatusChanged:
    """The run went to another state."""

    run: Run
    status: RunStatus
    reason: str


@dataclass(frozen=True)
class PhaseBegan:
    """A phase began."""

    phase: Phase
    check: bool
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class TaskEnded:
    """A task ended on a host."""

    phase: Phase
    task: TaskRecord


@dataclass(frozen=True)
class PhaseEnded:
    """A phase ended."""

    phase: Phase
    check: bool
    outcome: PhaseOutcome
    seconds: float


@dataclass(frozen=True)
class PlanMade:
    """The plan is known."""

    plan: Plan


RunEvent = StatusChanged | PhaseBegan | TaskEnded | PhaseEnded | PlanMade
Observer = Callable[[RunEvent], None]
