"""Stories of runs whose process was killed, and of runs that are taken back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Event

import pytest

from remediate.domain.report import Verdict
from remediate.domain.run import RunStatus
from remediate.domain.runbook import Phase
from remediate.engine.executor_ports import PhaseRequest
from remediate.errors import HostBusy, IllegalTransition, StateUnusable
from remediate.testing import MemoryApprovals, MemoryLocks, MemoryStore
from tests.acceptance.conftest import World, nobody_there, says_yes
from tests.acceptance.test_walks import DUST, TOY, ended, scripted
from tests.builders import put_back, put_nothing_back, run, tidy, verified


class Killed(BaseException):
    """What a kill -9 looks like from inside: nothing more is done, not even the record."""


def kill_in(world: World, phase: Phase, *, check: bool = False) -> None:
    def killed(request: PhaseRequest, _stop: Event) -> None:
        if request.check is check:
            raise Killed

    world.executor.during(phase, killed)


@pytest.mark.parametrize(
    ("phase", "check", "status"),
    [
        (Phase.DIAGNOSE, False, "diagnosing"),
        (Phase.FIX, True, "diagnosing"),
        (Phase.SNAPSHOT, False, "snapshotting"),
        (Phase.FIX, False, "fixing"),
        (Phase.VERIFY, False, "verifying"),
    ],
)
def test_a_killed_run_is_found_marked_once_and_the_next_run_cures(
    world: World, phase: Phase, check: bool, status: str
) -> None:
    scripted(world, DUST)
    kill_in(world, phase, check=check)
    with pytest.raises(Killed):
        world.walk()
    walked = list(world.executor.walked)
    other = world.another_process()
    (lost,) = other.recover()
    again = other.recover()

    assert ended(lost) == (
        RunStatus.INTERRUPTED,
        5,
        f"the process that carried it out is gone; it was {status}",
    )
    assert again == ()
    assert world.executor.walked == walked
    world.executor.during(phase, lambda _request, _stop: None)
    assert world.walk().status is RunStatus.SUCCEEDED


def test_a_run_that_is_being_carried_is_not_taken_for_a_lost_one(world: World) -> None:
    scripted(world, DUST)
    found: list[object] = []
    world.executor.during(Phase.FIX, lambda _request, _stop: found.append(world.another_process().recover()))
    finished = world.walk()

    assert found == [(), ()]
    assert finished.status is RunStatus.SUCCEEDED


def test_runs_that_wait_for_approval_or_were_only_planned_are_not_lost(world: World) -> None:
    scripted(world, TOY)
    world.walk(ask=nobody_there)
    world.walk(check=True)

    assert world.another_process().recover() == ()


def test_an_interrupted_fix_is_accounted_for_by_asking_the_host(world: World) -> None:
    scripted(world, DUST)
    kill_in(world, Phase.FIX)
    with pytest.raises(Killed):
        world.walk()
    other = world.another_process()
    (lost,) = other.recover()
    world.executor.says("near", Phase.VERIFY, verified(Verdict.NOT_CURED).model_copy(update={"done": (DUST,)}))
    other.account(lost, observe=world.events.append)

    last = world.store.phases(lost.id)[-1]
    assert (last.phase, last.check) == (Phase.VERIFY, False)
    assert last.reports["near"]["done"] == [DUST.model_dump(mode="json")]  # type: ignore[index]  # recorded as JSON
    assert world.store.run(lost.id).status is RunStatus.INTERRUPTED


def test_a_run_that_ended_by_itself_is_not_accounted_for(world: World) -> None:
    scripted(world, DUST)
    finished = world.walk()
    walked = list(world.executor.walked)
    world.engine.account(finished, observe=world.events.append)

    assert world.executor.walked == walked


def test_an_interrupted_fix_can_be_taken_back(world: World) -> None:
    scripted(world, DUST)
    kill_in(world, Phase.FIX)
    with pytest.raises(Killed):
        world.walk()
    (lost,) = world.another_process().recover()

    assert ended(world.roll_back(lost)) == (RunStatus.ROLLED_BACK, 1, "1 put back")


def test_a_cured_host_can_be_put_back_as_it_was_and_once_more(world: World) -> None:
    scripted(world, DUST)
    finished = world.walk()
    world.executor.says("near", Phase.ROLLBACK, put_back("/shelf/dust"), put_back())
    once = world.roll_back(finished)
    twice = world.roll_back(once)

    assert (once.outcome, twice.outcome) == ("1 put back", "0 put back")
    assert world.states(finished)[-5:] == ["succeeded", "rolling_back", "rolled_back", "rolling_back", "rolled_back"]


def test_a_rollback_that_was_refused_can_be_tried_again(world: World) -> None:
    scripted(world, DUST)
    finished = world.walk()
    world.executor.says("near", Phase.ROLLBACK, put_nothing_back("/shelf/dust", "newer"), put_back("/shelf/dust"))
    refused = world.roll_back(finished)

    assert (refused.status, refused.exit_code) == (RunStatus.ROLLBACK_FAILED, 5)
    assert world.roll_back(refused).status is RunStatus.ROLLED_BACK


def test_only_the_hosts_of_the_plan_are_put_back(world: World) -> None:
    scripted(world, DUST)
    world.executor.says("far", Phase.DIAGNOSE, tidy())
    world.roll_back(world.walk("near", "far"))

    assert world.executor.requests[-1].hosts == ("near",)


def test_a_run_that_changed_nothing_has_nothing_to_put_back(world: World) -> None:
    scripted(world, TOY)
    waiting = world.walk()
    looked = world.walk(check=True)
    world.executor.says("near", Phase.DIAGNOSE, tidy())
    for nothing in (waiting, looked, world.walk()):
        with pytest.raises(IllegalTransition, match=f"Run {nothing.id} changed nothing"):
            world.roll_back(nothing)

    assert "rollback" not in world.executor.walked


def test_a_rollback_leaves_a_busy_host_alone_and_the_run_as_it_was(world: World) -> None:
    scripted(world, DUST)
    finished = world.walk()
    with world.locks.hold("another", ["near"]), pytest.raises(HostBusy):
        world.roll_back(finished)

    assert world.store.run(finished.id) == finished


def test_a_rollback_that_is_killed_is_interrupted_and_can_be_done_again(world: World) -> None:
    scripted(world, DUST)
    finished = world.walk()
    kill_in(world, Phase.ROLLBACK)
    with pytest.raises(Killed):
        world.roll_back(finished)
    (lost,) = world.another_process().recover()
    world.executor.during(Phase.ROLLBACK, lambda _request, _stop: None)

    assert lost.status is RunStatus.INTERRUPTED
    assert world.roll_back(lost).status is RunStatus.ROLLED_BACK


def test_a_record_that_cannot_be_written_any_more_ends_the_run_as_broken_off(world: World) -> None:
    scripted(world, DUST)

    def full(_request: PhaseRequest, _stop: Event) -> None:
        raise StateUnusable("The record cannot be written: disk full.")

    world.executor.during(Phase.FIX, full)
    requested = world.request("near")
    world.engine.start(requested, observe=world.events.append, ask=says_yes)
    with pytest.raises(StateUnusable):
        world.engine.wait(requested.id)

    broken = world.store.run(requested.id)
    assert ended(broken) == (
        RunStatus.INTERRUPTED,
        5,
        "broke off while it was diagnosing: The record cannot be written: disk full.",
    )
    assert not world.locks.alive(requested.id)


def test_a_lost_run_is_found_behind_any_number_of_plans_that_were_only_asked_for() -> None:
    world = World(MemoryStore(), MemoryApprovals())
    world.store.create_run(run("20260101-000000-bcdf"))
    world.clock.fast_forward(timedelta(minutes=1))
    for number in range(250):
        asked = run(f"20260104-000{number}", status=RunStatus.PLANNED, check=True)
        world.store.create_run(asked)

    assert [lost.id for lost in world.engine.recover()] == ["20260101-000000-bcdf"]


def test_a_run_that_was_requested_a_moment_ago_is_about_to_start_and_not_lost(world: World) -> None:
    requested = world.request("near")
    early = world.another_process().recover()
    world.clock.fast_forward(timedelta(seconds=11))
    late = world.another_process().recover()

    assert early == ()
    assert [(lost.id, lost.status) for lost in late] == [(requested.id, RunStatus.INTERRUPTED)]


class _Overtaken(MemoryLocks):
    """Locks that let another command go first, in the moment in which one looks whether a run is alive."""

    def __init__(self, overtake: Callable[[], object]) -> None:
        super().__init__()
        self._overtake = [overtake]

    def alive(self, run_id: str) -> bool:
        if self._overtake:
            self._overtake.pop()()
        return super().alive(run_id)


def test_two_commands_that_find_the_same_lost_run_do_not_trip_over_each_other(world: World) -> None:
    scripted(world, DUST)
    kill_in(world, Phase.FIX)
    with pytest.raises(Killed):
        world.walk()
    second = world.another_process()
    world.locks = _Overtaken(second.recover)
    first = world.another_process().recover()

    assert first == ()
    assert [found.status for found in world.store.runs(limit=9)] == [RunStatus.INTERRUPTED]
