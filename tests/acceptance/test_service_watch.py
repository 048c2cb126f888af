"""Stories of a service that watches over everything, with a clock that stands still."""

from __future__ import annotations

from datetime import timedelta
from threading import Event

import pytest

from remediate.domain.approval import Answer
from remediate.domain.run import Origin, Run, RunStatus
from remediate.domain.runbook import Phase
from remediate.engine.executor_ports import PhaseRequest
from remediate.engine.lock_names import waiting_lock
from remediate.engine.ports import Work
from remediate.engine.watch import AGAIN_AFTER, BUSY_FOR, Watch
from remediate.errors import EngineFailure, StateUnusable
from tests.acceptance.conftest import World
from tests.acceptance.staff import OMAR, principal
from tests.acceptance.test_recovery import Killed, kill_in
from tests.acceptance.test_walks import DUST, TOY, scripted


@pytest.fixture
def watch(world: World) -> Watch:
    return Watch(world.ports, world.engine)


def handed_over(world: World, *hosts: str) -> Run:
    """A run that a command has handed over to the service."""
    return world.engine.request(
        "tidy-shelf",
        hosts=hosts or ("near",),
        parameters={},
        origin=Origin(requested_by="nadia", carrier="service"),
    )


def status(world: World, run: Run) -> RunStatus:
    return world.store.run(run.id).status


def later(world: World, watch: Watch, span: timedelta) -> None:
    world.clock.fast_forward(span)
    watch.look(everything=True)


def test_a_run_that_was_handed_over_is_carried_and_one_of_a_command_is_not(world: World, watch: Watch) -> None:
    scripted(world, DUST)
    run, other = handed_over(world), world.request("near")
    watch.look(everything=True)

    assert status(world, run) is RunStatus.SUCCEEDED
    assert status(world, other) is RunStatus.REQUESTED


def test_a_run_whose_host_is_busy_is_tried_again_later_and_begins_when_it_is_free(world: World, watch: Watch) -> None:
    scripted(world, DUST)
    run = handed_over(world)
    with world.locks.hold("another", ("near",)):
        watch.look(everything=True)
        assert status(world, run) is RunStatus.REQUESTED
    later(world, watch, AGAIN_AFTER / 2)
    assert status(world, run) is RunStatus.REQUESTED
    later(world, watch, AGAIN_AFTER)

    assert status(world, run) is RunStatus.SUCCEEDED


def test_a_run_whose_host_stays_busy_is_parked(world: World, watch: Watch) -> None:
    run = handed_over(world)
    with world.locks.hold("another", ("near",)):
        watch.look(everything=True)
        later(world, watch, BUSY_FOR - timedelta(seconds=1))
        assert status(world, run) is RunStatus.REQUESTED
        later(world, watch, AGAIN_AFTER)

    assert status(world, run) is RunStatus.PARKED
    assert world.store.run(run.id).outcome == "near stayed busy for 0:10:00"


def test_for_each_host_the_oldest_goes_first(world: World, watch: Watch) -> None:
    scripted(world, DUST)
    first = handed_over(world)
    world.clock.fast_forward(timedelta(seconds=5))
    second = handed_over(world)
    watch.look(everything=True)

    assert (status(world, first), status(world, second)) == (RunStatus.SUCCEEDED, RunStatus.REQUESTED)
    later(world, watch, timedelta(seconds=1))
    assert status(world, second) is not RunStatus.REQUESTED


def test_a_run_that_waits_for_its_turn_is_canceled_when_somebody_asked_for_it(world: World, watch: Watch) -> None:
    run = handed_over(world)
    world.store.ask_to_stop(run.id, "omar")
    watch.look(everything=True)

    assert (status(world, run), world.executor.requests) == (RunStatus.CANCELED, [])


def test_a_run_that_waits_for_its_turn_is_not_taken_for_a_lost_one(world: World) -> None:
    handed_over(world)
    world.clock.fast_forward(timedelta(minutes=5))

    assert world.another_process().recover() == ()


def test_an_approved_run_that_a_command_waits_for_is_left_to_it(world: World, watch: Watch) -> None:
    scripted(world, TOY)
    run = world.walk()
    world.engine.approvals.answer(run.id, principal(OMAR), Answer.APPROVED)
    with world.locks.hold(waiting_lock(run.id), ()):
        watch.look(everything=True)
        assert status(world, run) is RunStatus.APPROVED
    watch.look(everything=True)

    assert status(world, run) is RunStatus.SUCCEEDED


def test_a_run_whose_carrier_was_killed_is_gone_on_with_at_most_three_times(world: World, watch: Watch) -> None:
    scripted(world, DUST)
    kill_in(world, Phase.DIAGNOSE)
    run = handed_over(world)
    for _ in range(6):
        with pytest.raises(Killed):
            later(world, watch, AGAIN_AFTER)
        if len(world.store.runs(limit=9)) == 3:
            break
    later(world, watch, AGAIN_AFTER)
    found = {one.id: one.status for one in reversed(world.store.runs(limit=9))}

    assert found == {
        run.id: RunStatus.INTERRUPTED,
        f"{run.id}-2": RunStatus.INTERRUPTED,
        f"{run.id}-3": RunStatus.PARKED,
    }


def test_a_run_whose_work_fails_every_time_before_it_moves_is_parked(
    world: World, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_run_id: str, _work: Work = Work.CARRY, _turn: int = 0) -> None:
        raise EngineFailure("The work has failed 3 times at the same place.")

    monkeypatch.setattr(world.ports.workflows, "start", fails)
    run = handed_over(world)
    watch.look(everything=True)

    assert status(world, run) is RunStatus.PARKED
    assert world.store.run(run.id).outcome == "The work has failed 3 times at the same place."


def test_a_stop_is_heeded_by_whoever_carries_the_run_although_it_did_not_start_it(world: World, watch: Watch) -> None:
    scripted(world, DUST)
    seen: list[bool] = []

    def asks(request: PhaseRequest, stop: Event) -> None:
        world.store.ask_to_stop(request.run_id, "omar")
        watch.look(everything=False)
        seen.append(stop.is_set())

    world.executor.during(Phase.FIX, asks)
    run = handed_over(world)
    world.ports.workflows.start(run.id)

    assert seen[0] is True


def test_a_record_that_cannot_be_used_for_a_while_is_told_once_and_looked_at_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    looks: list[bool] = []
    stop = Event()
    watch = Watch(world.ports, world.engine, tell=lambda error: told.append(error.message))

    def look(*, everything: bool) -> None:
        looks.append(everything)
        if len(looks) == 3:
            stop.set()
        raise StateUnusable("The disk is full.")

    monkeypatch.setattr(watch, "look", look)
    watch.keep(stop, everything=True)

    assert (told, looks) == (["The disk is full."], [True] * 3)
