"""Attacks on approvals that no other story tells; docs/reference/attacks.md says which test answers to which attack."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from shutil import copytree

import pytest

from remediate.domain.approval import Answer
from remediate.domain.identity import Principal
from remediate.domain.people import People, Role
from remediate.domain.run import Run, RunStatus
from remediate.errors import IllegalTransition, NotAllowed
from tests.acceptance import conftest
from tests.acceptance.conftest import World
from tests.acceptance.staff import LENA, MAX, Company, principal
from tests.acceptance.test_approval_commands import EVERYBODY, Stage
from tests.acceptance.test_identity_commands import Terminal
from tests.acceptance.test_walks import BOOK, scripted
from tests.builders import action
from tests.house import CASES, House

SECOND = timedelta(seconds=1)
HEIRLOOM = action("/shelf/heirloom", "heirloom")


@pytest.fixture
def company(world: World) -> Company:
    made = Company()
    world.staff = made.staff()
    world.engine = world.another_process()
    return made


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Stage]:
    monkeypatch.delenv("REMEDIATE_TOKEN_FILE", raising=False)
    house = House(tmp_path / "state", monkeypatch)
    copytree(CASES, house.state / "playbooks")
    yield Stage(house, Terminal(house, capsys))
    house.close()


def waiting(world: World, *actions: object) -> Run:
    scripted(world, *(actions or (BOOK,)))
    run = world.walk()
    assert run.status is RunStatus.WAITING_APPROVAL
    return run


@pytest.mark.parametrize("option", ["--as", "--user", "--person", "--role", "--level", "--approved-by", "--channel"])
@pytest.mark.parametrize("command", ["approve", "reject", "escalate"])
def test_nobody_says_who_they_are_or_what_they_may_in_the_request_itself(
    stage: Stage, command: str, option: str
) -> None:
    run = stage.asks()
    needed = {"approve": (), "reject": ("--reason", "no"), "escalate": ("--to", "4", "--reason", "no")}[command]

    assert stage.types("nadia", command, run.id, *needed, option, "max")[0] == 2
    assert stage.run(run.id).status is RunStatus.WAITING_APPROVAL


def test_a_level_that_was_made_up_by_whoever_calls_counts_for_nothing(world: World, company: Company) -> None:
    run = waiting(world)
    for made_up in (LENA.model_copy(update={"level": 4}), MAX.model_copy(update={"service": False, "name": "Max!"})):
        with pytest.raises(NotAllowed, match="not, or no longer as they were, among the people"):
            world.engine.approvals.answer(run.id, principal(made_up), Answer.APPROVED)

    assert world.approvals.answers(run.id) == ()


def test_the_same_person_by_two_ways_is_one_person(world: World, company: Company) -> None:
    run = waiting(world, HEIRLOOM)
    by_token, at_machine = principal(LENA), Principal(person=LENA, channel="os-user:lena")
    world.engine.approvals.answer(run.id, by_token, Answer.APPROVED)
    with pytest.raises(NotAllowed, match="lena has answered already"):
        world.engine.approvals.answer(run.id, at_machine, Answer.APPROVED)

    assert world.store.run(run.id).status is RunStatus.WAITING_APPROVAL


def test_whoever_was_taken_out_while_the_plan_waited_does_not_approve_it(world: World, company: Company) -> None:
    run = waiting(world)
    company.people = People(by_id={name: one for name, one in company.people.by_id.items() if name != "lena"})
    world.staff = company.staff()
    world.engine = world.another_process()

    with pytest.raises(NotAllowed, match="no longer as they were"):
        world.engine.approvals.answer(run.id, principal(LENA), Answer.APPROVED)


def test_the_approval_of_somebody_who_is_taken_out_before_the_start_starts_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stage.asks()
    assert stage.types("lena", "approve", run.id, "--no-wait")[0] == 0
    left = People(by_id={name: one for name, one in EVERYBODY.by_id.items() if name != "lena"})
    monkeypatch.setattr("tests.acceptance.test_approval_commands.EVERYBODY", left)
    code, said, _ = stage.types("nadia", "resume", run.id)

    assert (code, stage.acted) == (4, False)
    assert "stale: the policy in remediate.yml changed since it was approved" in said


def test_a_role_that_is_taken_away_before_the_start_counts_like_its_person(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stage.asks()
    stage.types("lena", "approve", run.id, "--no-wait")
    lena = EVERYBODY.by_id["lena"]
    viewer = lena.model_copy(update={"grants": tuple(one for one in lena.grants if one.role is not Role.APPROVER)})
    changed = People(by_id={**EVERYBODY.by_id, "lena": viewer})
    monkeypatch.setattr("tests.acceptance.test_approval_commands.EVERYBODY", changed)

    assert stage.types("nadia", "resume", run.id)[0] == 4
    assert not stage.acted


def test_an_approval_counts_until_the_plan_ends_to_the_second_and_not_at_it(world: World, company: Company) -> None:
    run = waiting(world)
    request = world.approvals.request(run.id)
    assert request is not None
    world.clock.fast_forward(request.expires_at - world.clock.now() - SECOND)
    early = world.approvals.request(run.id)
    world.clock.fast_forward(SECOND)
    with pytest.raises(NotAllowed, match="its time is over"):
        world.engine.approvals.answer(run.id, principal(LENA), Answer.APPROVED)
    world.engine.approvals.watch(world.clock.now())

    assert early == request
    assert world.store.run(run.id).status is RunStatus.EXPIRED
    assert world.approvals.answers(run.id) == ()


def test_an_approval_a_second_before_the_end_wins_over_the_end(world: World, company: Company) -> None:
    run = waiting(world)
    request = world.approvals.request(run.id)
    assert request is not None
    world.clock.fast_forward(request.expires_at - world.clock.now() - SECOND)
    approved = world.engine.approvals.answer(run.id, principal(LENA), Answer.APPROVED)
    world.clock.fast_forward(SECOND)
    world.engine.approvals.watch(world.clock.now())

    assert (approved.status, world.store.run(run.id).status) == (RunStatus.APPROVED, RunStatus.APPROVED)


def test_at_the_moment_at_which_a_level_has_had_its_time_it_may_still_answer(world: World, company: Company) -> None:
    run = waiting(world)
    for _ in range(6):
        world.clock.fast_forward(timedelta(minutes=30))
        world.engine.approvals.watch(world.clock.now())
    climbed = world.approvals.request(run.id)

    assert climbed is not None
    assert (climbed.asked_level, climbed.asked_at) == (3, world.clock.now())
    assert world.engine.approvals.answer(run.id, principal(LENA), Answer.APPROVED).status is RunStatus.APPROVED


def test_the_answer_to_one_run_is_none_to_another_with_the_same_work(world: World, company: Company) -> None:
    run = waiting(world)
    scripted(world, BOOK, host="far")
    other = world.walk("far")
    world.engine.approvals.answer(run.id, principal(LENA), Answer.APPROVED)

    assert world.store.run(other.id).status is RunStatus.WAITING_APPROVAL
    assert world.approvals.answers(other.id) == ()


def test_a_second_approval_of_what_is_approved_is_refused(world: World, company: Company) -> None:
    run = waiting(world)
    world.engine.approvals.answer(run.id, principal(LENA), Answer.APPROVED)
    with pytest.raises(IllegalTransition, match="asks for no approval any more: approved by lena"):
        world.engine.approvals.answer(run.id, principal(MAX), Answer.APPROVED)

    assert [one.person for one in world.approvals.answers(run.id)] == ["lena"]


def test_a_card_that_changes_its_severity_while_a_plan_waits_changes_none_of_its_times(
    world: World, company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = waiting(world)
    before = world.approvals.request(run.id)
    changed = tmp_path / "changed"
    copytree(CASES, changed)
    card = changed / "roles" / "tidy_shelf" / "meta" / "runbook.yml"
    card.write_text(card.read_text().replace("severity: SEV3\nrto", "severity: SEV1\nescalation: [1m, 2m]\nrto"))
    monkeypatch.setattr(conftest, "CASES", changed)
    world.engine = world.another_process()
    world.clock.fast_forward(timedelta(minutes=30))
    world.engine.approvals.watch(world.clock.now())
    after = world.approvals.request(run.id)

    assert before is not None
    assert after is not None
    times = ("severity", "climbs_after", "remind_every", "expires_at", "asked_level", "asked_at")
    assert [getattr(after, name) for name in times] == [getattr(before, name) for name in times]
    assert after.reminded_at == world.clock.now()


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_jumps_an_hour_while_a_level_is_asked_asks_it_again_or_waits(
    world: World, company: Company, hours: int
) -> None:
    run = waiting(world)
    world.clock.fast_forward(timedelta(minutes=20) + timedelta(hours=hours))
    world.engine.approvals.watch(world.clock.now())
    request = world.approvals.request(run.id)

    assert request is not None
    assert request.asked_level == 2
    assert company.heard("climbed") == (["lena", "mara"] if hours > 0 else [])
    assert world.store.run(run.id).status is RunStatus.WAITING_APPROVAL
