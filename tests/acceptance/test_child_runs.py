"""Stories of runs that are handed over: another runbook cures the cause, and the run proves that it is cured."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from datetime import timedelta
from threading import Event

import pytest

from remediate.domain.approval import Answer
from remediate.domain.plan import Plan
from remediate.domain.report import Verdict
from remediate.domain.run import Origin, Run, RunStatus
from remediate.domain.runbook import Phase
from remediate.engine.events import PlanMade, StatusChanged
from remediate.engine.executor_ports import PhaseRequest
from remediate.engine.lock_names import family_lock
from remediate.engine.watch import AGAIN_AFTER, Watch
from remediate.errors import IllegalTransition, UnknownShape
from tests.acceptance.conftest import World, says_no, says_yes
from tests.acceptance.family import (
    BOOK,
    DOOR,
    DRAIN,
    DUST,
    child_of,
    cures,
    diagnoses,
    found,
    inhabit,
    mend,
    open_incidents,
    request,
    walked,
)
from tests.acceptance.staff import MAX, Company, principal
from tests.acceptance.test_recovery import Killed, kill_in
from tests.builders import action, fixed, snapshot, tidy, verified

TOY = action("/shelf/toy", "clutter")
WINDOW = action("/window", "draughty")


@pytest.fixture
def house(world: World) -> World:
    return inhabit(world)


def status(world: World, run: Run) -> RunStatus:
    return world.store.run(run.id).status


def test_what_another_runbook_cures_is_handed_over_and_then_proven(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy"), tidy())
    cures(house, "tidy-shelf", DUST)
    run = mend(house)
    child = child_of(house, run)

    assert (run.status, run.exit_code, run.outcome) == (RunStatus.SUCCEEDED, 0, "cured: near")
    assert house.states(run) == ["requested", "diagnosing", "handed_over", "diagnosing", "verifying", "succeeded"]
    assert (child.runbook, child.status, child.hosts) == ("tidy-shelf", RunStatus.SUCCEEDED, ("near",))
    assert (child.parent, child.depth, child.requested_by) == (run.id, 1, "nadia")
    assert child.reason == f"mend-house found untidy (run {run.id})"
    assert walked(house) == [
        "mend-house diagnose",
        *(f"tidy-shelf {phase}" for phase in ("diagnose", "snapshot", "fix", "verify")),
        "mend-house diagnose",
        "mend-house verify",
    ]
    assert house.store.transitions(run.id)[2].reason == f"handed over to tidy-shelf on near (run {child.id})"
    assert house.approvals.incidents(only_open=False)[0].run_id == run.id
    assert open_incidents(house) == []


def test_while_a_run_is_handed_over_its_incident_is_open_and_it_holds_no_host(house: World) -> None:
    seen: list[object] = []

    def looks(request: PhaseRequest, _stop: Event) -> None:
        if request.runbook.id == "tidy-shelf" and not request.check:
            parent = house.store.run(house.store.run(request.run_id).parent)
            seen.append((parent.status, parent.ended_at, house.locks.alive(parent.id), open_incidents(house)))

    house.executor.during(Phase.FIX, looks)
    diagnoses(house, "mend-house", found("untidy"), tidy())
    cures(house, "tidy-shelf", DUST)
    run = mend(house)

    assert seen == [(RunStatus.HANDED_OVER, None, False, [run.id])]


def test_whoever_watches_is_told_of_parent_and_child_in_order_and_shown_both_plans(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy"), tidy())
    cures(house, "tidy-shelf", DUST)
    run = mend(house)
    child = child_of(house, run)

    moves = [(event.run.id, event.status.value) for event in house.events if isinstance(event, StatusChanged)]
    assert [status for one, status in moves if one == child.id][:2] == ["diagnosing", "planned"]
    assert moves.index((run.id, "handed_over")) < moves.index((child.id, "diagnosing"))
    assert moves.index((child.id, "succeeded")) < moves.index((run.id, "succeeded"))
    first, second = (event.plan for event in house.events if isinstance(event, PlanMade))
    assert (first.runbook, first.hand_overs, first.level) == ("mend-house", {"untidy": "tidy-shelf"}, 0)
    assert (second.runbook, second.hand_overs) == ("tidy-shelf", {})


def test_each_runbook_gets_one_child_with_exactly_its_hosts(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy", "flooded"), tidy())
    diagnoses(house, "mend-house", found("flooded"), tidy(), host="far")
    cures(house, "tidy-shelf", DUST)
    cures(house, "pump-cellar", DRAIN)
    cures(house, "pump-cellar", DRAIN, host="far")
    house.policy = house.policy.model_copy(update={"fleet": house.policy.fleet.model_copy(update={"hosts": 9})})
    house.engine = house.another_process()
    run = mend(house, "near", "far")

    children = {child.runbook: child.hosts for child in house.store.children(run.id)}
    assert children == {"tidy-shelf": ("near",), "pump-cellar": ("near", "far")}
    assert run.status is RunStatus.SUCCEEDED
    assert house.executor.requests[-1].hosts == ("near", "far")


def test_own_causes_come_after_those_of_others_and_all_hosts_are_proven(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy"), tidy())
    cures(house, "mend-house", DOOR, host="far")
    cures(house, "tidy-shelf", DUST)
    run = mend(house, "near", "far")

    assert run.status is RunStatus.SUCCEEDED
    assert run.plan is not None
    assert (tuple(run.plan.hosts), run.plan.hand_overs) == (("far",), {})
    assert walked(house)[-3:] == ["mend-house snapshot", "mend-house fix", "mend-house verify"]
    assert house.executor.requests[-1].hosts == ("near", "far")


def test_own_causes_on_the_same_host_are_asked_about_when_the_others_are_cured(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy", actions=(WINDOW,)), found(actions=(WINDOW,)))
    cures(house, "tidy-shelf", DUST)
    asked: list[str] = []

    def yes(plan: Plan) -> bool:
        asked.append(plan.runbook)
        return True

    house.executor.says("near", Phase.SNAPSHOT, snapshot(WINDOW), runbook="mend-house")
    house.executor.says("near", Phase.FIX, fixed(WINDOW), runbook="mend-house")
    run = mend(house, ask=yes)

    assert (run.status, asked) == (RunStatus.SUCCEEDED, ["mend-house"])


def test_the_same_cause_again_after_a_cure_is_a_humans(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy"))
    cures(house, "tidy-shelf", DUST)
    run = mend(house)
    child = child_of(house, run)

    assert (run.status, run.exit_code) == (RunStatus.FAILED, 5)
    assert run.outcome == (
        f"not cured: near was handed over to tidy-shelf (run {child.id}), which ended succeeded: cured: near; "
        "that did not cure it, untidy is found again"
    )
    assert open_incidents(house) == [run.id]


def test_another_cause_after_a_cure_is_handed_over_in_turn(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy"), found("flooded"), tidy())
    cures(house, "tidy-shelf", DUST)
    cures(house, "pump-cellar", DRAIN)
    run = mend(house)

    # By name: the clock of this house stands still, so both began at the same moment.
    assert sorted(child.runbook for child in house.store.children(run.id)) == ["pump-cellar", "tidy-shelf"]
    assert (run.status, house.states(run).count("handed_over")) == (RunStatus.SUCCEEDED, 2)


def test_a_child_that_finds_nothing_to_do_lets_its_parent_look_again(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy"), tidy())
    cures(house, "tidy-shelf")
    run = mend(house)

    assert (run.status, child_of(house, run).status) == (RunStatus.SUCCEEDED, RunStatus.NOT_NEEDED)


def test_a_cure_that_cannot_be_told_is_no_cure(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy"), tidy())
    house.executor.says("near", Phase.VERIFY, verified(Verdict.CANNOT_TELL), runbook="mend-house")
    cures(house, "tidy-shelf", DUST)
    run = mend(house)

    assert (run.status, run.exit_code, open_incidents(house)) == (RunStatus.UNPROVEN, 6, [run.id])


@pytest.mark.parametrize(
    ("verdict", "ended", "wanted"),
    [
        (Verdict.NOT_CURED, "rolled back", RunStatus.FAILED),
        (Verdict.CANNOT_TELL, "rolled back", RunStatus.FAILED),
    ],
)
def test_a_child_that_does_not_cure_is_named_as_the_reason(
    house: World, verdict: Verdict, ended: str, wanted: RunStatus
) -> None:
    diagnoses(house, "mend-house", found("untidy"), tidy())
    cures(house, "tidy-shelf", DUST, verdict=verdict)
    run = mend(house)
    child = child_of(house, run)

    assert run.status is wanted
    assert run.outcome == f"handed over to tidy-shelf (run {child.id}), which ended {ended}: 1 put back"
    assert open_incidents(house) == [run.id]
    assert "mend-house verify" not in walked(house)


def test_a_child_of_which_nobody_can_tell_leaves_its_parent_unproven(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy"), tidy())
    cures(house, "tidy-shelf", TOY, verdict=Verdict.CANNOT_TELL)
    run = mend(house, ask=says_yes)

    assert (run.status, run.exit_code, open_incidents(house)) == (RunStatus.UNPROVEN, 6, [run.id])


def test_the_person_who_typed_it_is_asked_about_the_child_and_may_say_no(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy"), tidy())
    cures(house, "tidy-shelf", TOY)
    run = mend(house, ask=says_no)
    child = child_of(house, run)

    assert (child.status, run.status) == (RunStatus.REJECTED, RunStatus.FAILED)
    assert run.outcome.startswith(
        f"handed over to tidy-shelf (run {child.id}), which ended rejected: rejected by nadia"
    )


def test_a_child_that_the_storm_policy_refuses_is_named_with_the_rule(house: World) -> None:
    house.policy = house.policy.model_copy(update={"exempt": {}})
    house.engine = house.another_process()
    cures(house, "tidy-shelf", DUST)
    house.carry(request(house, runbook="tidy-shelf"))
    diagnoses(house, "mend-house", found("untidy"), tidy())
    run = mend(house)
    child = child_of(house, run)

    assert (child.status, run.status) == (RunStatus.PARKED, RunStatus.FAILED)
    assert "(cooldown)" in run.outcome
    assert open_incidents(house) == [run.id]


def test_a_child_whose_host_is_busy_is_parked_and_its_parent_says_so(
    house: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, busy = house.locks.hold, ExitStack()

    def holds(run_id: str, hosts: Iterable[str], *, lost: Event | None = None) -> object:
        if run_id.startswith("family-"):  # at this moment another run takes the host, for as long as the child tries
            busy.enter_context(hold("another", ("near",)))
        elif not house.store.run(run_id).parent:
            busy.close()
        return hold(run_id, hosts, lost=lost)

    monkeypatch.setattr(house.locks, "hold", holds)
    diagnoses(house, "mend-house", found("untidy"), tidy())
    run = mend(house)
    child = child_of(house, run)

    assert (child.status, run.status) == (RunStatus.PARKED, RunStatus.FAILED)
    assert child.outcome == "near is being worked on by run another; nothing was done."
    assert open_incidents(house) == [run.id]


def test_a_reason_to_pass_the_rules_about_storms_is_not_passed_on(house: World) -> None:
    house.policy = house.policy.model_copy(update={"exempt": {}})
    house.engine = house.another_process()
    cures(house, "tidy-shelf", DUST)
    house.carry(request(house, runbook="tidy-shelf"))
    diagnoses(house, "mend-house", found("untidy"), tidy())
    run = house.engine.request(
        "mend-house",
        hosts=["near"],
        parameters={},
        origin=Origin(requested_by="nadia", override_reason="it burns"),
    )
    child = child_of(house, house.carry(run))

    assert (child.override_reason, child.status) == ("", RunStatus.PARKED)


def test_a_circle_of_hand_overs_ends_with_a_named_reason(house: World) -> None:
    diagnoses(house, "mend-house", found("flooded"), tidy())
    diagnoses(house, "pump-cellar", found("upstairs"))
    run = mend(house)
    child = child_of(house, run)

    assert (run.status, child.status) == (RunStatus.FAILED, RunStatus.FAILED)
    assert child.outcome == "not cured: a circle of hand-overs: mend-house -> pump-cellar -> mend-house"
    assert child.outcome in run.outcome
    assert open_incidents(house) == [run.id]
    assert len(house.store.runs(limit=9)) == 2


def test_a_line_of_hand_overs_ends_at_its_limit(house: World) -> None:
    diagnoses(house, "mend-house", found("flooded"), tidy())
    diagnoses(house, "pump-cellar", found("attic"), tidy())
    diagnoses(house, "air-attic", found("shelf"))
    run = mend(house)

    assert run.status is RunStatus.FAILED
    assert (
        "too many hand-overs, one below the other: mend-house -> pump-cellar -> air-attic -> tidy-shelf" in run.outcome
    )
    assert sorted(one.depth for one in house.store.runs(limit=9)) == [0, 1, 2]


def test_a_line_of_two_hand_overs_is_cured_from_below(house: World) -> None:
    diagnoses(house, "mend-house", found("flooded"), tidy())
    diagnoses(house, "pump-cellar", found("attic"), tidy())
    cures(house, "air-attic", action("/window", "damp"))
    run = mend(house)

    assert [one.status for one in house.store.runs(limit=9)] == [RunStatus.SUCCEEDED] * 3
    assert run.exit_code == 0
    assert open_incidents(house) == []


def test_a_check_starts_no_child_and_names_what_would_be_handed_over(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy"))
    run = mend(house, check=True)

    assert (run.status, run.exit_code, house.store.children(run.id)) == (RunStatus.PLANNED, 0, ())
    assert run.plan is not None
    assert (run.plan.hand_overs, run.plan.causes) == ({"untidy": "tidy-shelf"}, ("untidy",))
    assert open_incidents(house) == []
    assert walked(house) == ["mend-house diagnose"]


def test_actions_for_a_cause_that_is_handed_over_are_no_finding(house: World) -> None:
    diagnoses(house, "mend-house", found(actions=(action("/shelf", "untidy"),)))

    with pytest.raises(UnknownShape, match="mend-house would act on causes that its card hands over: untidy"):
        mend(house)


def test_a_runbook_that_cannot_be_handed_over_to_is_named(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy"))
    loaded = house.engine._catalogue.load
    house.engine._children._load = lambda one: loaded(one + "-gone" if one == "tidy-shelf" else one)
    run = mend(house)

    assert (run.status, run.outcome) == (RunStatus.FAILED, "not cured: There is no runbook 'tidy-shelf-gone'.")
    assert open_incidents(house) == [run.id]


# A child that waits for people.


def waiting(house: World, **options: object) -> tuple[Run, Run]:
    """A parent whose child of level 2 waits for approval."""
    house.staff = Company().staff()
    house.engine = house.another_process()
    diagnoses(house, "mend-house", found("untidy"), tidy())
    cures(house, "tidy-shelf", BOOK)
    run = house.carry(request(house, **options))  # type: ignore[arg-type]  # options of a request
    return run, child_of(house, run)


def watch(house: World) -> Watch:
    house.engine = house.another_process()
    return Watch(house.ports, house.engine)


def test_a_parent_whose_child_waits_for_approval_waits_with_it(house: World) -> None:
    run, child = waiting(house)

    assert (run.status, run.exit_code, run.ended_at) == (RunStatus.HANDED_OVER, 3, None)
    assert child.status is RunStatus.WAITING_APPROVAL
    assert house.another_process().recover() == ()


def test_whoever_carries_out_an_approved_child_goes_on_with_its_parent(house: World) -> None:
    run, child = waiting(house)
    house.engine.approvals.answer(child.id, principal(MAX), Answer.APPROVED)
    house.engine = house.another_process()
    house.carry(house.engine.resumable(house.store.run(child.id)))

    assert (status(house, child), status(house, run)) == (RunStatus.SUCCEEDED, RunStatus.SUCCEEDED)


def test_resuming_the_parent_carries_out_the_approved_child(house: World) -> None:
    run, child = waiting(house)
    with pytest.raises(IllegalTransition, match=f"run {child.id} is waiting_approval"):
        house.engine.resumable(run)
    house.engine.approvals.answer(child.id, principal(MAX), Answer.APPROVED)
    house.engine = house.another_process()

    assert [one.id for one in house.engine.left_alone()] == [run.id]
    assert house.carry(house.engine.resumable(run)).status is RunStatus.SUCCEEDED
    assert house.engine.left_alone() == ()


def test_a_service_carries_out_an_approved_child_and_then_its_parent(house: World) -> None:
    run, child = waiting(house)
    house.engine.approvals.answer(child.id, principal(MAX), Answer.APPROVED)
    service = watch(house)
    service.look(everything=True)
    assert (status(house, child), status(house, run)) == (RunStatus.SUCCEEDED, RunStatus.HANDED_OVER)
    service.look(everything=True)

    assert status(house, run) is RunStatus.SUCCEEDED
    assert walked(house).count("tidy-shelf fix") == 1


@pytest.mark.parametrize("how", [Answer.REJECTED, "expires", "withdrawn"])
def test_a_child_that_people_do_not_want_ends_its_parent(house: World, how: object) -> None:
    run, child = waiting(house)
    if isinstance(how, Answer):
        house.engine.approvals.answer(child.id, principal(MAX), how, "not now")
    elif how == "withdrawn":
        house.engine.approvals.withdraw(child.id, "the alert has resolved")
    else:
        assert child.plan is not None
        house.clock.fast_forward(child.plan.expires_at - house.clock.now())
    watch(house).look(everything=True)
    ended = house.store.run(run.id)

    assert ended.status is RunStatus.FAILED
    assert ended.outcome.startswith(f"handed over to tidy-shelf (run {child.id}), which ended ")
    assert open_incidents(house) == [run.id]
    assert "tidy-shelf fix" not in walked(house)


def test_canceling_a_parent_cancels_the_child_that_waits(house: World) -> None:
    run, child = waiting(house)
    ended = house.engine.ask_to_stop(run, "omar")

    assert (ended.status, status(house, child)) == (RunStatus.CANCELED, RunStatus.WITHDRAWN)
    assert ended.outcome.startswith("canceled by omar; handed over to tidy-shelf")
    watch(house).look(everything=True)
    assert status(house, run) is RunStatus.CANCELED
    assert open_incidents(house) == [run.id]


def test_canceling_a_parent_stops_the_child_that_acts_and_ends_both(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy"), tidy())
    cures(house, "tidy-shelf", DUST)
    asked: list[RunStatus] = []

    def cancels(request: PhaseRequest, _stop: Event) -> None:
        if request.runbook.id == "tidy-shelf" and not request.check:
            parent = house.store.run(house.store.run(request.run_id).parent)
            asked.append(house.engine.ask_to_stop(parent, "omar").status)
            Watch(house.ports, house.engine).look(everything=False)

    house.executor.during(Phase.FIX, cancels)
    run = mend(house)

    assert asked == [RunStatus.HANDED_OVER]
    assert (child_of(house, run).status, run.status) == (RunStatus.CANCELED, RunStatus.CANCELED)
    assert open_incidents(house) == [run.id]


def test_canceling_only_the_child_that_acts_stops_it_and_ends_its_parent(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy"), tidy())
    cures(house, "tidy-shelf", DUST)
    heeded: list[bool] = []

    def cancels(request: PhaseRequest, stop: Event) -> None:
        if request.runbook.id == "tidy-shelf" and not request.check:
            house.another_process().ask_to_stop(house.store.run(request.run_id), "omar")
            Watch(carrying, house.engine).look(everything=False)
            heeded.append(stop.is_set())

    carrying = house.ports
    house.executor.during(Phase.FIX, cancels)
    run = mend(house)
    child = child_of(house, run)

    assert heeded == [True]
    assert (child.status, run.status) == (RunStatus.CANCELED, RunStatus.CANCELED)
    assert run.outcome.startswith(f"handed over to tidy-shelf (run {child.id}), which ended canceled")


def test_a_command_that_waited_for_people_and_is_stopped_stops_the_child_that_it_carries_on(house: World) -> None:
    run, child = waiting(house)
    house.engine.approvals.answer(child.id, principal(MAX), Answer.APPROVED)

    def stops(request: PhaseRequest, _stop: Event) -> None:
        if not request.check:
            house.engine.cancel(run.id)

    house.executor.during(Phase.FIX, stops)
    house.carry(house.store.run(child.id))

    assert (status(house, child), status(house, run)) == (RunStatus.CANCELED, RunStatus.CANCELED)


def test_a_parent_that_waits_asks_for_no_approval_itself(house: World) -> None:
    run, _ = waiting(house)

    with pytest.raises(IllegalTransition, match="asks for no approval"):
        house.engine.approvals.answer(run.id, principal(MAX), Answer.REJECTED, "no")


# Crashes.


def kills(house: World, runbook: str, phase: Phase) -> None:
    """Kill the process in the next phase of a runbook, once."""

    def happens(request: PhaseRequest, _stop: Event) -> None:
        if request.runbook.id == runbook and not request.check:
            house.executor.during(phase, lambda _request, _stop: None)
            raise Killed

    house.executor.during(phase, happens)


def killed_between(house: World, carrier: str = "command") -> Run:
    """A parent whose process is killed when it has handed over, before its child has begun."""
    diagnoses(house, "mend-house", found("untidy"), tidy())
    cures(house, "tidy-shelf", DUST)
    run = request(house, carrier=carrier)  # type: ignore[arg-type]  # a carrier
    house.engine.start(run, alone=True)
    assert house.engine.wait(run.id).status is RunStatus.HANDED_OVER
    house.engine = house.another_process()
    return run


def test_a_command_that_is_killed_between_parent_and_child_is_resumed_with_the_same_child(house: World) -> None:
    run = killed_between(house)
    child = child_of(house, run)
    house.clock.fast_forward(timedelta(minutes=5))

    assert house.engine.recover() == ()
    assert [one.id for one in house.engine.left_alone()] == [run.id]
    assert house.carry(house.engine.resumable(house.store.run(run.id))).status is RunStatus.SUCCEEDED
    assert child_of(house, run).id == child.id


@pytest.mark.parametrize("carrier", ["command", "service"])
def test_a_service_goes_on_with_what_was_killed_between_parent_and_child(house: World, carrier: str) -> None:
    run = killed_between(house, carrier)
    service = watch(house)
    service.look(everything=True)
    early = status(house, child_of(house, run))
    house.clock.fast_forward(timedelta(seconds=11))
    for _ in range(3):
        service.look(everything=True)

    assert early is (RunStatus.SUCCEEDED if carrier == "service" else RunStatus.REQUESTED)
    assert status(house, run) is RunStatus.SUCCEEDED
    assert walked(house).count("tidy-shelf fix") == 1


def test_a_family_that_a_living_command_carries_is_left_to_it(house: World) -> None:
    run = killed_between(house)
    house.clock.fast_forward(timedelta(minutes=1))
    with house.locks.hold(family_lock(run.id), ()):
        watch(house).look(everything=True)
        assert house.engine.left_alone() == ()
        assert status(house, child_of(house, run)) is RunStatus.REQUESTED


@pytest.mark.parametrize("phase", [Phase.DIAGNOSE, Phase.SNAPSHOT, Phase.FIX, Phase.VERIFY])
def test_a_child_whose_process_is_killed_is_gone_on_with_and_then_its_parent(house: World, phase: Phase) -> None:
    diagnoses(house, "mend-house", found("untidy"), tidy())
    cures(house, "tidy-shelf", DUST)
    kills(house, "tidy-shelf", phase)
    run = request(house)
    with pytest.raises(Killed):
        house.carry(run)
    house.engine = house.another_process()
    (lost,) = house.engine.recover()
    assert (lost.runbook, status(house, run)) == ("tidy-shelf", RunStatus.HANDED_OVER)
    ended = house.carry(house.engine.resumable(house.store.run(run.id)))

    first, second = house.store.children(run.id)
    assert (ended.status, first.id, second.continues) == (RunStatus.SUCCEEDED, lost.id, lost.id)
    assert (second.parent, second.depth, second.status) == (run.id, 1, RunStatus.SUCCEEDED)
    assert open_incidents(house) == []


def test_a_service_goes_on_with_a_killed_child_and_then_with_its_parent(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy"), tidy())
    cures(house, "tidy-shelf", DUST)
    run = request(house, carrier="service")
    watch(house).look(everything=True)
    kill_in(house, Phase.FIX)
    with pytest.raises(Killed):
        watch(house).look(everything=True)
    house.executor.during(Phase.FIX, lambda _request, _stop: None)
    for _ in range(4):
        house.clock.fast_forward(AGAIN_AFTER)
        watch(house).look(everything=True)

    assert [child.status for child in house.store.children(run.id)] == [RunStatus.INTERRUPTED, RunStatus.SUCCEEDED]
    assert status(house, run) is RunStatus.SUCCEEDED
    assert open_incidents(house) == []


def test_a_child_that_kills_whoever_carries_it_is_parked_and_ends_its_parent(house: World) -> None:
    house.staff = Company().staff()
    diagnoses(house, "mend-house", found("untidy"), tidy())
    cures(house, "tidy-shelf", DUST)
    run = request(house, carrier="service")
    watch(house).look(everything=True)
    kill_in(house, Phase.SNAPSHOT)
    for _ in range(3):
        house.clock.fast_forward(AGAIN_AFTER)
        with pytest.raises(Killed):
            watch(house).look(everything=True)
    for _ in range(2):
        house.clock.fast_forward(AGAIN_AFTER)
        watch(house).look(everything=True)

    assert [child.status.value for child in house.store.children(run.id)] == ["interrupted", "interrupted", "parked"]
    assert (status(house, run), open_incidents(house)) == (RunStatus.FAILED, [run.id])


@pytest.mark.parametrize("phase", [Phase.DIAGNOSE, Phase.VERIFY])
def test_a_parent_that_is_killed_when_it_looks_again_is_resumed_and_proves_what_its_child_cured(
    house: World, phase: Phase
) -> None:
    diagnoses(house, "mend-house", found("untidy"), tidy())
    cures(house, "tidy-shelf", DUST)

    def happens(request: PhaseRequest, _stop: Event) -> None:
        looked = [one for one in house.executor.requests if one.runbook.id == "tidy-shelf"]
        if request.runbook.id == "mend-house" and looked:
            house.executor.during(phase, lambda _request, _stop: None)
            raise Killed

    house.executor.during(phase, happens)
    run = request(house)
    with pytest.raises(Killed):
        house.carry(run)
    house.engine = house.another_process()
    (lost,) = house.engine.recover()
    again = house.carry(house.engine.resumable(lost))

    assert (lost.id, again.id, again.status) == (run.id, f"{run.id}-2", RunStatus.SUCCEEDED)
    assert house.states(again) == ["requested", "diagnosing", "verifying", "succeeded"]
    assert walked(house).count("tidy-shelf fix") == 1
    assert open_incidents(house) == []


def test_a_parent_that_was_killed_and_finds_the_same_again_makes_no_second_child(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy"))
    cures(house, "tidy-shelf", DUST)

    def happens(request: PhaseRequest, _stop: Event) -> None:
        if len([one for one in house.executor.requests if one.runbook.id == "mend-house"]) == 2:
            house.executor.during(Phase.DIAGNOSE, lambda _request, _stop: None)
            raise Killed

    house.executor.during(Phase.DIAGNOSE, happens)
    with pytest.raises(Killed):
        mend(house)
    house.engine = house.another_process()
    (lost,) = house.engine.recover()
    again = house.carry(house.engine.resumable(lost))

    assert again.status is RunStatus.FAILED
    assert "did not cure it" in again.outcome
    assert len(house.store.children(lost.id)) == 1
    assert house.store.children(again.id) == ()


def test_ctrl_c_in_a_child_stops_the_whole_family(house: World) -> None:
    diagnoses(house, "mend-house", found("untidy", "flooded"), tidy())
    cures(house, "tidy-shelf", DUST)
    cures(house, "pump-cellar", DRAIN)
    run = request(house)

    def stops(request: PhaseRequest, _stop: Event) -> None:
        if request.runbook.id != "mend-house":
            house.engine.cancel(run.id)

    house.executor.during(Phase.DIAGNOSE, stops)
    ended = house.carry(run)

    assert {child.status for child in house.store.children(run.id)} == {RunStatus.CANCELED}
    assert ended.status is RunStatus.CANCELED
    assert open_incidents(house) == [run.id]
