"""Values for tests, each with everything filled in that the test does not care about."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from remediate.domain.alert import Alert, AlertStatus
from remediate.domain.approval import Answer, ApprovalDecision, ApprovalRequest
from remediate.domain.audit import AuditEntry
from remediate.domain.notice import Notice
from remediate.domain.people import Person
from remediate.domain.plan import HostPlan, Plan
from remediate.domain.report import (
    Action,
    Check,
    DrillReport,
    Finding,
    FixReport,
    FoundCause,
    Hold,
    NotRestored,
    Restored,
    RollbackReport,
    Snapshot,
    Undo,
    Verdict,
    Verification,
)
from remediate.domain.rotation import Rotation
from remediate.domain.run import Run, RunStatus, TaskOutcome, TaskRecord
from remediate.domain.runbook import Cause, Parameter, ParameterType, Phase, PhaseLimits, Rollback, Runbook, Severity
from remediate.testing import EPOCH


def cause(cause_id: str = "dust", approval: int = 0, **changes: Any) -> Cause:
    values = {"title": cause_id, "approval": approval, "rollback": Rollback.MANUAL, "evidence": "it is seen"}
    return Cause.model_validate({"id": cause_id, **values, **changes})


def action(target: str = "/shelf/dust", cause_id: str = "dust", undo: Undo = Undo.HELD, **changes: Any) -> Action:
    return Action.model_validate({"cause": cause_id, "verb": "delete", "target": target, "undo": undo, **changes})


def finding(*actions: Action, **changes: Any) -> Finding:
    found = {entry.cause: FoundCause(id=entry.cause, evidence=("it is seen",)) for entry in actions}
    values = {"applies": True, "summary": "the shelf is untidy", "causes": tuple(found.values()), "actions": actions}
    return Finding.model_validate({**values, **changes})


def tidy() -> Finding:
    return Finding(applies=False, summary="the shelf is tidy")


def snapshot(*actions: Action) -> Snapshot:
    return Snapshot(actions=actions, hold=Hold(where="host", path="/var/lib/remediate/hold"))


def fixed(*actions: Action) -> FixReport:
    return FixReport(done=actions, stopped="all_done")


def verified(verdict: Verdict, detail: str = "as measured") -> Verification:
    return Verification(verdict=verdict, checks=(Check(name="shelf", verdict=verdict, detail=detail),))


def drill(source: str = "landsraad", verdict: str = "PASS", **changes: Any) -> DrillReport:
    """A restore that took 100 s of 1800 s, and would have lost 60 s of 900 s."""
    values = {
        "reason": "all is there",
        "backup": {"id": "b-1", "snapshot": "5e" * 4, "repository": "off", "made": EPOCH.timestamp() - 3600},
        "phases": [{"name": "fetch", "seconds": 60, "bytes": 2**20}, {"name": "replay", "seconds": 40, "bytes": 0}],
        "rto_seconds": 100,
        "rto_target": 1800,
        "rpo_seconds": 60,
        "rpo_target": 900,
        "position": "mariadb-bin.000004:1234",
        "tables_compared": 3,
        "tables_total": 12,
        "tools": {"restic": "0.18.0"},
        "began": EPOCH.timestamp(),
        "wall_seconds": 101,
    }
    return DrillReport.model_validate({"source": source, "verdict": verdict, **values, **changes})


def drilled(*drills: DrillReport, verdict: Verdict = Verdict.CURED) -> Verification:
    return Verification(verdict=verdict, drills=drills)


def put_back(*targets: str) -> RollbackReport:
    restored = tuple(Restored(target=target, placed_at=target, sha256="5e") for target in targets)
    return RollbackReport(restored=restored, complete=True)


def put_nothing_back(target: str, reason: str) -> RollbackReport:
    return RollbackReport(restored=(), refused=(NotRestored(target=target, reason=reason),), complete=False)


def plan(level: int = 0, **hosts: Finding) -> Plan:
    return Plan(
        runbook="tidy-shelf",
        hosts={host: HostPlan(finding=found) for host, found in hosts.items()},
        level=level,
        level_reasons=(f"dust asks for level {level}",),
        made_at=EPOCH,
        expires_at=EPOCH + timedelta(hours=6),
        digest="d" * 64,
        binds={"nonce": "n"},
    )


def run(run_id: str = "20260105-030000-bcdf", **changes: Any) -> Run:
    values = {
        "runbook": "tidy-shelf",
        "status": RunStatus.REQUESTED,
        "hosts": ("near",),
        "requested_by": "nadia",
        "created_at": EPOCH,
        "updated_at": EPOCH,
    }
    return Run.model_validate({"id": run_id, **values, **changes})


def task(name: str = "fix | Dust", **changes: Any) -> TaskRecord:
    values = {"host": "near", "module": "ansible.builtin.file", "outcome": TaskOutcome.CHANGED, "seconds": 0.25}
    return TaskRecord.model_validate({"task": name, "started_at": EPOCH, **values, **changes})


def parameter(name: str, kind: ParameterType = "str", **changes: Any) -> Parameter:
    return Parameter.model_validate({"name": name, "type": kind, "description": "For a test.", **changes})


def runbook(*parameters: Parameter, causes: tuple[Cause, ...] = (cause(),)) -> Runbook:
    return Runbook(
        id="tidy-shelf",
        role="tidy_shelf",
        title="The shelf is untidy",
        severity=Severity.SEV4,
        rto=timedelta(minutes=5),
        causes={entry.id: entry for entry in causes},
        phases={phase: PhaseLimits(timeout=timedelta(minutes=1)) for phase in Phase},
        cooldown=timedelta(minutes=1),
        concurrency="one_per_host",
        readme="README.md",
        parameters={entry.name: entry for entry in parameters},
    )


def entry(subject: str = "run-1", action: str = "run.moved", **changes: Any) -> AuditEntry:
    values = {"at": EPOCH, "actor": "nadia", "action": action, "subject": subject}
    return AuditEntry.model_validate({**values, **changes})


def notice(key: str = "run-1/asked-1/omar/mail", **changes: Any) -> Notice:
    _, _, receiver, channel = key.split("/")
    values = {"channel": channel, "person": receiver, "subject": "Approval wanted", "body": "Look at it."}
    return Notice.model_validate({"key": key, **values, "created_at": EPOCH, "next_at": EPOCH, **changes})


def person(person_id: str = "nadia", level: int = 1, **changes: Any) -> Person:
    values = {"name": person_id.title(), "email": f"{person_id}@example.org", "level": level}
    return Person.model_validate({"id": person_id, **values, **changes})


def rotation(*order: str, zone: str = "Europe/Berlin", **changes: Any) -> Rotation:
    values = {"zone": ZoneInfo(zone), "start": date(2026, 1, 5), "order": order or ("nadia", "omar", "pia")}
    return Rotation.model_validate({**values, **changes})


def request(**changes: Any) -> ApprovalRequest:
    """A request of a SEV3 runbook at level 2, whose next step is a reminder."""
    values = {
        "run_id": "20260105-030000-bcdf",
        "runbook": "tidy-shelf",
        "digest": "d" * 64,
        "severity": Severity.SEV3,
        "level": 2,
        "requested_by": "nadia",
        "hosts": ("near",),
        "climbs_after": (3600, 14400, 28800, 57600),
        "remind_every": 1800,
        "asked_level": 2,
        "opened_at": EPOCH,
        "asked_at": EPOCH,
        "reminded_at": EPOCH,
        "expires_at": EPOCH + timedelta(hours=24),
        "next_at": EPOCH + timedelta(minutes=30),
    }
    return ApprovalRequest.model_validate({**values, **changes})


def decision(
    person_id: str = "lena", answer: Answer = Answer.APPROVED, level: int = 2, **changes: Any
) -> ApprovalDecision:
    values = {"run_id": "20260105-030000-bcdf", "digest": "d" * 64, "channel": "token:t1", "at": EPOCH}
    return ApprovalDecision.model_validate({"person": person_id, "answer": answer, "level": level, **values, **changes})


def alert(name: str = "ShelfUntidy", fingerprint: str = "00c0ffee00c0ffee", **changes: Any) -> Alert:
    """A firing alert about `near`; labels that are given come on top of its name and its instance."""
    labels = {"alertname": name, "instance": "near:9100", **changes.pop("labels", {})}
    values = {"source": "main", "status": AlertStatus.FIRING, "starts_at": EPOCH, "labels": labels}
    return Alert.model_validate({"fingerprint": fingerprint, **values, **changes})


def resolved(alert_that_fired: Alert, **changes: Any) -> Alert:
    """The same alert, over."""
    values = {"status": AlertStatus.RESOLVED, "ends_at": alert_that_fired.starts_at + timedelta(minutes=5)}
    return alert_that_fired.model_copy(update={**values, **changes})
