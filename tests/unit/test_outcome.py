from __future__ import annotations

import pytest

from remediate.domain.outcome import (
    Decision,
    after_diagnosis,
    after_failed_phase,
    after_verification,
    nothing_can_be_done,
    rolls_back_by_itself,
)
from remediate.domain.report import Verdict
from remediate.domain.run import PhaseOutcome, RunStatus
from remediate.domain.runbook import Rollback
from tests.builders import action, cause, finding, tidy, verified

CURED, NOT_CURED, CANNOT_TELL = (verified(verdict) for verdict in Verdict)


def test_hosts_that_are_all_well_need_nothing() -> None:
    assert after_diagnosis({"near": tidy(), "far": tidy()}) == Decision(
        status=RunStatus.NOT_NEEDED, reason="nothing to do"
    )


def test_one_ill_host_of_two_is_planned_for_and_named() -> None:
    assert after_diagnosis({"near": tidy(), "far": finding(action())}) == Decision(
        status=RunStatus.PLANNED, reason="far: the shelf is untidy"
    )


def test_ill_hosts_without_a_single_action_cannot_be_helped() -> None:
    assert nothing_can_be_done([finding(), finding()])
    assert not nothing_can_be_done([finding(), finding(action())])


def test_every_host_cured_is_success() -> None:
    assert after_verification({"near": CURED, "far": CURED}, {}) == Decision(
        status=RunStatus.SUCCEEDED, reason="cured: far, near"
    )


def test_one_host_that_is_not_cured_fails_the_run_and_its_measures_are_named() -> None:
    assert after_verification({"near": CURED, "far": NOT_CURED}, {}) == Decision(
        status=RunStatus.FAILED, reason="not cured: far (shelf: as measured)"
    )


def test_one_host_about_which_nobody_can_tell_is_never_success() -> None:
    assert after_verification({"near": CURED, "far": CANNOT_TELL}, {}) == Decision(
        status=RunStatus.UNPROVEN, reason="cannot tell: far (shelf: as measured)"
    )


def test_a_host_that_did_not_answer_is_one_about_which_nobody_can_tell() -> None:
    assert after_verification({"near": CURED}, {"far": "it does not answer on SSH"}) == Decision(
        status=RunStatus.UNPROVEN, reason="cannot tell: far (it does not answer on SSH)"
    )


def test_not_cured_is_worse_than_cannot_tell_and_neither_is_left_out() -> None:
    verifications = {"near": NOT_CURED, "middle": CANNOT_TELL}

    assert after_verification(verifications, {"far": "away"}) == Decision(
        status=RunStatus.FAILED,
        reason="not cured: near (shelf: as measured); cannot tell: far (away); middle (shelf: as measured)",
    )


def test_no_answer_at_all_is_never_success() -> None:
    assert after_verification({}, {}).status is RunStatus.UNPROVEN


@pytest.mark.parametrize(
    ("rollbacks", "by_itself"),
    [
        ((Rollback.AUTOMATIC,), True),
        ((Rollback.AUTOMATIC, Rollback.AUTOMATIC), True),
        ((Rollback.AUTOMATIC, Rollback.MANUAL), False),
        ((Rollback.AUTOMATIC, Rollback.NONE), False),
        ((Rollback.MANUAL,), False),
        ((Rollback.NONE,), False),
        ((), False),
    ],
)
def test_a_fix_is_taken_back_by_itself_only_where_every_cause_says_so(
    rollbacks: tuple[Rollback, ...], by_itself: bool
) -> None:
    causes = [cause(f"cause{number}", rollback=rollback) for number, rollback in enumerate(rollbacks)]

    assert rolls_back_by_itself(causes) is by_itself


@pytest.mark.parametrize("outcome", [o for o in PhaseOutcome if o is not PhaseOutcome.CANCELED])
def test_a_phase_that_broke_off_failed_when_it_had_begun_to_change_things_and_cannot_tell_otherwise(
    outcome: PhaseOutcome,
) -> None:
    assert after_failed_phase(outcome, fixing=True) is RunStatus.FAILED
    assert after_failed_phase(outcome, fixing=False) is RunStatus.UNPROVEN


@pytest.mark.parametrize("fixing", [True, False])
def test_a_phase_that_was_stopped_by_request_is_canceled(fixing: bool) -> None:
    assert after_failed_phase(PhaseOutcome.CANCELED, fixing) is RunStatus.CANCELED
