"""What the audit trail says about runs: one entry for each thing that happens to one, never a diff, never a value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import JsonValue

from remediate.domain.audit import ENGINE, AuditEntry
from remediate.domain.drill import report_digest
from remediate.domain.plan import Plan
from remediate.domain.report import Report, Verification
from remediate.domain.run import PhaseOutcome, Run, RunStatus, TaskOutcome, TaskRecord
from remediate.domain.runbook import ParameterValue, Phase


def value_digest(value: ParameterValue) -> str:
    """Return the sha256, in hex, of a value as JSON with sorted keys and no spaces: two runs can be compared by it."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def run_requested(run: Run, by: str) -> AuditEntry:
    """A run was asked for, by whom, on which hosts; of its parameters only names and digests are told."""
    details: dict[str, JsonValue] = {
        "runbook": run.runbook,
        "hosts": list(run.hosts),
        "check": run.check,
        "reason": run.reason,
        "parameters": {name: value_digest(value) for name, value in run.parameters.items()},
    }
    if run.parent:
        details |= {"parent": run.parent, "depth": run.depth}
    return AuditEntry(at=run.created_at, actor=by, action="run.requested", subject=run.id, details=details)


def run_moved(run_id: str, current: RunStatus, wanted: RunStatus, reason: str, now: datetime, by: str) -> AuditEntry:
    """A run went from one state to another."""
    details: dict[str, JsonValue] = {"from": current.value, "to": wanted.value, "reason": reason}
    return AuditEntry(at=now, actor=by, action="run.moved", subject=run_id, details=details)


def plan_made(run_id: str, plan: Plan, now: datetime) -> AuditEntry:
    """A plan was made: what binds it, who may approve it, and how much it does."""
    actions = sum(len(host.actions) for host in plan.hosts.values())
    details: dict[str, JsonValue] = {
        "digest": plan.digest,
        "level": plan.level,
        "hosts": [*sorted(plan.hosts)],
        "causes": list(plan.causes),
        "actions": actions,
        "irreversible": len(plan.irreversible),
    }
    return AuditEntry(at=now, actor=ENGINE, action="plan.made", subject=run_id, details=details)


def phase_began(run_id: str, number: int, phase: Phase, now: datetime, *, check: bool) -> AuditEntry:
    """A phase began."""
    details: dict[str, JsonValue] = {"number": number, "phase": phase.value, "check": check}
    return AuditEntry(at=now, actor=ENGINE, action="phase.began", subject=run_id, details=details)


def phase_ended(
    run_id: str, number: int, phase: Phase, outcome: PhaseOutcome, troubled: list[str], now: datetime
) -> AuditEntry:
    """A phase ended; hosts that had trouble are named, what they said stands in the record of the phase."""
    details: dict[str, JsonValue] = {
        "number": number,
        "phase": phase.value,
        "outcome": outcome.value,
        "troubled": [*sorted(troubled)],
    }
    return AuditEntry(at=now, actor=ENGINE, action="phase.ended", subject=run_id, details=details)


def drills_reported(run_id: str, reports: Iterable[Report], now: datetime) -> list[AuditEntry]:
    """Restores were tried: what each proved, and the digest of its report, so that the evidence cannot be changed."""
    found = [drill for report in reports if isinstance(report, Verification) for drill in report.drills]
    return [
        AuditEntry(
            at=now,
            actor=ENGINE,
            action="drill.reported",
            subject=f"{run_id}/drill",
            details={
                "source": drill.source,
                "verdict": drill.verdict.value,
                "rto_seconds": drill.rto_seconds,
                "rpo_seconds": drill.rpo_seconds,
                "digest": report_digest(drill),
            },
        )
        for drill in found
    ]


def task_ended(run_id: str, phase: Phase, task: TaskRecord, *, check: bool) -> AuditEntry | None:
    """A task changed a host, or failed on it; None for every other task, and for a change that was only tried out."""
    if task.outcome is TaskOutcome.CHANGED and not check:
        action = "task.changed"
    elif task.outcome in {TaskOutcome.FAILED, TaskOutcome.UNREACHABLE}:
        action = "task.failed"
    else:
        return None
    details: dict[str, JsonValue] = {
        "phase": phase.value,
        "host": task.host,
        "task": task.task,
        "module": task.module,
        "outcome": task.outcome.value,
    }
    at = task.started_at + timedelta(seconds=task.seconds)
    return AuditEntry(at=at, actor=ENGINE, action=action, subject=run_id, details=details)
