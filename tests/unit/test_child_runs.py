"""What is handed over, how far, and what the ends of children mean."""

from __future__ import annotations

from typing import Any

import pytest

from remediate.domain.child_runs import (
    MOST_DEPTH,
    HandOver,
    after_children,
    hand_overs,
    has_ended,
    newest,
    obstacle,
)
from remediate.domain.report import Finding, FoundCause
from remediate.domain.run import OWNED, WAITING, Run, RunStatus
from remediate.domain.run_audit import run_requested
from tests.builders import cause, run

CAUSES = {
    one.id: one
    for one in (cause("dust"), cause("full", hand_over="disk-full"), cause("down", hand_over="database-failure"))
}
FULL = HandOver(runbook="disk-full", causes=("full",), hosts=("near", "far"))
S = RunStatus


def ill(*causes: str) -> Finding:
    return Finding(applies=True, summary="ill", causes=tuple(FoundCause(id=one, evidence=("seen",)) for one in causes))


def child(status: RunStatus, run_id: str = "c", **changes: Any) -> Run:
    return run(run_id, status=status, runbook="disk-full", parent="p", depth=1, outcome="as it went", **changes)


def test_each_runbook_is_handed_its_causes_and_exactly_the_hosts_that_have_them() -> None:
    found = {"near": ill("dust", "full"), "far": ill("full", "down"), "cellar": ill("dust")}

    assert hand_overs(CAUSES, found) == (FULL, HandOver(runbook="database-failure", causes=("down",), hosts=("far",)))


def test_own_causes_are_handed_to_nobody() -> None:
    assert hand_overs(CAUSES, {"near": ill("dust")}) == ()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (["service-outage"], ""),
        (["service-outage", "database-failure"], ""),
        (["a", "b", "c"], "too many hand-overs, one below the other: a -> b -> c -> disk-full; at most 2 are made"),
        (["disk-full"], "a circle of hand-overs: disk-full -> disk-full"),
        (["disk-full", "b"], "a circle of hand-overs: disk-full -> b -> disk-full"),
    ],
)
def test_hand_overs_go_neither_deep_nor_in_circles(line: list[str], why: str) -> None:
    assert MOST_DEPTH == 2
    assert obstacle(FULL, line, ()) == why


def test_what_was_handed_over_before_is_not_handed_over_again_to_the_same_for_the_same_host() -> None:
    earlier = child(S.SUCCEEDED, hosts=("far",))

    assert obstacle(FULL, ["a"], [earlier]) == (
        "far was handed over to disk-full (run c), which ended succeeded: as it went; "
        "that did not cure it, full is found again"
    )
    assert obstacle(FULL.model_copy(update={"hosts": ("near",)}), ["a"], [earlier]) == ""
    assert obstacle(FULL.model_copy(update={"runbook": "other"}), ["a"], [earlier]) == ""


@pytest.mark.parametrize("status", sorted(S))
def test_a_child_has_ended_when_nothing_is_to_be_expected_of_it(status: RunStatus) -> None:
    going_on = status in OWNED | WAITING | {S.INTERRUPTED}

    assert has_ended(child(status)) is not going_on


def test_of_a_child_that_was_interrupted_its_newest_attempt_counts() -> None:
    attempts = [child(S.INTERRUPTED, "c"), child(S.SUCCEEDED, "c-2", continues="c"), child(S.FAILED, "d")]

    assert [one.id for one in newest(attempts)] == ["c-2", "d"]


@pytest.mark.parametrize(
    ("ends", "wanted"),
    [
        ([S.SUCCEEDED], None),
        ([S.SUCCEEDED, S.NOT_NEEDED], None),
        ([S.SUCCEEDED, S.FAILED], S.FAILED),
        ([S.REJECTED], S.FAILED),
        ([S.EXPIRED], S.FAILED),
        ([S.WITHDRAWN], S.FAILED),
        ([S.PARKED], S.FAILED),
        ([S.ROLLED_BACK], S.FAILED),
        ([S.ROLLBACK_FAILED], S.FAILED),
        ([S.UNPROVEN], S.UNPROVEN),
        ([S.UNPROVEN, S.SUCCEEDED], S.UNPROVEN),
        ([S.UNPROVEN, S.CANCELED], S.UNPROVEN),
        ([S.UNPROVEN, S.FAILED], S.FAILED),
        ([S.CANCELED, S.SUCCEEDED], S.CANCELED),
        ([S.CANCELED, S.PARKED], S.FAILED),
    ],
)
def test_a_run_ends_as_badly_as_its_children_and_looks_again_when_all_is_well(
    ends: list[RunStatus], wanted: RunStatus | None
) -> None:
    decision = after_children(child(status) for status in ends)

    assert (decision and decision.status) == wanted


def test_only_the_children_that_did_not_cure_are_the_reason() -> None:
    decision = after_children([child(S.SUCCEEDED, "a"), child(S.ROLLED_BACK, "b")])

    assert decision is not None
    assert decision.reason == "handed over to disk-full (run b), which ended rolled back: as it went"


def test_the_audit_trail_tells_whose_child_a_run_is() -> None:
    told = run_requested(run("c", parent="p", depth=2), "engine").details

    assert (told["parent"], told["depth"]) == ("p", 2)
    assert "parent" not in run_requested(run("p"), "nadia").details
