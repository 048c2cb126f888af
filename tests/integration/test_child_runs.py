"""Runs that are handed over between processes: commands, services, people, and a service that is killed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remediate.adapters.store.database import DatabaseStore
from remediate.domain.run import Run, RunStatus
from tests.integration.test_service import POSTGRES, fixing, set_up
from tests.integration.test_service import until as soon
from tests.service import Served
from tests.service import served as serving


@pytest.fixture(params=["sqlite", POSTGRES])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    settings = request.getfixturevalue("postgres") if request.param == "postgres" else None
    with serving(tmp_path / "site", settings) as site:
        yield site


def until(holds: Callable[[], bool]) -> None:
    """Wait for as long as two runs, one after the other, take on a busy machine."""
    soon(holds, 60.0)


def family(served: Served) -> dict[str, Run]:
    """The newest attempts of parent and child, by runbook."""
    with served.record() as database:
        return {run.runbook: run for run in reversed(DatabaseStore(database).runs(limit=100))}


def stand(served: Served) -> dict[str, RunStatus]:
    return {runbook: run.status for runbook, run in family(served).items()}


def mend(served: Served, *more: str) -> subprocess.CompletedProcess[str]:
    return served.command("mend-house", "--limit", "near-1", *(more or ("--no-wait",)))


def fixes(served: Served) -> int:
    return len([line for line in served.walked() if line.startswith("fix ")])


CURED = {"mend-house": RunStatus.SUCCEEDED, "tidy-shelf": RunStatus.SUCCEEDED}


def test_a_command_follows_parent_and_child_that_a_service_carries_to_the_end(served: Served) -> None:
    served.serve()
    done = mend(served)

    assert (done.returncode, done.stderr) == (0, "")
    assert stand(served) == CURED
    child = family(served)["tidy-shelf"]
    for line in (f"{child.id}  fixing", f"{child.id}  succeeded: cured: near-1", "CURED  cured: near-1"):
        assert line in done.stdout
    assert served.left_over() == []


def test_a_child_that_waits_ends_the_command_with_3_and_the_service_carries_both_on_when_it_is_approved(
    served: Served,
) -> None:
    set_up(served, cause="archive")
    served.serve()
    asked = mend(served)
    assert (asked.returncode, stand(served)["mend-house"]) == (3, RunStatus.HANDED_OVER)
    given = served.command("approve", family(served)["tidy-shelf"].id, "--reason", "go", by="lena")

    assert given.returncode == 0
    until(lambda: stand(served) == CURED)
    assert fixes(served) == 1


def test_a_command_that_waits_carries_the_child_on_and_then_the_parent(served: Served) -> None:
    set_up(served, cause="archive")
    waits = served.begin("mend-house", "--limit", "near-1", "--wait")
    until(lambda: stand(served).get("tidy-shelf") is RunStatus.WAITING_APPROVAL)
    served.command("approve", family(served)["tidy-shelf"].id, "--reason", "go", by="lena")
    out, errors = waits.communicate(timeout=60)

    assert (waits.returncode, stand(served), fixes(served)) == (0, CURED, 1), (out, errors)
    assert f"{family(served)['mend-house'].id}  succeeded: cured: near-1" in out


def test_a_service_that_is_killed_in_the_child_is_followed_by_one_that_ends_both(served: Served) -> None:
    set_up(served, fix_takes="30")
    first = served.serve()
    served.begin("mend-house", "--limit", "near-1", "--no-wait")
    until(fixing(served, "near-1"))
    first.kill()
    first.communicate()
    set_up(served, fix_takes="0")
    served.serve()

    until(lambda: stand(served) == CURED)
    assert [run.split("-")[3:] for run in served.runs() if served.runs()[run] is RunStatus.INTERRUPTED] == [[]]
    assert len({run for run in served.runs() if run.count("-") == 2}) == 2


def test_a_command_that_is_killed_in_the_child_is_resumed_by_its_parent(served: Served) -> None:
    set_up(served, fix_takes="30")
    first = served.begin("mend-house", "--limit", "near-1", "--no-wait")
    until(fixing(served, "near-1"))
    first.kill()
    first.communicate()
    set_up(served, fix_takes="0")
    parent = family(served)["mend-house"]
    told = served.command("runs")
    assert "was interrupted" in told.stderr
    assert f"`remediate resume {parent.id}` does." in told.stderr
    done = served.command("resume", parent.id)

    assert (done.returncode, stand(served)) == (0, CURED), done


def test_canceling_the_parent_of_a_child_at_work_ends_both(served: Served) -> None:
    set_up(served, fix_takes="30")
    served.serve()
    followed = served.begin("mend-house", "--limit", "near-1", "--no-wait")
    until(fixing(served, "near-1"))
    served.command("cancel", family(served)["mend-house"].id)

    ended = {"mend-house": RunStatus.CANCELED, "tidy-shelf": RunStatus.CANCELED}
    until(lambda: stand(served) == ended)
    followed.communicate(timeout=30)
    assert followed.returncode == 5
