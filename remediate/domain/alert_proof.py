"""Whether an alert's own expression says that the alert is cured: pure, with a named reason.

How long the expression has to hold before the alert fires (`for`) does not matter here: it is the expression that is
asked, not the alert. What matters is that the answer is about the time after the fix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from remediate.domain.alert_rule import AlertRule, ScrapeTarget, Series, is_of, targets_of
from remediate.domain.look_back import look_back
from remediate.domain.outcome import Decision
from remediate.domain.report import Verdict
from remediate.domain.run import RunStatus
from remediate.domain.times import span
from remediate.domain.value import Value

#: Prometheus takes the newest sample of a series unless it is older than this.
STALE_AFTER = timedelta(minutes=5)

#: How much later than its scrape the evidence of a rule may be, as whoever wrote the rule says: `evidence_delay: 5m`.
DELAY_ANNOTATION = "evidence_delay"


class ProofReason(StrEnum):
    """Why the expression of an alert proves a cure, disproves it, or proves nothing."""

    QUIET = "its expression finds nothing any more"
    STILL_THERE = "its expression still finds it"
    NO_RULE = "Prometheus has no rule that it may come from"
    RULE_BROKEN = "Prometheus cannot evaluate its rule"
    UNREADABLE = "how far back its expression looks is not known"
    NOT_SCRAPED = "what it is made from is not scraped"
    TOO_EARLY = "its expression still looks at the time before the fix"
    INCOMPLETE = "Prometheus answered only in part"
    UNREACHABLE = "Prometheus cannot be asked"


_VERDICTS = {ProofReason.QUIET: Verdict.CURED, ProofReason.STILL_THERE: Verdict.NOT_CURED}

#: What another look, a little later, cannot change.
_FINAL = frozenset({ProofReason.QUIET, ProofReason.NO_RULE, ProofReason.UNREADABLE})


class Proof(Value):
    """What the expression of an alert says, and why."""

    alert: str
    reason: ProofReason
    detail: str = ""

    @property
    def verdict(self) -> Verdict:
        """One of the three answers."""
        return _VERDICTS.get(self.reason, Verdict.CANNOT_TELL)

    @property
    def final(self) -> bool:
        """Whether it is of no use to ask again."""
        return self.reason in _FINAL

    @property
    def words(self) -> str:
        """The proof as a part of a sentence."""
        detail = f" ({self.detail})" if self.detail else ""
        return f"the alert {self.alert}: {self.reason.value}{detail}"


class Asked(Value):
    """A rule, and what its expression finds now."""

    rule: AlertRule
    series: tuple[Series, ...]
    #: What Prometheus warns of: an answer with warnings may be one in part.
    warnings: tuple[str, ...] = ()


class Evidence(Value):
    """Everything that Prometheus said at one moment."""

    asked: tuple[Asked, ...]
    targets: tuple[ScrapeTarget, ...]
    #: By the clock of Prometheus, as are all moments here.
    at: datetime


def judge(labels: Mapping[str, str], evidence: Evidence, fixed_at: datetime) -> Proof:
    """Decide what the evidence says about an alert whose fix ended at a moment (by the clock of Prometheus).

    A series that is there is never taken for a cure. That none is there counts only when the evidence is of after the
    fix, and when what it is made from is scraped: what nobody looks at looks quiet.
    """
    reason, detail = _judged(labels, evidence, fixed_at)
    return Proof(alert=labels.get("alertname", "?"), reason=reason, detail=detail)


def _judged(labels: Mapping[str, str], evidence: Evidence, fixed_at: datetime) -> tuple[ProofReason, str]:
    if not evidence.asked:
        return ProofReason.NO_RULE, ""
    if trouble := next((one.rule.trouble for one in evidence.asked if one.rule.trouble), ""):
        return ProofReason.RULE_BROKEN, trouble
    looked_back = furthest_look(one.rule for one in evidence.asked)
    if looked_back is None:
        return ProofReason.UNREADABLE, ""
    targets = targets_of(labels, evidence.targets)
    if missing := _missing_until(targets, evidence.at, fixed_at + looked_back):
        return ProofReason.TOO_EARLY, missing
    if any(is_of(labels, series, one.rule) for one in evidence.asked for series in one.series):
        return ProofReason.STILL_THERE, ""
    return _nothing_found(evidence, targets)


def _nothing_found(evidence: Evidence, targets: Sequence[ScrapeTarget]) -> tuple[ProofReason, str]:
    """Say what it means that no series is there: a cure, unless Prometheus could not have seen one."""
    if down := [target for target in targets if not target.up]:
        return ProofReason.NOT_SCRAPED, down[0].labels.get("instance", "")
    if warning := next((text for one in evidence.asked for text in one.warnings), ""):
        return ProofReason.INCOMPLETE, warning
    return ProofReason.QUIET, ""


def furthest_look(rules: Iterable[AlertRule]) -> timedelta | None:
    """Return how far back any of some rules looks, late evidence included; None when that is unknown of one."""
    spans = [_look(rule) for rule in rules]
    known = [one for one in spans if one is not None]
    return max(known, default=timedelta(0)) if len(known) == len(spans) else None


def _look(rule: AlertRule) -> timedelta | None:
    looked = look_back(rule.expression)
    written = rule.annotations.get(DELAY_ANNOTATION, "")
    # A delay is written as the range of an expression is.
    delay = look_back(f"x[{written}]") if written else timedelta(0)
    return None if looked is None or delay is None else looked + delay


def _missing_until(targets: Sequence[ScrapeTarget], now: datetime, wanted: datetime) -> str:
    """Say what has to happen until the evidence is of after a moment, or nothing when it is."""
    if not targets:
        # Nobody knows when it was scraped: a sample may be as old as Prometheus ever takes one.
        left = wanted + STALE_AFTER - now
        return f"{span(left)} more" if left > timedelta(0) else ""
    late = [one for one in targets if one.last_scrape is None or one.last_scrape < wanted]
    if not late:
        return ""
    instance = late[0].labels.get("instance", "a target")
    return f"{instance} was not scraped since {wanted:%H:%M:%S}"


def joined(decision: Decision, proofs: Sequence[Proof]) -> Decision:
    """Join what the runbook's own verification says with what the alerts' expressions say.

    Both have to say "cured"; "not cured" of either counts; everything else is "cannot tell", which is no success.
    """
    if not proofs or decision.status not in {RunStatus.SUCCEEDED, RunStatus.NOT_NEEDED, RunStatus.UNPROVEN}:
        return decision
    said = {proof.verdict for proof in proofs}
    words = "; ".join(proof.words for proof in proofs)
    if Verdict.NOT_CURED in said:
        status = RunStatus.UNPROVEN if decision.status is RunStatus.NOT_NEEDED else RunStatus.FAILED
        return Decision(status=status, reason=f"not cured: {words}; by itself the runbook says: {decision.reason}")
    if Verdict.CANNOT_TELL in said and decision.status is not RunStatus.UNPROVEN:
        return Decision(
            status=RunStatus.UNPROVEN, reason=f"cannot tell: {words}; by itself the runbook says: {decision.reason}"
        )
    return decision.model_copy(update={"reason": f"{decision.reason}; {words}"})
