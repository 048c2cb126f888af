"""Stories of whole runs: what is asked, what the hosts answer, and what comes of it."""

from __future__ import annotations

from datetime import timedelta
from threading import Event

import pytest

from remediate.domain.plan import Plan, differences, digest_of
from remediate.domain.report import Undo, Verdict
from remediate.domain.run import Origin, PhaseOutcome, Run, RunStatus
from remediate.domain.runbook import Phase
from remediate.engine.events import PhaseBegan, PhaseEnded, PlanMade, StatusChanged, TaskEnded
from remediate.engine.executor_ports import PhaseRequest
from remediate.errors import HostBusy, InvalidParameter, UnknownHost, UnknownRunbook, UnknownShape
from remediate.testing import EPOCH, Silence
from tests.acceptance.conftest import World, nobody_there, says_no, says_yes
from tests.builders import action, finding, fixed, put_back, put_nothing_back, snapshot, tidy, verified

DUST = action("/shelf/dust")
TOY = action("/shelf/toy", "clutter")
BOOK = action("/shelf/book", "archive")
WHOLE_WALK = ["diagnose", "fix (check)", "snapshot", "fix", "verify"]


def scripted(
    world: World, *actions: object, host: str = "near", verdicts: tuple[Verdict, ...] = (Verdict.CURED,)
) -> None:
    """A host that is ill with these, and is cured of them unless other verdicts are given."""
    listed = tuple(entry for entry in actions if isinstance(entry, type(DUST)))
    world.executor.says(host, Phase.DIAGNOSE, finding(*listed))
    world.executor.says(host, Phase.SNAPSHOT, snapshot(*listed))
    world.executor.says(host, Phase.FIX, fixed(*listed))
    world.executor.says(host, Phase.VERIFY, *(verified(verdict) for verdict in verdicts))
    world.executor.says(host, Phase.ROLLBACK, put_back(*(entry.target for entry in listed)))


def ended(run: Run) -> tuple[RunStatus, int, str]:
    return (run.status, run.exit_code, run.outcome)


def test_level_zero_runs_at_once_and_is_proven(world: World) -> None:
    scripted(world, DUST)
    run = world.walk()

    assert ended(run) == (RunStatus.SUCCEEDED, 0, "cured: near")
    assert world.executor.walked == WHOLE_WALK
    assert world.states(run) == [
        "requested",
        "diagnosing",
        "planned",
        "approved",
        "snapshotting",
        "fixing",
        "verifying",
        "succeeded",
    ]
    assert run.plan is not None
    assert (run.plan.level, run.plan.causes, len(run.plan.digest)) == (0, ("dust",), 64)
    assert [(record.phase.value, record.check, record.changed) for record in world.store.phases(run.id)] == [
        ("diagnose", False, 0),
        ("fix", True, 1),
        ("snapshot", False, 1),
        ("fix", False, 1),
        ("verify", False, 0),
    ]


def test_whoever_watches_is_told_everything_in_order(world: World) -> None:
    scripted(world, DUST)
    world.walk()

    told = [event.phase.value for event in world.events if isinstance(event, PhaseBegan)]
    assert told == ["diagnose", "fix", "snapshot", "fix", "verify"]
    assert [type(event) for event in world.events[:5]] == [StatusChanged, PhaseBegan, TaskEnded, PhaseEnded, PhaseBegan]
    assert len([event for event in world.events if isinstance(event, PlanMade)]) == 1


def test_each_phase_gets_its_hosts_its_parameters_and_its_time_limit(world: World) -> None:
    scripted(world, DUST)
    run = world.request("near", parameters={"days": "3", "shelf": "bottom"})
    world.engine.start(run, observe=world.events.append, ask=nobody_there)
    world.engine.wait(run.id)

    assert {request.hosts for request in world.executor.requests} == {("near",)}
    assert {tuple(request.parameters.items()) for request in world.executor.requests} == {
        (("tidy_shelf_days", 3), ("tidy_shelf_shelf", "bottom"))
    }
    assert [request.timeout for request in world.executor.requests] == [
        timedelta(minutes=1),
        timedelta(minutes=3),
        timedelta(minutes=2),
        timedelta(minutes=3),
        timedelta(seconds=30),
    ]
    assert world.executor.staged == [run.id]


def test_hosts_that_are_well_need_nothing_and_nothing_is_run_on_them(world: World) -> None:
    world.executor.says("near", Phase.DIAGNOSE, tidy())
    run = world.walk()

    assert ended(run) == (RunStatus.NOT_NEEDED, 0, "nothing to do")
    assert run.plan is None
    assert world.executor.walked == ["diagnose"]


def test_a_second_run_after_a_cure_has_nothing_to_do(world: World) -> None:
    scripted(world, DUST)
    world.walk()
    world.executor.says("near", Phase.DIAGNOSE, tidy())

    assert world.walk().status is RunStatus.NOT_NEEDED


def test_a_check_shows_the_plan_and_goes_no_further(world: World) -> None:
    scripted(world, DUST, BOOK)
    run = world.walk(check=True, ask=says_yes)

    assert (run.status, run.exit_code) == (RunStatus.PLANNED, 0)
    assert run.plan is not None
    assert run.plan.hosts["near"].actions == (DUST, BOOK)
    assert world.executor.walked == ["diagnose", "fix (check)"]
    assert [request.check for request in world.executor.requests if request.phase is Phase.FIX] == [True]


def test_level_one_is_done_when_the_engineer_says_yes(world: World) -> None:
    asked: list[Plan] = []

    def yes(plan: Plan) -> bool:
        asked.append(plan)
        return True

    scripted(world, DUST, TOY)
    run = world.walk(ask=yes)

    assert run.status is RunStatus.SUCCEEDED
    assert asked == [run.plan]
    assert world.states(run)[2:5] == ["planned", "waiting_approval", "approved"]


def test_level_one_is_rejected_when_the_engineer_says_no(world: World) -> None:
    scripted(world, TOY)
    run = world.walk(ask=says_no)

    assert ended(run) == (RunStatus.REJECTED, 4, "rejected by nadia (level 1: at the terminal)")
    assert world.executor.walked == ["diagnose", "fix (check)"]


def test_level_one_waits_when_nobody_can_be_asked(world: World) -> None:
    scripted(world, TOY)
    run = world.walk(ask=nobody_there)

    assert ended(run) == (RunStatus.WAITING_APPROVAL, 3, "level 1: clutter asks for level 1")
    assert run.ended_at is None
    assert world.executor.walked == ["diagnose", "fix (check)"]


def test_level_two_waits_for_somebody_else_whoever_typed_yes(world: World) -> None:
    scripted(world, BOOK)
    run = world.walk(ask=says_yes)

    assert ended(run) == (RunStatus.WAITING_APPROVAL, 3, "level 2: archive asks for level 2")
    assert world.executor.walked == ["diagnose", "fix (check)"]


def test_what_cannot_be_undone_and_loses_data_waits_for_the_manager(world: World) -> None:
    scripted(world, action("/shelf/papers", "fire", Undo.NONE))
    run = world.walk(ask=says_yes)

    assert (run.status, run.plan and run.plan.level) == (RunStatus.WAITING_APPROVAL, 3)


def test_an_action_that_could_not_be_held_is_no_longer_level_zero(world: World) -> None:
    scripted(world, action("/shelf/dust", undo=Undo.NONE))

    assert world.walk().status is RunStatus.WAITING_APPROVAL


def test_an_illness_that_nothing_safe_would_cure_ends_not_cured_and_names_what_was_found(world: World) -> None:
    cat = finding(notes=("the biggest is the cat and not ours to move",), enough=False)
    world.executor.says("near", Phase.DIAGNOSE, cat)
    run = world.walk(ask=says_yes)

    assert ended(run) == (
        RunStatus.FAILED,
        5,
        "not cured: nothing that is safe to do would help. near: the biggest is the cat and not ours to move",
    )
    assert world.executor.walked == ["diagnose"]


def test_a_snapshot_that_names_more_than_the_plan_is_stale_and_nothing_is_fixed(world: World) -> None:
    scripted(world, DUST)
    world.executor.says("near", Phase.SNAPSHOT, snapshot(DUST, *(action(f"/shelf/new{n}") for n in range(7))))
    run = world.walk()

    named = [f"near: delete /shelf/new{number}" for number in range(5)]
    assert ended(run) == (
        RunStatus.EXPIRED,
        4,
        f"stale: the host changed since the plan was made: {'; '.join(named)} and 2 more",
    )
    assert world.executor.walked == ["diagnose", "fix (check)", "snapshot"]


def test_a_snapshot_that_names_less_than_the_plan_is_fine(world: World) -> None:
    scripted(world, DUST, action("/shelf/gone"))
    world.executor.says("near", Phase.SNAPSHOT, snapshot(DUST))

    assert world.walk().status is RunStatus.SUCCEEDED


def test_a_plan_that_was_agreed_on_is_carried_out_when_the_host_is_still_the_same(world: World) -> None:
    scripted(world, TOY)
    planned = world.walk(check=True)
    run = world.apply(planned)

    assert run.status is RunStatus.SUCCEEDED
    assert (run.continues, run.plan and run.plan.digest) == (planned.id, planned.plan and planned.plan.digest)


def test_a_plan_that_was_agreed_on_is_stale_when_the_host_needs_more_by_now(world: World) -> None:
    scripted(world, TOY)
    planned = world.walk(check=True)
    scripted(world, TOY, DUST)
    run = world.apply(planned)

    assert ended(run) == (
        RunStatus.EXPIRED,
        4,
        "stale: what would be done on near changed since the plan was made",
    )
    assert world.executor.walked == ["diagnose", "fix (check)"] * 2


def test_verification_is_asked_again_until_the_cure_shows(world: World) -> None:
    scripted(world, DUST, verdicts=(Verdict.NOT_CURED, Verdict.CANNOT_TELL, Verdict.CURED))
    run = world.walk()

    assert ended(run) == (RunStatus.SUCCEEDED, 0, "cured: near")
    assert world.executor.walked == [*WHOLE_WALK, "verify", "verify"]
    assert world.clock.waits == [timedelta(seconds=20)] * 2
    assert run.duration == timedelta(seconds=40)


def test_verification_is_asked_no_more_often_than_the_card_says(world: World) -> None:
    scripted(world, TOY, verdicts=(Verdict.NOT_CURED,))
    run = world.walk(ask=says_yes)

    assert ended(run) == (RunStatus.FAILED, 5, "not cured: near (shelf: as measured)")
    assert world.executor.walked == [*WHOLE_WALK, "verify", "verify", "verify"]


def test_cannot_tell_is_never_success(world: World) -> None:
    scripted(world, TOY, verdicts=(Verdict.CANNOT_TELL,))
    run = world.walk(ask=says_yes)

    assert ended(run) == (RunStatus.UNPROVEN, 6, "cannot tell: near (shelf: as measured)")


def test_a_fix_that_does_not_cure_is_taken_back_by_itself_where_every_cause_says_so(world: World) -> None:
    scripted(world, DUST, verdicts=(Verdict.NOT_CURED,))
    run = world.walk()

    assert ended(run) == (RunStatus.ROLLED_BACK, 1, "1 put back")
    assert world.states(run)[-4:] == ["verifying", "failed", "rolling_back", "rolled_back"]


def test_a_fix_is_not_taken_back_by_itself_when_one_of_its_causes_says_by_hand(world: World) -> None:
    scripted(world, DUST, TOY, verdicts=(Verdict.NOT_CURED,))
    run = world.walk(ask=says_yes)

    assert run.status is RunStatus.FAILED
    assert "rollback" not in world.executor.walked


def test_a_rollback_that_is_refused_names_every_path_and_why(world: World) -> None:
    scripted(world, DUST, verdicts=(Verdict.NOT_CURED,))
    world.executor.says("near", Phase.ROLLBACK, put_nothing_back("/shelf/dust", "something newer stands there"))
    run = world.walk()

    assert ended(run) == (
        RunStatus.ROLLBACK_FAILED,
        5,
        "not rolled back: near: /shelf/dust: something newer stands there",
    )


def test_a_fix_that_breaks_off_has_failed_and_the_state_it_left_is_looked_at(world: World) -> None:
    scripted(world, TOY, verdicts=(Verdict.NOT_CURED,))
    world.executor.says("near", Phase.FIX, Silence(PhaseOutcome.FAILED, "the broom broke"))
    run = world.walk(ask=says_yes)

    assert ended(run) == (
        RunStatus.FAILED,
        5,
        "near: the broom broke. State now: not cured: near (shelf: as measured)",
    )
    assert world.executor.walked == WHOLE_WALK


def test_a_fix_that_takes_too_long_has_failed_and_says_so(world: World) -> None:
    scripted(world, TOY, verdicts=(Verdict.CANNOT_TELL,))
    world.executor.says("near", Phase.FIX, Silence(PhaseOutcome.TIMEOUT))
    run = world.walk(ask=says_yes)

    assert ended(run) == (
        RunStatus.FAILED,
        5,
        "took longer than its time limit. State now: cannot tell: near (shelf: as measured)",
    )


@pytest.mark.parametrize("phase", [Phase.DIAGNOSE, Phase.SNAPSHOT])
def test_a_phase_before_the_fix_that_breaks_off_changes_nothing_and_cannot_tell(world: World, phase: Phase) -> None:
    scripted(world, DUST)
    world.executor.says("near", phase, Silence(PhaseOutcome.FAILED, "the lamp is out"))
    run = world.walk()

    assert ended(run) == (RunStatus.UNPROVEN, 6, "near: the lamp is out")
    assert "fix" not in world.executor.walked


def test_a_dry_run_of_the_fix_that_breaks_off_ends_without_a_plan(world: World) -> None:
    scripted(world, DUST)
    world.executor.says("near", Phase.FIX, Silence(PhaseOutcome.FAILED, "no broom"), check=True)
    run = world.walk()

    assert ended(run) == (RunStatus.UNPROVEN, 6, "near: no broom")
    assert run.plan is None


def test_a_host_that_is_down_is_named_and_nothing_is_run_on_the_others(world: World) -> None:
    scripted(world, DUST)
    world.executor.says("far", Phase.DIAGNOSE, Silence(PhaseOutcome.UNREACHABLE, "it does not answer on SSH"))
    run = world.walk("near", "far")

    assert ended(run) == (RunStatus.UNPROVEN, 6, "far: it does not answer on SSH")
    assert world.executor.walked == ["diagnose"]


def test_of_two_hosts_only_the_ill_one_is_touched(world: World) -> None:
    scripted(world, DUST)
    world.executor.says("far", Phase.DIAGNOSE, tidy())
    run = world.walk("near", "far")

    assert ended(run) == (RunStatus.SUCCEEDED, 0, "cured: near")
    assert [request.hosts for request in world.executor.requests] == [("near", "far"), *[("near",)] * 4]
    assert run.plan is not None
    assert list(run.plan.hosts) == ["near"]


def test_two_ill_hosts_of_which_one_is_cured_is_not_cured(world: World) -> None:
    scripted(world, TOY)
    scripted(world, TOY, host="far", verdicts=(Verdict.NOT_CURED,))
    run = world.walk("near", "far", ask=says_yes)

    assert ended(run) == (RunStatus.FAILED, 5, "not cured: far (shelf: as measured)")


def test_without_a_host_the_group_of_the_runbook_is_worked_on(world: World) -> None:
    world.executor.says("near", Phase.DIAGNOSE, tidy())
    world.executor.says("far", Phase.DIAGNOSE, tidy())
    run = world.engine.request("tidy-shelf", hosts=(), parameters={}, origin=Origin(requested_by="nadia"))

    assert run.hosts == ("near", "far")


def test_a_stop_in_the_middle_of_the_fix_ends_it_looks_at_the_state_and_takes_nothing_back(world: World) -> None:
    scripted(world, DUST, verdicts=(Verdict.NOT_CURED,))

    def stop(request: PhaseRequest, _stop: Event) -> None:
        if not request.check:
            world.engine.cancel(request.run_id)

    world.executor.during(Phase.FIX, stop)
    run = world.walk()

    assert ended(run) == (
        RunStatus.CANCELED,
        5,
        "stopped by request. State now: not cured: near (shelf: as measured)",
    )
    assert world.executor.walked == WHOLE_WALK


@pytest.mark.parametrize("phase", [Phase.DIAGNOSE, Phase.SNAPSHOT])
def test_a_stop_before_the_fix_ends_the_run_with_nothing_changed(world: World, phase: Phase) -> None:
    scripted(world, DUST)
    world.executor.during(phase, lambda request, _stop: world.engine.cancel(request.run_id))
    run = world.walk()

    assert ended(run) == (RunStatus.CANCELED, 5, "stopped by request")
    assert "fix" not in world.executor.walked


def test_a_stop_while_the_cure_is_being_proven_ends_without_a_verdict(world: World) -> None:
    scripted(world, DUST)
    world.executor.during(Phase.VERIFY, lambda request, _stop: world.engine.cancel(request.run_id))
    run = world.walk()

    assert ended(run) == (RunStatus.CANCELED, 5, "stopped by request before the cure was proven")


def test_a_host_that_is_being_worked_on_is_left_alone_and_the_run_is_parked(world: World) -> None:
    run = world.request("near")
    with world.locks.hold("20260105-025900-wxyz", ["near"]):
        world.engine.start(run, observe=world.events.append, ask=nobody_there)
        with pytest.raises(HostBusy) as refused:
            world.engine.wait(run.id)

    parked = world.store.run(run.id)
    assert refused.value.exit_code == parked.exit_code == 7
    assert parked.status is RunStatus.PARKED
    assert parked.outcome == "near is being worked on by run 20260105-025900-wxyz; nothing was done."
    assert world.executor.walked == []


def test_every_problem_of_a_request_is_told_before_anything_is_recorded(world: World) -> None:
    with pytest.raises(InvalidParameter, match=r"(?s)days: a whole number.*colour: this runbook has no such"):
        world.request("near", parameters={"days": "x", "colour": "red"})
    with pytest.raises(UnknownHost, match=r"(?s)'nearr' is not a host.*'all' is a pattern"):
        world.request("nearr", "all")
    with pytest.raises(UnknownRunbook):
        world.engine.request("tidy-desk", hosts=("near",), parameters={}, origin=Origin(requested_by="nadia"))

    assert world.store.runs(limit=10) == ()
    assert world.executor.walked == []


def test_content_that_names_a_cause_its_card_does_not_know_ends_the_run_before_anything_is_done(world: World) -> None:
    scripted(world, action("/shelf/x", "vandalism"))
    run = world.request("near")
    world.engine.start(run, observe=world.events.append, ask=says_yes)
    with pytest.raises(UnknownShape, match="found causes that its card does not name: vandalism"):
        world.engine.wait(run.id)

    assert world.store.run(run.id).status is RunStatus.INTERRUPTED
    assert world.executor.walked == ["diagnose"]


def test_every_plan_has_a_digest_of_its_own_over_all_that_decides_it(world: World) -> None:
    scripted(world, DUST)
    first, second = world.walk(check=True).plan, world.walk(check=True).plan
    assert first is not None
    assert second is not None

    assert first.digest != second.digest
    assert differences(first.binds, second.binds) == ("nonce",)
    assert digest_of(first.binds) == first.digest
    assert set(first.binds) == {
        "content", "inventory", "runbook_role", "runbook", "parameters", "work", "policy", "nonce", "expires_at",
    }  # fmt: skip


def test_times_are_those_of_the_clock(world: World) -> None:
    scripted(world, DUST)
    world.executor.during(Phase.FIX, lambda _request, _stop: world.clock.fast_forward(timedelta(seconds=30)))
    run = world.walk()

    assert (run.created_at, run.ended_at) == (EPOCH, EPOCH + timedelta(seconds=60))
    seconds = [event.seconds for event in world.events if isinstance(event, PhaseEnded)]
    assert seconds == [0, 30, 0, 30, 0]
