"""Work that comes again and again is an incident only when it does not succeed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from remediate.domain.report import Verdict
from remediate.domain.run import RunStatus
from tests.acceptance.conftest import CASES, World
from tests.acceptance.test_walks import DUST, TOY, scripted


@pytest.fixture
def routine(world: World, tmp_path: Path) -> World:
    """A world in which tidying the shelf is routine."""
    content = tmp_path / "content"
    shutil.copytree(CASES, content)
    with (content / "roles" / "tidy_shelf" / "meta" / "runbook.yml").open("a") as card:
        card.write("routine: true\n")
    world.content = (content,)
    world.engine = world.another_process()
    return world


def test_routine_that_succeeds_is_no_incident(routine: World) -> None:
    scripted(routine, DUST)

    run = routine.walk()

    assert run.status is RunStatus.SUCCEEDED
    assert routine.ports.incidents.of_run(run.id) is None


def test_what_is_no_routine_is_one_from_its_plan_on(world: World) -> None:
    scripted(world, DUST)

    run = world.walk()

    assert run.status is RunStatus.SUCCEEDED
    assert world.ports.incidents.of_run(run.id) is not None


def test_routine_that_fails_is_an_incident(routine: World) -> None:
    scripted(routine, DUST, verdicts=(Verdict.NOT_CURED,) * 3)

    run = routine.walk()

    assert run.status in {RunStatus.FAILED, RunStatus.ROLLED_BACK}
    assert [one.run_id for one in routine.approvals.incidents()] == [run.id]


def test_routine_that_somebody_must_approve_is_an_incident_as_usual(routine: World) -> None:
    scripted(routine, TOY)

    run = routine.walk()

    assert [one.run_id for one in routine.approvals.incidents()] == [run.id]
