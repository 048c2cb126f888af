"""What is measured of an incident, and when it closes by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remediate.domain.incident import Stage, closing, means, worse
from remediate.domain.run import RunStatus
from remediate.domain.runbook import Severity
from remediate.testing import EPOCH
from tests.contract.test_incidents_contract import MINUTE, incident


def test_an_incident_goes_through_its_stages() -> None:
    taken = incident(acknowledged_at=EPOCH)
    cured = taken.model_copy(update={"cured_at": EPOCH})

    assert [one.stage for one in (incident(), taken, cured, cured.model_copy(update={"closed_at": EPOCH}))] == [
        Stage.OPEN,
        Stage.ACKNOWLEDGED,
        Stage.CURED,
        Stage.CLOSED,
    ]


def test_what_has_not_happened_yet_is_not_measured() -> None:
    times = incident(began_at=None).times

    assert (times.detected, times.acknowledged, times.resolved, times.kept) == (None, None, None, None)


@pytest.mark.parametrize(("minutes", "kept"), [(19, True), (20, False)])
def test_it_is_over_when_it_is_cured_counted_from_its_beginning(minutes: int, kept: bool) -> None:
    times = incident(cured_at=EPOCH + minutes * MINUTE, closed_at=EPOCH + 60 * MINUTE).times

    assert (times.detected, times.resolved, times.kept) == (MINUTE, (minutes + 1) * MINUTE, kept)


def test_a_clock_elsewhere_that_is_ahead_makes_no_time_negative() -> None:
    assert incident(began_at=EPOCH + MINUTE).times.detected == timedelta(0)


def test_means_are_over_what_is_known() -> None:
    one = incident(acknowledged_at=EPOCH + MINUTE, closed_at=EPOCH + 9 * MINUTE)
    two = incident(closed_at=EPOCH + 29 * MINUTE)
    found = means([one, two, incident(began_at=None, rto=None)])

    assert (found.count, found.detect, found.acknowledge) == (3, MINUTE, MINUTE)
    assert (found.resolve, found.kept, found.judged) == (20 * MINUTE, 1, 2)
    assert means([]).resolve is None


@pytest.mark.parametrize(
    ("ends", "firing", "cured", "over"),
    [
        ([RunStatus.SUCCEEDED], 1, True, False),
        ([RunStatus.SUCCEEDED], 0, True, True),
        ([RunStatus.FAILED, RunStatus.SUCCEEDED], 0, True, True),
        ([RunStatus.VERIFYING], 0, True, False),
        ([RunStatus.WAITING_APPROVAL], 0, False, False),
        ([RunStatus.NOT_NEEDED], 0, False, True),
        ([RunStatus.WITHDRAWN, RunStatus.REJECTED], 0, False, True),
        ([RunStatus.UNPROVEN], 0, False, False),
        ([RunStatus.ROLLED_BACK, RunStatus.NOT_NEEDED], 0, False, False),
        ([RunStatus.INTERRUPTED], 0, False, False),
        ([RunStatus.PARKED], 0, False, False),
        ([], 0, False, True),
    ],
)
def test_it_closes_when_its_alerts_have_resolved_and_nothing_unproven_is_left(
    ends: list[RunStatus], firing: int, cured: bool, over: bool
) -> None:
    decision = closing(incident(cured_at=EPOCH if cured else None), ends, firing=firing)

    assert decision.over is over
    assert decision.reason


def test_sev1_is_the_worst() -> None:
    assert worse(Severity.SEV3, Severity.SEV1) is Severity.SEV1
    assert worse(Severity.SEV2, Severity.SEV2) is Severity.SEV2
