"""How a run ended, in words, with what to type next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from remediate.domain.approval import ApprovalRequest, Asking
from remediate.domain.report import RollbackReport, Snapshot, Verdict, Verification
from remediate.domain.run import PhaseRecord, Run, RunStatus
from remediate.domain.runbook import Phase
from remediate.interfaces.cli.plan_text import action_lines, measure_lines
from remediate.interfaces.cli.text import moment, printable, span

_HEADLINES = {
    RunStatus.NOT_NEEDED: "NOTHING TO DO",
    RunStatus.PLANNED: "PLANNED, nothing was changed",
    RunStatus.SUCCEEDED: "CURED",
    RunStatus.FAILED: "NOT CURED",
    RunStatus.UNPROVEN: "CANNOT TELL",
    RunStatus.ROLLED_BACK: "ROLLED BACK",
    RunStatus.ROLLBACK_FAILED: "NOT ROLLED BACK",
    RunStatus.WAITING_APPROVAL: "WAITING FOR APPROVAL, nothing was changed",
    RunStatus.APPROVED: "APPROVED, nothing was changed yet",
    RunStatus.HANDED_OVER: "HANDED OVER, not ended",
    RunStatus.REJECTED: "REJECTED, nothing was changed",
    RunStatus.EXPIRED: "EXPIRED, nothing was changed",
    RunStatus.WITHDRAWN: "WITHDRAWN, nothing was changed",
    RunStatus.CANCELED: "STOPPED",
    RunStatus.PARKED: "REFUSED",
    RunStatus.INTERRUPTED: "INTERRUPTED",
}
#: What to type next, by how a run ended.
_NEXT = {
    RunStatus.WAITING_APPROVAL: "remediate approvals show {run}   (somebody else approves; `cancel` takes it back)",
    RunStatus.APPROVED: "remediate resume {run}   (goes on only with the plan that was approved)",
    RunStatus.HANDED_OVER: "remediate resume {run}   (goes on when what it was handed over to can, or has ended)",
    RunStatus.INTERRUPTED: "remediate resume {run}   (looks first; what was approved counts only for the same plan)",
    RunStatus.REJECTED: "remediate approvals show {run}   (who said what)",
    RunStatus.EXPIRED: "remediate plan {runbook} --limit {hosts}",
    RunStatus.FAILED: "remediate runs show {run}",
    RunStatus.UNPROVEN: "remediate runs show {run}",
    RunStatus.ROLLBACK_FAILED: "remediate runs show {run}",
}
_UNDONE_BY_HAND = {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.UNPROVEN, RunStatus.CANCELED}
_RESTORED_SHOWN = 12
_MARKS = {Verdict.CURED: "ok  ", Verdict.NOT_CURED: "BAD ", Verdict.CANNOT_TELL: "??  "}


def closing_lines(
    run: Run,
    phases: Sequence[PhaseRecord],
    request: ApprovalRequest | None = None,
    children: Sequence[Run] = (),
) -> Iterator[str]:
    """Yield the end of a run: headline, proof, what was changed, whom it waits for, and the next command."""
    yield ""
    yield f"{_headline(run, phases)}  {printable(run.outcome)}"
    yield from _proof_lines(phases)
    if _touched(phases):
        yield from _restore_point_lines(run, phases)
    yield from child_lines(children)
    if request and request.state is Asking.OPEN:
        yield from waiting_lines(request)
    changed = sum(record.changed for record in phases if not record.check)
    began = next((record.started_at for record in reversed(phases) if record.phase is Phase.ROLLBACK), run.created_at)
    took = f", took {span(run.ended_at - began)}" if run.ended_at else ""
    yield f"  record   run {run.id}: changed={changed}{took}"
    if command := _next_command(run, phases):
        yield f"  next     {command}"


def child_lines(children: Sequence[Run]) -> Iterator[str]:
    """Yield the runs that a run was handed over to, where each stands, and how to see one that waits for approval."""
    for child in children:
        where = f"{child.runbook} on {', '.join(child.hosts)}"
        yield f"  child    run {child.id}, {where}: {child.status.value}: {printable(child.outcome)}"
        if child.status is RunStatus.WAITING_APPROVAL:
            yield f"           `remediate approvals show {child.id}`"


def waiting_lines(request: ApprovalRequest) -> Iterator[str]:
    """Yield whom a request waits for, what happens if nobody answers, and until when its plan is valid."""
    who = ", ".join(request.asked) or f"nobody of level {request.asked_level} is there"
    yield f"  waits    for {_people_wanted(request)}; asked now, level {request.asked_level}: {who}"
    yield f"           next step at {moment(request.next_at)}, valid until {moment(request.expires_at)}"


def _people_wanted(request: ApprovalRequest) -> str:
    return f"{request.people} {'person' if request.people == 1 else 'people'} of level {request.level} or above"


def _headline(run: Run, phases: Sequence[PhaseRecord]) -> str:
    headline = _HEADLINES.get(run.status, run.status.value.upper())
    if run.status is RunStatus.EXPIRED and run.outcome.startswith("stale"):
        return "STALE, nothing was changed"
    if run.status in {RunStatus.CANCELED, RunStatus.PARKED} and not _touched(phases):
        return f"{headline}, nothing was changed"
    return headline


def _touched(phases: Sequence[PhaseRecord]) -> bool:
    return any(record.phase is Phase.FIX and not record.check for record in phases)


def _proof_lines(phases: Sequence[PhaseRecord]) -> Iterator[str]:
    """Yield what the last phase proves: the cure, or what was put back."""
    last = phases[-1] if phases else None
    if last and last.phase is Phase.VERIFY:
        yield from _verification_lines(last)
    if last and last.phase is Phase.ROLLBACK:
        yield from _rollback_lines(last)


def _restore_point_lines(run: Run, phases: Sequence[PhaseRecord]) -> Iterator[str]:
    """Yield how each host's database goes back to before the fix: a rollback does not touch its rows."""
    reports = [report for record in phases if record.phase is Phase.SNAPSHOT for report in record.reports.items()]
    for host, report in reports:
        if point := Snapshot.model_validate(report).restore_point:
            yield f"  point    {host}: {printable(point.sentence)}"
            if point.position:
                yield f"           `remediate plan database-restore --limit {host} --set to=run:{run.id}`"


def _rollback_lines(record: PhaseRecord) -> Iterator[str]:
    for host, report in record.reports.items():
        rollback = RollbackReport.model_validate(report)
        yield f"  put back {len(rollback.restored)} on {host}"
        yield from (f"    ok     {printable(item.placed_at)}" for item in rollback.restored[:_RESTORED_SHOWN])
        if len(rollback.restored) > _RESTORED_SHOWN:
            yield f"    ok     and {len(rollback.restored) - _RESTORED_SHOWN} more (each one: --json)"
        yield from (f"    BAD    {printable(item.target)}: {printable(item.reason)}" for item in rollback.refused)


def _verification_lines(record: PhaseRecord) -> Iterator[str]:
    for host, report in record.reports.items():
        verification = Verification.model_validate(report)
        yield f"  proof    {host}"
        for check in verification.checks:
            yield f"    {_MARKS[check.verdict]}   {printable(check.name)}: {printable(check.detail)}"
        yield from (f"  {line}" for line in measure_lines(verification.measures))
        yield from (f"  {line}" for line in action_lines(verification.done, verb="did"))


def _next_command(run: Run, phases: Sequence[PhaseRecord]) -> str:
    if run.status in _UNDONE_BY_HAND and _touched(phases):
        return f"remediate rollback {run.id}   (puts back what was held)"
    if run.status is RunStatus.PLANNED and run.check and run.plan:
        return f"remediate apply {run.id}   (exactly this plan, valid until {moment(run.plan.expires_at)})"
    if run.status is RunStatus.WAITING_APPROVAL and run.plan and run.plan.level == 1 and run.plan.people == 1:
        return f"remediate approve {run.id}   (level 1: whoever is on call may approve their own)"
    return _NEXT.get(run.status, "").format(run=run.id, runbook=run.runbook, hosts=" --limit ".join(run.hosts))
