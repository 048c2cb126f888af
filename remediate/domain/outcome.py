"""What the end of a phase means for the run: pure decisions with a named reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from remediate.domain.report import Finding, Verdict, Verification
from remediate.domain.run import PhaseOutcome, RunStatus
from remediate.domain.runbook import Cause, Rollback
from remediate.domain.value import Value


class Decision(Value):
    """The next state of a run and the reason for it."""

    status: RunStatus
    reason: str


def after_diagnosis(findings: Mapping[str, Finding]) -> Decision:
    """Decide whether there is anything to do, once every host was looked at."""
    needing = {host: finding for host, finding in findings.items() if finding.applies}
    if not needing:
        return Decision(status=RunStatus.NOT_NEEDED, reason="nothing to do")
    return Decision(status=RunStatus.PLANNED, reason="; ".join(f"{host}: {f.summary}" for host, f in needing.items()))


def nothing_can_be_done(findings: Iterable[Finding]) -> bool:
    """Return whether hosts are ill, but not one action is safe to do."""
    return not any(finding.actions for finding in findings)


def after_verification(verifications: Mapping[str, Verification], troubles: Mapping[str, str]) -> Decision:
    """Decide how a run ends: the worst answer of any host counts, and no answer is "cannot tell"."""
    failed = {h: _why(v) for h, v in verifications.items() if v.verdict is Verdict.NOT_CURED}
    unknown = {h: _why(v) for h, v in verifications.items() if v.verdict is Verdict.CANNOT_TELL} | dict(troubles)
    if failed:
        also = f"; {_listed('cannot tell', unknown)}" if unknown else ""
        return Decision(status=RunStatus.FAILED, reason=_listed("not cured", failed) + also)
    if unknown or not verifications:
        return Decision(status=RunStatus.UNPROVEN, reason=_listed("cannot tell", unknown))
    return Decision(status=RunStatus.SUCCEEDED, reason="cured: " + ", ".join(sorted(verifications)))


def _why(verification: Verification) -> str:
    return ", ".join(
        f"{check.name}: {check.detail}" for check in verification.checks if check.verdict is not Verdict.CURED
    )


def _listed(answer: str, by_host: Mapping[str, str]) -> str:
    return f"{answer}: " + "; ".join(f"{host} ({why})" for host, why in sorted(by_host.items()))


def rolls_back_by_itself(causes: Iterable[Cause]) -> bool:
    """Return whether a fix that failed is undone at once: only where every cause that acted says so."""
    rollbacks = {cause.rollback for cause in causes}
    return rollbacks == {Rollback.AUTOMATIC}


def after_failed_phase(outcome: PhaseOutcome, fixing: bool) -> RunStatus:
    """Decide the state after a phase that did not end well, for reasons other than a verdict.

    A fix that broke off has left the host changed: that is a failure. Before the fix nothing was changed, and not
    having been able to look is "cannot tell".
    """
    if outcome is PhaseOutcome.CANCELED:
        return RunStatus.CANCELED
    return RunStatus.FAILED if fixing else RunStatus.UNPROVEN
