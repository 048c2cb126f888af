"""What an alert's own expression proves, and how it joins the runbook's own verification."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from remediate.domain.alert_proof import Asked, Evidence, Proof, ProofReason, joined, judge
from remediate.domain.alert_rule import AlertRule, ScrapeTarget, Series, is_of, rules_of, targets_of
from remediate.domain.outcome import Decision
from remediate.domain.report import Verdict
from remediate.domain.run import RunStatus
from remediate.testing import EPOCH

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
LABELS = {"alertname": "DiskFull", "instance": "near:9100", "job": "node", "mountpoint": "/", "severity": "SEV1"}
TARGET = {"instance": "near:9100", "job": "node"}


def rule(expression: str = "disk_used > 90", **changes: Any) -> AlertRule:
    return AlertRule.model_validate(
        {"name": "DiskFull", "expression": expression, "labels": {"severity": "SEV1"}, **changes}
    )


def series(**labels: str) -> Series:
    return Series(labels={"__name__": "disk_used", **TARGET, "mountpoint": "/", **labels}, value=95)


def target(scraped: timedelta = 5 * SECOND, *, up: bool = True, **labels: str) -> ScrapeTarget:
    return ScrapeTarget(labels={**TARGET, **labels}, up=up, last_scrape=EPOCH + scraped)


def evidence(*found: Series, asked: AlertRule | None = None, **changes: Any) -> Evidence:
    one = Asked(rule=asked or rule(), series=found)
    values = {"asked": (one,), "targets": (target(),), "at": EPOCH + 10 * SECOND}
    return Evidence.model_validate({**values, **changes})


def reason(found: Evidence) -> ProofReason:
    return judge(LABELS, found, EPOCH).reason


def test_nothing_found_after_a_scrape_after_the_fix_is_a_cure() -> None:
    proof = judge(LABELS, evidence(), EPOCH)

    assert (proof.reason, proof.verdict, proof.final) == (ProofReason.QUIET, Verdict.CURED, True)


def test_the_series_of_the_alert_is_no_cure_and_may_yet_go_away() -> None:
    proof = judge(LABELS, evidence(series()), EPOCH)

    assert (proof.reason, proof.verdict, proof.final) == (ProofReason.STILL_THERE, Verdict.NOT_CURED, False)


def test_the_trouble_of_others_does_not_count() -> None:
    assert reason(evidence(series(mountpoint="/srv"), series(instance="far:9100"))) is ProofReason.QUIET


@pytest.mark.parametrize("found", [(), (series(),)])
def test_before_a_scrape_after_the_fix_nobody_can_tell_whatever_is_found(found: tuple[Series, ...]) -> None:
    assert reason(evidence(*found, targets=(target(-1 * SECOND),))) is ProofReason.TOO_EARLY
    assert (
        reason(evidence(*found, targets=(target().model_copy(update={"last_scrape": None}),))) is ProofReason.TOO_EARLY
    )


@pytest.mark.parametrize(("scraped", "wanted"), [(119, ProofReason.TOO_EARLY), (120, ProofReason.QUIET)])
def test_a_range_has_to_lie_after_the_fix(scraped: int, wanted: ProofReason) -> None:
    found = evidence(asked=rule("rate(errors[2m]) > 1"), targets=(target(scraped * SECOND),))

    assert reason(found) is wanted


def test_every_target_that_it_may_be_made_from_has_to_be_scraped() -> None:
    late = target(-1 * SECOND, mountpoint="/")

    assert reason(evidence(targets=(target(), late))) is ProofReason.TOO_EARLY
    assert reason(evidence(targets=(target(), late.model_copy(update={"labels": {"instance": "far:9100"}})))) is (
        ProofReason.QUIET
    )


@pytest.mark.parametrize(("seconds", "wanted"), [(299, ProofReason.TOO_EARLY), (300, ProofReason.QUIET)])
def test_without_a_target_the_oldest_sample_that_counts_has_to_be_of_after_the_fix(
    seconds: int, wanted: ProofReason
) -> None:
    assert reason(evidence(targets=(), at=EPOCH + seconds * SECOND)) is wanted


def test_what_is_not_scraped_looks_quiet_and_is_no_cure() -> None:
    assert reason(evidence(targets=(target(up=False),))) is ProofReason.NOT_SCRAPED
    assert reason(evidence(series(), targets=(target(up=False),))) is ProofReason.STILL_THERE


def test_evidence_that_its_rule_says_is_late_is_waited_for() -> None:
    late = rule(annotations={"evidence_delay": "5m"})

    assert reason(evidence(asked=late, targets=(target(299 * SECOND),))) is ProofReason.TOO_EARLY
    assert reason(evidence(asked=late, targets=(target(300 * SECOND),))) is ProofReason.QUIET
    assert reason(evidence(asked=rule(annotations={"evidence_delay": "soon"}))) is ProofReason.UNREADABLE


def test_what_is_unknown_proves_nothing() -> None:
    assert reason(evidence(asked=rule("x @ 17"))) is ProofReason.UNREADABLE
    assert reason(evidence(asked=rule(trouble="many-to-many"))) is ProofReason.RULE_BROKEN
    assert judge(LABELS, Evidence(asked=(), targets=(), at=EPOCH), EPOCH).reason is ProofReason.NO_RULE
    partly = Asked(rule=rule(), series=(), warnings=("a store did not answer",))
    assert reason(evidence(asked=None).model_copy(update={"asked": (partly,)})) is ProofReason.INCOMPLETE


def test_of_several_rules_of_one_name_those_count_whose_labels_fit() -> None:
    other, templated = rule(labels={"severity": "SEV2"}), rule(labels={"severity": "{{ $labels.severity }}"})

    assert rules_of(LABELS, (rule(), other, templated, rule(name="Other"))) == (rule(), templated)
    assert rules_of({"instance": "near:9100"}, (rule(),)) == ()


def test_labels_of_the_rule_and_labels_that_were_dropped_tell_no_series_apart() -> None:
    assert is_of(LABELS, series(severity="low"), rule())
    assert is_of(LABELS, series(fstype="ext4"), rule())
    assert not is_of(LABELS, series(mountpoint="/srv"), rule())


def test_an_alert_that_shares_no_label_with_a_target_is_made_from_none() -> None:
    assert targets_of({"alertname": "X", "job": "node"}, (target(),)) == ()
    assert targets_of({"alertname": "X", "host": "near"}, (target(host="near"), target(host="far"))) == (
        target(host="near"),
    )


def proof(found: ProofReason) -> Proof:
    return Proof(alert="DiskFull", reason=found)


@pytest.mark.parametrize(
    ("said", "found", "wanted"),
    [
        (RunStatus.SUCCEEDED, ProofReason.QUIET, RunStatus.SUCCEEDED),
        (RunStatus.SUCCEEDED, ProofReason.STILL_THERE, RunStatus.FAILED),
        (RunStatus.SUCCEEDED, ProofReason.TOO_EARLY, RunStatus.UNPROVEN),
        (RunStatus.SUCCEEDED, ProofReason.UNREACHABLE, RunStatus.UNPROVEN),
        (RunStatus.UNPROVEN, ProofReason.QUIET, RunStatus.UNPROVEN),
        (RunStatus.UNPROVEN, ProofReason.STILL_THERE, RunStatus.FAILED),
        (RunStatus.UNPROVEN, ProofReason.TOO_EARLY, RunStatus.UNPROVEN),
        (RunStatus.FAILED, ProofReason.QUIET, RunStatus.FAILED),
        (RunStatus.CANCELED, ProofReason.STILL_THERE, RunStatus.CANCELED),
        (RunStatus.NOT_NEEDED, ProofReason.QUIET, RunStatus.NOT_NEEDED),
        (RunStatus.NOT_NEEDED, ProofReason.STILL_THERE, RunStatus.UNPROVEN),
        (RunStatus.NOT_NEEDED, ProofReason.UNREACHABLE, RunStatus.UNPROVEN),
    ],
)
def test_only_two_cures_are_a_cure(said: RunStatus, found: ProofReason, wanted: RunStatus) -> None:
    decision = joined(Decision(status=said, reason="as the runbook says"), (proof(found),))

    assert decision.status is wanted
    assert "as the runbook says" in decision.reason


def test_the_worst_proof_counts_and_no_proof_changes_nothing() -> None:
    decision = Decision(status=RunStatus.SUCCEEDED, reason="cured: near")

    assert joined(decision, (proof(ProofReason.QUIET), proof(ProofReason.STILL_THERE))).status is RunStatus.FAILED
    assert joined(decision, ()) == decision
