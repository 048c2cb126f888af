"""Stories of plans that wait for people: asked, silent, climbing, answered, overridden, expired, stale."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from remediate.domain.approval import Answer, Asking
from remediate.domain.host import Host
from remediate.domain.incident import IncidentKind
from remediate.domain.people import People, Person
from remediate.domain.report import Undo
from remediate.domain.run import Origin, Run, RunStatus, StartedBy
from remediate.domain.runbook import Phase
from remediate.domain.switch import PAUSE, Switch
from remediate.errors import IllegalTransition, NotAllowed, RemediateError, UsageError
from tests.acceptance.conftest import World, says_yes
from tests.acceptance.staff import CHLOE, LENA, MARA, MAX, NADIA, OMAR, ROBOT, Company, principal
from tests.acceptance.test_walks import BOOK, DUST, TOY, ended, scripted
from tests.builders import action, tidy

MINUTE = timedelta(minutes=1)
PAPERS = action("/shelf/papers", "fire", Undo.NONE)
HEIRLOOM = action("/shelf/heirloom", "heirloom")


@pytest.fixture
def company(world: World) -> Company:
    made = Company()
    world.staff = made.staff()
    world.engine = world.another_process()
    return made


def waiting(world: World, *actions: object) -> Run:
    """A run of a SEV3 runbook that waits for approval: level 2 after 1 h, 3 after 4 h, 4 after 8 h, then 16 h."""
    scripted(world, *(actions or (BOOK,)))
    run = world.walk()
    assert run.status is RunStatus.WAITING_APPROVAL
    return run


def answers(
    world: World, run: Run, person: Person, answer: Answer = Answer.APPROVED, reason: str = "", digest: str = ""
) -> Run:
    return world.engine.approvals.answer(run.id, principal(person), answer, reason, digest=digest)


def passes(world: World, minutes: int) -> None:
    """Time passes, with somebody watching every few minutes."""
    for _ in range(0, minutes, 5):
        world.clock.fast_forward(5 * MINUTE)
        world.engine.approvals.watch(world.clock.now())


def asked(world: World, run: Run) -> tuple[int, tuple[str, ...]]:
    request = world.approvals.request(run.id)
    assert request is not None
    return request.asked_level, request.asked


def test_level_two_is_asked_stays_silent_climbs_to_three_and_is_approved_there(world: World, company: Company) -> None:
    run = waiting(world)
    assert asked(world, run) == (2, ("lena", "mara"))
    assert company.heard("asked") == ["lena", "mara"]

    passes(world, 175)
    assert asked(world, run)[0] == 2
    assert company.heard("reminded") == ["lena", "mara"] * 5
    passes(world, 5)
    assert asked(world, run) == (3, ("max",))
    assert company.heard("climbed") == ["max"]

    approved = answers(world, run, MAX, reason="go")
    assert approved.outcome == "approved by max (level 3: go)"
    finished = world.carry(approved)
    assert ended(finished) == (RunStatus.SUCCEEDED, 0, "cured: near")
    assert company.heard("ended") == ["nadia"]
    assert world.approvals.incidents() == ()


def test_nothing_runs_while_a_plan_waits(world: World, company: Company) -> None:
    run = waiting(world)
    passes(world, 60)

    assert world.executor.walked == ["diagnose", "fix (check)"]
    assert world.carry(run).status is RunStatus.WAITING_APPROVAL
    assert world.executor.walked == ["diagnose", "fix (check)"]


def test_a_rejection_with_its_reason_ends_the_run_and_the_incident_stays_open(world: World, company: Company) -> None:
    run = waiting(world)
    rejected = answers(world, run, LENA, Answer.REJECTED, "the auditors are in the house")

    assert ended(rejected) == (RunStatus.REJECTED, 4, "rejected by lena (level 2: the auditors are in the house)")
    assert [incident.run_id for incident in world.approvals.incidents()] == [run.id]
    assert company.heard("rejected") == ["lena", "mara", "nadia"]


@pytest.mark.parametrize("answer", [Answer.REJECTED, Answer.OVERRIDDEN])
def test_an_answer_that_needs_a_reason_does_not_count_without_one(
    world: World, company: Company, answer: Answer
) -> None:
    run = waiting(world)

    with pytest.raises(UsageError, match="needs a reason"):
        answers(world, run, LENA, answer, "  ")
    assert world.approvals.answers(run.id) == ()


def test_when_nobody_answers_up_to_level_four_the_run_expires_and_the_incident_stays_open(
    world: World, company: Company
) -> None:
    run = waiting(world)
    passes(world, 15 * 60)
    levels = [person for occasion, person, _ in company.told if occasion == "climbed"]
    expired = world.store.run(run.id)

    assert levels == ["max", "chloe"]
    assert ended(expired) == (
        RunStatus.EXPIRED,
        4,
        "nobody has answered, up to level 4; the incident stays open",
    )
    assert [incident.run_id for incident in world.approvals.incidents()] == [run.id]
    assert world.executor.walked == ["diagnose", "fix (check)"]
    with pytest.raises(IllegalTransition, match="asks for no approval any more"):
        answers(world, run, CHLOE)


def test_a_level_at_which_nobody_is_there_is_passed_over_and_that_is_said(world: World, company: Company) -> None:
    company.away = {"lena", "mara"}
    run = waiting(world)

    assert asked(world, run) == (3, ("max",))
    assert company.told == [("asked", "max", "nobody is there at level 2")]


def test_when_nobody_is_there_at_all_the_run_still_waits_and_says_so(world: World, company: Company) -> None:
    company.away = {"lena", "mara", "max", "chloe"}
    run = waiting(world)

    assert asked(world, run) == (2, ())
    company.away = set()
    passes(world, 180)
    assert asked(world, run) == (3, ("max",))


def test_anybody_may_ask_the_highest_level_at_once_with_a_reason(world: World, company: Company) -> None:
    run = waiting(world)
    with pytest.raises(UsageError, match="needs a reason"):
        world.engine.approvals.escalate(run.id, principal(NADIA), 4, "")
    world.engine.approvals.escalate(run.id, principal(NADIA), 4, "customers' data is leaking")

    assert asked(world, run) == (4, ("chloe",))
    assert company.told[-1] == ("climbed", "chloe", "nadia asks at once: customers' data is leaking")
    with pytest.raises(UsageError, match="Level 4 is asked already"):
        world.engine.approvals.escalate(run.id, principal(NADIA), 3, "less")


def test_what_loses_data_begins_at_level_three(world: World, company: Company) -> None:
    assert asked(world, waiting(world, PAPERS)) == (3, ("max",))


def test_an_emergency_override_needs_two_people_is_told_to_everybody_and_reviewed(
    world: World, company: Company
) -> None:
    run = waiting(world, PAPERS)
    first = answers(world, run, NADIA, Answer.OVERRIDDEN, "the house is burning")
    assert first.status is RunStatus.WAITING_APPROVAL
    with pytest.raises(NotAllowed, match="nadia has answered already"):
        answers(world, run, NADIA, Answer.OVERRIDDEN, "really")
    second = answers(world, run, OMAR, Answer.OVERRIDDEN, "I see the smoke")

    assert second.status is RunStatus.APPROVED
    assert second.outcome.startswith("EMERGENCY OVERRIDE, to be reviewed, by nadia")
    assert company.heard("overridden") == ["nadia", "omar", "lena", "mara", "max", "chloe"]
    (review,) = [one for one in world.approvals.incidents() if one.kind is IncidentKind.REVIEW]
    assert review.run_id == run.id
    assert world.carry(second).status is RunStatus.SUCCEEDED
    assert [one.kind for one in world.approvals.incidents()] == [IncidentKind.REVIEW]


def test_two_people_are_needed_where_the_cause_asks_for_two(world: World, company: Company) -> None:
    run = waiting(world, HEIRLOOM)
    assert answers(world, run, LENA).status is RunStatus.WAITING_APPROVAL
    with pytest.raises(NotAllowed, match="lena has answered already"):
        answers(world, run, LENA)

    assert answers(world, run, MAX).outcome == "approved by lena (level 2) and max (level 3)"


def test_one_rejection_outweighs_an_approval_where_two_are_needed(world: World, company: Company) -> None:
    run = waiting(world, HEIRLOOM)
    answers(world, run, LENA)

    assert answers(world, run, MARA, Answer.REJECTED, "it is grandmother's").status is RunStatus.REJECTED


@pytest.mark.parametrize(
    ("person", "said"),
    [
        (NADIA, "it asks for level 2, and nadia has level 1"),
        (OMAR, "it asks for level 2, and omar has level 1"),
        (ROBOT, "robot is a service account, and those decide nothing"),
        (LENA.model_copy(update={"level": 4}), "they are not, or no longer as they were, among the people"),
        (Person(id="mallory", name="Mallory", level=4), "they are not, or no longer as they were, among the people"),
    ],
    ids=lambda value: value.id if isinstance(value, Person) else "",
)
def test_whoever_may_not_approve_is_told_why_and_nothing_changes(
    world: World, company: Company, person: Person, said: str
) -> None:
    run = waiting(world)
    with pytest.raises(NotAllowed, match=said):
        answers(world, run, person)

    assert world.approvals.answers(run.id) == ()
    assert world.store.run(run.id).status is RunStatus.WAITING_APPROVAL


def test_whoever_asks_does_not_approve_however_high_their_level(world: World, company: Company) -> None:
    scripted(world, BOOK)
    requested = world.engine.request("tidy-shelf", hosts=["near"], parameters={}, origin=Origin(requested_by="chloe"))
    run = world.carry(requested, ask=says_yes)
    assert run.status is RunStatus.WAITING_APPROVAL

    with pytest.raises(NotAllowed, match="whoever asks does not approve"):
        answers(world, run, CHLOE)
    assert answers(world, run, CHLOE, Answer.REJECTED, "never mind").status is RunStatus.REJECTED


def test_at_level_one_the_engineer_who_typed_it_is_the_approval(world: World, company: Company) -> None:
    scripted(world, TOY)
    run = world.walk(ask=says_yes)

    assert run.status is RunStatus.SUCCEEDED
    assert [(one.person, one.answer, one.channel) for one in world.approvals.answers(run.id)] == [
        ("nadia", Answer.APPROVED, "terminal")
    ]


def test_level_one_typed_by_somebody_without_a_level_waits_for_the_engineer_on_call(
    world: World, company: Company
) -> None:
    clerk = Person(id="clerk", name="Clerk")
    company.people = People(by_id={**company.people.by_id, "clerk": clerk})
    world.staff = company.staff()
    world.engine = world.another_process()
    scripted(world, TOY)
    run = world.carry(
        world.engine.request("tidy-shelf", hosts=["near"], parameters={}, origin=Origin(requested_by="clerk")),
        ask=says_yes,
    )

    assert asked(world, run) == (1, ("nadia",))
    assert answers(world, run, OMAR).status is RunStatus.APPROVED


def test_a_run_that_an_alert_started_is_never_answered_at_a_terminal(world: World, company: Company) -> None:
    scripted(world, TOY)
    requested = world.engine.request(
        "tidy-shelf", hosts=["near"], parameters={}, origin=Origin(requested_by="nadia", started_by=StartedBy.ALERT)
    )

    assert world.carry(requested, ask=says_yes).status is RunStatus.WAITING_APPROVAL


def test_an_answer_to_another_plan_than_the_one_that_was_seen_does_not_count(world: World, company: Company) -> None:
    run = waiting(world)
    scripted(world, BOOK, host="far")
    other = world.walk("far")
    assert other.plan is not None
    with pytest.raises(IllegalTransition, match="is another one by now than the one that was seen"):
        answers(world, run, LENA, digest=other.plan.digest)

    assert answers(world, run, LENA, digest=run.plan.digest if run.plan else "").status is RunStatus.APPROVED


def test_an_approval_counts_once(world: World, company: Company) -> None:
    run = waiting(world)
    finished = world.carry(answers(world, run, LENA))
    assert finished.status is RunStatus.SUCCEEDED
    walked = list(world.executor.walked)
    world.carry(finished)

    assert world.executor.walked == walked
    again = waiting(world)
    assert again.status is RunStatus.WAITING_APPROVAL


def test_an_alert_that_resolves_takes_the_request_back(world: World, company: Company) -> None:
    run = waiting(world)
    withdrawn = world.engine.approvals.withdraw(run.id, "the alert has resolved")

    assert ended(withdrawn) == (RunStatus.WITHDRAWN, 4, "withdrawn: the alert has resolved")
    assert company.heard("withdrawn") == ["lena", "mara", "nadia"]
    with pytest.raises(IllegalTransition, match="withdrawn: the alert has resolved"):
        answers(world, run, LENA)


def changed_playbook(world: World) -> None:
    world.executor.digests["content"] = "c2"


def changed_inventory(world: World) -> None:
    world.executor.digests["inventory"] = "2b"


def changed_policy(world: World) -> None:
    world.staff = Company(policy="p2").staff()


def changed_diff(world: World) -> None:
    scripted(world, BOOK, DUST)


def fewer_to_do(world: World) -> None:
    scripted(world, DUST)


def healthy_again(world: World) -> None:
    world.executor.says("near", Phase.DIAGNOSE, tidy())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed_playbook, "stale: the playbooks of the run changed since it was approved"),
        (changed_inventory, "stale: the inventory or its variables changed since it was approved"),
        (changed_policy, "stale: the policy in remediate.yml changed since it was approved"),
        (changed_diff, "stale: what would be done on near changed since it was approved"),
        (fewer_to_do, "stale: what would be done on near changed since it was approved"),
        (healthy_again, "stale: nothing is wrong any more, so nothing was done"),
    ],
)
def test_a_plan_that_is_another_one_by_the_start_is_stale_and_nothing_runs(
    world: World, company: Company, change: Callable[[World], None], said: str
) -> None:
    run = waiting(world)
    world.clock.fast_forward(5 * MINUTE)
    approved = answers(world, run, LENA)
    change(world)
    world.engine = world.another_process()
    stale = world.carry(approved)

    assert ended(stale) == (RunStatus.EXPIRED, 4, said)
    assert "snapshot" not in world.executor.walked
    assert "fix" not in world.executor.walked


def test_a_host_that_is_ill_as_well_by_the_start_makes_the_plan_stale(world: World, company: Company) -> None:
    scripted(world, BOOK)
    world.executor.says("far", Phase.DIAGNOSE, tidy())
    run = world.walk("near", "far")
    world.clock.fast_forward(5 * MINUTE)
    approved = answers(world, run, LENA)
    scripted(world, BOOK, host="far")
    stale = world.carry(approved)

    assert stale.outcome == "stale: the hosts (far) changed since it was approved"


def test_parameters_that_were_changed_in_the_record_make_the_plan_stale(world: World, company: Company) -> None:
    run = waiting(world)
    approved = answers(world, run, LENA)
    world.tamper(approved.model_copy(update={"parameters": {"tidy_shelf_days": 1}}))
    stale = world.carry(approved)

    assert stale.outcome == "stale: the parameters changed since it was approved"
    assert "snapshot" not in world.executor.walked


def test_an_approval_that_comes_in_time_is_worth_nothing_when_the_start_comes_too_late(
    world: World, company: Company
) -> None:
    run = waiting(world)
    approved = answers(world, run, LENA)
    world.clock.fast_forward(timedelta(hours=24))

    assert ended(world.carry(approved)) == (RunStatus.EXPIRED, 4, "the plan is no longer valid: make a new one")


def test_approve_and_reject_at_the_same_instant_one_wins(world: World, company: Company) -> None:
    run = waiting(world)
    outcomes: list[str] = []
    for person, answer in ((LENA, Answer.APPROVED), (MARA, Answer.REJECTED)):
        try:
            outcomes.append(answers(world, run, person, answer, "now").status.value)
        except RemediateError as error:
            outcomes.append(type(error).__name__)

    assert outcomes == ["approved", "IllegalTransition"]
    assert len(world.approvals.answers(run.id)) == 1


def pause(world: World) -> None:
    now = world.clock.now()
    world.switches.press(Switch(name=PAUSE, on=True, by="max", reason="audit", at=now))


def test_policy_about_storms_parks_a_run_before_anybody_is_asked(world: World, company: Company) -> None:
    pause(world)
    scripted(world, BOOK)
    run = world.walk()

    assert (run.status, run.exit_code) == (RunStatus.PARKED, 7)
    assert "pause" in run.outcome
    assert company.told == []


def test_policy_about_storms_is_asked_again_right_before_the_change(world: World, company: Company) -> None:
    run = waiting(world)
    approved = answers(world, run, LENA)
    pause(world)
    parked = world.carry(approved)

    assert (parked.status, "snapshot" in world.executor.walked) == (RunStatus.PARKED, False)


def test_after_a_long_sleep_the_level_that_is_asked_gets_its_time_again_and_none_is_skipped(
    world: World, company: Company
) -> None:
    run = waiting(world)
    world.clock.fast_forward(timedelta(hours=7))
    world.engine.approvals.watch(world.clock.now())

    assert asked(world, run)[0] == 2
    request = world.approvals.request(run.id)
    assert request is not None
    assert request.asked_at == world.clock.now()
    passes(world, 180)
    assert asked(world, run)[0] == 3


def test_a_clock_that_jumps_back_climbs_nothing_twice(world: World, company: Company) -> None:
    run = waiting(world)
    passes(world, 180)
    world.clock.fast_forward(timedelta(hours=-1))
    passes(world, 60)
    levels = company.heard("climbed")

    assert asked(world, run)[0] == 3
    assert levels == ["max"]


def test_the_request_keeps_its_own_times_when_the_policy_changes_while_it_waits(world: World, company: Company) -> None:
    run = waiting(world)
    before = world.approvals.request(run.id)
    world.staff = Company(policy="p2").staff()
    world.engine = world.another_process()
    passes(world, 5)
    after = world.approvals.request(run.id)

    assert before is not None
    assert after is not None
    assert (after.climbs_after, after.expires_at) == (before.climbs_after, before.expires_at)


def test_a_run_that_was_approved_while_nobody_carried_it_is_found(world: World, company: Company) -> None:
    run = waiting(world)
    assert world.engine.approved() == ()
    answers(world, run, LENA)
    other = world.another_process()

    assert [one.id for one in other.approved()] == [run.id]
    assert other.recover() == ()
    with world.locks.hold(run.id, []):
        assert other.approved() == ()


def test_groups_of_hosts_are_part_of_the_request(world: World, company: Company) -> None:
    run = waiting(world)
    request = world.approvals.request(run.id)
    hosts = {host.name: host for host in world.executor.hosts() if isinstance(host, Host)}

    assert request is not None
    assert request.state is Asking.OPEN
    assert request.groups == {"near": hosts["near"].groups}
