from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.domain.run import EXIT_CODES, OWNED, TRANSITIONS, RunStatus, allowed, new_run_id
from remediate.errors import IllegalTransition
from remediate.testing import EPOCH, MemoryStore
from tests.builders import run

#: States that a run stays in for ever.
FINAL = {RunStatus.NOT_NEEDED, RunStatus.REJECTED, RunStatus.EXPIRED, RunStatus.WITHDRAWN}
#: States after which hosts may have been changed.
TOUCHING = {RunStatus.FIXING, RunStatus.ROLLING_BACK}


def reachable(start: RunStatus, without: RunStatus | None = None) -> set[RunStatus]:
    found, waiting = {start}, [start]
    while waiting:
        ahead = TRANSITIONS[waiting.pop()] - found - {without}
        found |= ahead
        waiting.extend(ahead)
    return found


def test_the_table_knows_every_state() -> None:
    assert set(TRANSITIONS) == set(RunStatus)


def test_every_state_can_be_reached_from_a_request() -> None:
    assert reachable(RunStatus.REQUESTED) == set(RunStatus)


def test_the_states_without_a_way_out_are_the_final_ones() -> None:
    assert {status for status, ahead in TRANSITIONS.items() if not ahead} == FINAL


def test_nothing_is_fixed_without_an_approval_and_a_snapshot() -> None:
    assert RunStatus.FIXING not in reachable(RunStatus.REQUESTED, without=RunStatus.APPROVED)
    assert RunStatus.FIXING not in reachable(RunStatus.REQUESTED, without=RunStatus.SNAPSHOTTING)


def test_no_run_succeeds_without_verification() -> None:
    assert RunStatus.SUCCEEDED not in reachable(RunStatus.REQUESTED, without=RunStatus.VERIFYING)


def test_nothing_is_approved_without_a_plan() -> None:
    assert RunStatus.APPROVED not in reachable(RunStatus.REQUESTED, without=RunStatus.PLANNED)


@pytest.mark.parametrize("status", sorted(FINAL))
def test_a_run_that_was_not_carried_out_never_is(status: RunStatus) -> None:
    assert reachable(status) == {status}


@pytest.mark.parametrize("status", sorted(OWNED))
def test_a_run_that_a_process_is_responsible_for_can_lose_it(status: RunStatus) -> None:
    assert allowed(status, RunStatus.INTERRUPTED)


@pytest.mark.parametrize("status", sorted(OWNED - {RunStatus.ROLLING_BACK}))
def test_a_run_that_goes_on_can_be_stopped_but_a_rollback_goes_to_its_end(status: RunStatus) -> None:
    assert allowed(status, RunStatus.CANCELED)
    assert not allowed(RunStatus.ROLLING_BACK, RunStatus.CANCELED)


@pytest.mark.parametrize("status", sorted(RunStatus))
def test_no_state_leads_to_itself(status: RunStatus) -> None:
    assert not allowed(status, status)


@given(st.lists(st.sampled_from(RunStatus), max_size=12))
def test_a_store_moves_along_the_table_only_and_remembers_each_step(wanted: list[RunStatus]) -> None:
    store = MemoryStore()
    store.create_run(run())
    expected = [RunStatus.REQUESTED]
    for status in wanted:
        if status in TRANSITIONS[expected[-1]]:
            store.move(run().id, expected[-1], status, "", EPOCH)
            expected.append(status)
        else:
            with pytest.raises(IllegalTransition):
                store.move(run().id, expected[-1], status, "", EPOCH)

    assert [step.to_status for step in store.transitions(run().id)] == expected
    assert store.run(run().id).status is expected[-1]


def test_exit_codes_are_those_of_the_design() -> None:
    by_code: dict[int, set[str]] = {}
    for status in RunStatus:
        by_code.setdefault(run(status=status).exit_code, set()).add(status.value)

    assert by_code == {
        0: {"succeeded", "not_needed"},
        1: {"rolled_back"},
        3: {"waiting_approval", "approved", "handed_over"},
        4: {"rejected", "expired", "withdrawn"},
        5: {"failed", "rollback_failed", "canceled", "interrupted"},
        6: {"unproven"},
        7: {"parked"},
        10: {status.value for status in OWNED},
    }
    assert set(EXIT_CODES) == set(RunStatus) - OWNED


def test_a_check_that_ends_with_a_plan_is_no_error_but_a_run_that_stops_there_is() -> None:
    assert run(status=RunStatus.PLANNED, check=True).exit_code == 0
    assert run(status=RunStatus.PLANNED).exit_code == 10


def test_a_run_lasts_from_its_request_to_its_end() -> None:
    assert run(ended_at=EPOCH + timedelta(seconds=90)).duration == timedelta(seconds=90)
    assert run().duration is None


def test_run_ids_sort_by_time_and_are_plain_file_names() -> None:
    earlier, later = new_run_id(EPOCH, "zzzz"), new_run_id(EPOCH + timedelta(seconds=1), "bbbb")

    assert (earlier, sorted([later, earlier])) == ("20260105-030000-zzzz", [earlier, later])
