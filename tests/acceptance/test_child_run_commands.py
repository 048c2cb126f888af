"""People at the keyboard of runs that are handed over: one command carries parent and child, and tells of both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest

from remediate.adapters.store.database import DatabaseStore
from remediate.domain.approval import Answer
from remediate.domain.people import Grant, Role
from remediate.domain.report import Action
from remediate.domain.run import Run, RunStatus
from remediate.domain.runbook import Phase
from tests.acceptance.family import BOOK, DUST, FAMILIES, found
from tests.acceptance.test_approval_commands import EVERYBODY, NADIA, Stage, next_lines
from tests.acceptance.test_identity_commands import Terminal
from tests.builders import action, tidy
from tests.house import CASES, PAST, House
from tests.identities import people

TOY = action("/shelf/toy", "clutter")
MEND = ("mend-house", "--limit", "near")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Stage]:
    monkeypatch.delenv("REMEDIATE_TOKEN_FILE", raising=False)
    house = House(tmp_path / "state", monkeypatch)
    house.content = (CASES, FAMILIES)
    copytree(CASES, house.state / "playbooks")
    copytree(FAMILIES, house.state / "playbooks", dirs_exist_ok=True)
    yield Stage(house, Terminal(house, capsys))
    house.close()


def is_ill(stage: Stage, act: Action) -> None:
    """A house with an untidy shelf, which tidy-shelf cures by this."""
    stage.house.is_ill(act)
    stage.house.executor.says("near", Phase.DIAGNOSE, found("untidy"), tidy(), runbook="mend-house")


def family(stage: Stage) -> tuple[Run, Run]:
    """The newest parent and its child."""
    with stage.house.database() as database:
        runs = [run for run in DatabaseStore(database).runs(limit=9) if run.id != PAST.id]
    child = next(run for run in runs if run.parent)
    return next(run for run in runs if run.id == child.parent), child


def test_one_command_carries_parent_and_child_to_the_end_and_shows_both(stage: Stage) -> None:
    is_ill(stage, DUST)
    code, said, errors = stage.types("nadia", *MEND)
    parent, child = family(stage)
    told = [
        "  handed   untidy: handed over to tidy-shelf",
        f"{parent.id}  handed over: handed over to tidy-shelf on near (run {child.id})",
        f"{child.id}  diagnosing",
        f"{child.id}  succeeded: cured: near",
        f"{parent.id}  succeeded: cured: near",
        "CURED  cured: near",
        f"  child    run {child.id}, tidy-shelf on near: succeeded: cured: near",
    ]

    assert (code, errors) == (0, "")
    assert [said.index(line) for line in told] == sorted(said.index(line) for line in told)
    assert stage.incidents == ()


def test_the_log_tells_whose_each_event_is(stage: Stage) -> None:
    is_ill(stage, DUST)
    stage.types("nadia", *MEND)
    parent, child = family(stage)
    lines = [json.loads(line) for line in (stage.house.state / "remediate.log").read_text().splitlines()]
    phases = [(line["run_id"], line["phase"]) for line in lines if line["event"] == "phase_ended"]

    assert [one for one, phase in phases if phase == "diagnose"] == [parent.id, child.id, parent.id]
    assert {line.get("parent") for line in lines if line.get("run_id") == child.id and "status" in line} == {parent.id}


def test_yes_in_advance_counts_for_the_child_of_whoever_may_carry_it_out(stage: Stage) -> None:
    is_ill(stage, TOY)

    assert stage.types("nadia", *MEND, "--yes")[0] == 0


def test_whoever_may_not_carry_out_the_other_runbook_does_not_approve_it_either(stage: Stage) -> None:
    is_ill(stage, TOY)
    narrow = NADIA.model_copy(
        update={"grants": (Grant(role=Role.OPERATOR, runbooks=("mend-house",)), Grant(role=Role.VIEWER))}
    )
    stage.house.inhabited_by(people(narrow), "nadia")
    code, _, _ = stage._terminal(*MEND, "--yes")
    parent, child = family(stage)

    assert (code, parent.status, child.status) == (3, RunStatus.HANDED_OVER, RunStatus.WAITING_APPROVAL)
    assert not stage.acted


def test_a_child_that_waits_for_approval_ends_the_command_with_3_and_is_named(stage: Stage) -> None:
    is_ill(stage, BOOK)
    code, said, _ = stage.types("nadia", *MEND)
    parent, child = family(stage)

    assert code == 3
    assert "HANDED OVER, not ended  handed over to tidy-shelf" in said
    assert f"  child    run {child.id}, tidy-shelf on near: waiting_approval: level 2" in said
    assert f"`remediate approvals show {child.id}`" in said
    assert next_lines(said)[-1].startswith(f"remediate resume {parent.id}")


def test_whoever_approves_a_child_carries_it_out_and_then_its_parent(stage: Stage) -> None:
    is_ill(stage, BOOK)
    stage.types("nadia", *MEND)
    members = family(stage)
    code, said, _ = stage.types("lena", "approve", members[1].id, "--reason", "go")

    assert (code, {stage.run(one.id).status for one in members}) == (0, {RunStatus.SUCCEEDED})
    assert f"{members[0].id}  succeeded: cured: near" in said


@pytest.mark.parametrize("resumed", ["parent", "child"])
def test_a_family_that_nobody_goes_on_with_is_named_and_resumed_by_either(stage: Stage, resumed: str) -> None:
    is_ill(stage, BOOK)
    stage.types("nadia", *MEND)
    members = dict(zip(["parent", "child"], family(stage), strict=True))
    stage.house.open(EVERYBODY, "lena").answer(members["child"].id, Answer.APPROVED)
    _, _, errors = stage.types("nadia", "runs")
    assert f"`remediate resume {members['parent'].id}` does." in errors
    code, _, _ = stage.types("nadia", "resume", members[resumed].id)

    assert (code, {stage.run(one.id).status for one in members.values()}) == (0, {RunStatus.SUCCEEDED})
    assert stage.types("nadia", "runs")[2] == ""


def test_a_run_shows_its_parent_and_its_children(stage: Stage) -> None:
    is_ill(stage, DUST)
    stage.types("nadia", *MEND)
    parent, child = family(stage)
    of_parent, of_child = (
        stage.types("nadia", "runs", "show", parent.id),
        stage.types("nadia", "runs", "show", child.id),
    )
    document = json.loads(stage.types("nadia", "runs", "show", parent.id, "--json")[1])
    listed = stage.types("nadia", "runs")[1]

    assert f"  child    run {child.id}, tidy-shelf on near: succeeded" in of_parent[1]
    assert f"Parent     run {parent.id} handed over to it (depth 1)" in of_child[1]
    assert [(one["id"], one["parent"], one["depth"]) for one in document["children"]] == [(child.id, parent.id, 1)]
    assert "tidy-shelf (child)" in listed


def test_a_plan_names_what_would_be_handed_over_and_starts_nothing(stage: Stage) -> None:
    is_ill(stage, DUST)
    code, said, _ = stage.types("nadia", "plan", *MEND)

    assert code == 0
    assert "  handed   untidy: handed over to tidy-shelf, before anything else is done" in said
    assert "`remediate plan tidy-shelf --limit near`" in said
    assert not stage.acted
    assert not stage.newest.parent


def test_canceling_a_parent_withdraws_the_child_that_waits(stage: Stage) -> None:
    is_ill(stage, BOOK)
    stage.types("nadia", *MEND)
    parent, child = family(stage)
    code, said, _ = stage.types("nadia", "cancel", parent.id)

    assert (code, "CANCELED" in said) == (0, True)
    assert (stage.run(parent.id).status, stage.run(child.id).status) == (RunStatus.CANCELED, RunStatus.WITHDRAWN)


def test_rejecting_a_parent_is_answered_in_words(stage: Stage) -> None:
    is_ill(stage, BOOK)
    stage.types("nadia", *MEND)
    parent, _ = family(stage)
    code, _, errors = stage.types("lena", "reject", parent.id, "--reason", "no")

    assert code != 0
    assert f"Run {parent.id} asks for no approval" in errors


def test_whoever_applies_a_plan_has_agreed_to_that_plan_and_not_to_that_of_a_child(stage: Stage) -> None:
    is_ill(stage, TOY)
    stage.house.executor.says("near", Phase.DIAGNOSE, found("untidy"), found("untidy"), tidy(), runbook="mend-house")
    site = stage.house.open(EVERYBODY)
    planned = site.plan("mend-house", hosts=["near"])
    ended = site.apply(planned).wait()

    assert ended.status is RunStatus.HANDED_OVER
    assert [child.status for child in site.children(ended.id)] == [RunStatus.WAITING_APPROVAL]


def test_a_runbook_names_the_causes_that_it_hands_over_and_to_which_one(stage: Stage) -> None:
    code, said, _ = stage.types("nadia", "show", "mend-house")

    assert code == 0
    assert f"  {'untidy':22} handed over to tidy-shelf\n" in said
    assert f"  {'creaking':22} level 0; undo automatic\n" in said
