"""Stories of runs that were left where a crash left them, and of the watch that brings them forward."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remediate.domain.approval import Answer
from remediate.domain.run import Carrier, Origin, Run, RunStatus
from remediate.domain.runbook import Phase
from remediate.engine.watch import Watch
from remediate.errors import IllegalTransition
from tests.acceptance.conftest import World
from tests.acceptance.staff import MAX, Company, principal
from tests.acceptance.test_recovery import Killed, kill_in
from tests.acceptance.test_walks import BOOK, DUST, scripted


def watch(world: World) -> Watch:
    """The watch of a service that was started just now."""
    world.engine = world.another_process()
    return Watch(world.ports, world.engine)


def request(world: World, carrier: Carrier) -> Run:
    origin = Origin(requested_by="nadia", carrier=carrier)
    return world.engine.request("tidy-shelf", hosts=["near"], parameters={}, origin=origin)


def killed(world: World, carrier: Carrier, phase: Phase) -> Run:
    """A run whose process is killed in a phase."""
    scripted(world, DUST)
    kill_in(world, phase)
    run = request(world, carrier)
    with pytest.raises(Killed):
        world.carry(run)
    world.executor.during(phase, lambda _request, _stop: None)
    return run


def a_service_is_killed(world: World, phase: Phase) -> None:
    """A service goes on with the newest run, and is killed in a phase."""
    kill_in(world, phase)
    service = watch(world)
    with pytest.raises(Killed):
        service.look(everything=True)
    world.executor.during(phase, lambda _request, _stop: None)


def approved(world: World) -> Run:
    """A run of level 2 that was approved, and whose process was killed before it went on."""
    world.staff = Company().staff()
    world.engine = world.another_process()
    scripted(world, BOOK)
    run = world.carry(request(world, "service"))
    return world.engine.approvals.answer(run.id, principal(MAX), Answer.APPROVED)


def test_a_run_that_was_handed_over_and_never_begun_is_carried_by_the_service_once(world: World) -> None:
    scripted(world, DUST)
    run = request(world, "service")
    service = watch(world)
    service.look(everything=True)
    service.look(everything=True)

    assert world.store.run(run.id).status is RunStatus.SUCCEEDED
    assert world.executor.walked.count("fix") == 1
    assert len(world.store.runs(limit=10)) == 1


def test_a_run_whose_command_was_killed_before_it_began_is_interrupted_after_a_moment_and_left_to_people(
    world: World,
) -> None:
    scripted(world, DUST)
    run = request(world, "command")
    watch(world).look(everything=True)
    early = world.store.run(run.id).status
    world.clock.fast_forward(timedelta(seconds=11))
    watch(world).look(everything=True)

    assert (early, world.store.run(run.id).status) == (RunStatus.REQUESTED, RunStatus.INTERRUPTED)
    assert world.executor.walked == []
    assert len(world.store.runs(limit=10)) == 1


def test_an_approved_run_that_nobody_carries_is_carried_out(world: World) -> None:
    run = approved(world)
    watch(world).look(everything=True)

    assert world.store.run(run.id).status is RunStatus.SUCCEEDED


def test_an_approved_run_whose_plan_is_no_longer_valid_expires_and_people_are_told(world: World) -> None:
    run = approved(world)
    assert run.plan is not None
    world.clock.fast_forward(run.plan.expires_at - world.clock.now())
    company = Company()
    world.staff = company.staff()
    watch(world).look(everything=True)

    ended = world.store.run(run.id)
    assert (ended.status, ended.outcome) == (RunStatus.EXPIRED, "the plan is no longer valid: make a new one")
    assert "fix" not in world.executor.walked
    assert [incident.run_id for incident in world.approvals.incidents()] == [run.id]
    assert company.heard("ended") == ["nadia"]


def test_an_interrupted_run_that_nobody_continues_keeps_its_incident(world: World) -> None:
    run = killed(world, "command", Phase.FIX)
    for _ in range(3):
        watch(world).look(everything=True)

    assert world.store.run(run.id).status is RunStatus.INTERRUPTED
    assert [incident.run_id for incident in world.approvals.incidents()] == [run.id]


def test_a_cure_at_the_third_attempt_closes_the_incidents_of_all_three(world: World) -> None:
    killed(world, "service", Phase.FIX)
    a_service_is_killed(world, Phase.FIX)
    watch(world).look(everything=True)

    newest, *_ = world.store.runs(limit=1)
    assert (newest.status, len(world.store.runs(limit=10))) == (RunStatus.SUCCEEDED, 3)
    assert world.approvals.incidents() == ()


def test_an_interrupted_rollback_is_finished_and_no_fix_begins_after_it(world: World) -> None:
    scripted(world, DUST)
    cured = world.carry(request(world, "service"))
    kill_in(world, Phase.ROLLBACK)
    with pytest.raises(Killed):
        world.roll_back(cured)
    world.executor.during(Phase.ROLLBACK, lambda _request, _stop: None)
    watch(world).look(everything=True)

    assert world.states(cured)[-4:] == ["rolling_back", "interrupted", "rolling_back", "rolled_back"]
    assert world.executor.walked.count("fix") == 1


def test_a_person_who_resumes_an_interrupted_rollback_is_told_how_to_finish_it(world: World) -> None:
    scripted(world, DUST)
    cured = world.carry(request(world, "command"))
    kill_in(world, Phase.ROLLBACK)
    with pytest.raises(Killed):
        world.roll_back(cured)
    world.engine = world.another_process()
    (lost,) = world.engine.recover()

    with pytest.raises(IllegalTransition, match="was interrupted while it was rolled back") as refused:
        world.engine.request_resumption(lost)
    assert refused.value.next_step == f"finish that: `remediate rollback {lost.id}`"


def test_a_run_that_never_came_to_a_plan_has_an_incident_when_it_is_given_up(world: World) -> None:
    company = Company()
    world.staff = company.staff()
    world.engine = world.another_process()
    run = killed(world, "service", Phase.DIAGNOSE)
    for _ in range(2):
        a_service_is_killed(world, Phase.DIAGNOSE)
    watch(world).look(everything=True)

    newest, *earlier = world.store.runs(limit=10)
    assert (newest.status, len(earlier)) == (RunStatus.PARKED, 2)
    assert newest.id == f"{run.id}-3"
    assert [incident.run_id for incident in world.approvals.incidents()] == [newest.id]
    assert company.heard("ended") == ["nadia"]
