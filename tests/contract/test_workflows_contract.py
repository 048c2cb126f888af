"""What carries the work on runs: threads, a durable queue in a database, and their twin without either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from threading import Event

import pytest

from remediate.adapters.store.connection import open_database
from remediate.adapters.threads import ThreadWorkflows
from remediate.catalog.database import DatabaseSettings
from remediate.engine.ports import Work, Workflows
from remediate.testing import InlineWorkflows
from tests.durable import durable, forget
from tests.postgres import PostgresServer

DURABLE = [
    pytest.param("sqlite", id="durable-sqlite"),
    pytest.param("postgres", id="durable-postgres", marks=pytest.mark.postgres),
]


@pytest.fixture(scope="module", params=["threads", "at once", "when asked", *DURABLE])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def launched(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workflows | None]:
    """Durable work, begun once for all tests: that takes it a second or two."""
    if kind not in {"sqlite", "postgres"}:
        yield None
        return
    with ExitStack() as ending:
        state, settings = tmp_path_factory.mktemp(kind) / "state", DatabaseSettings()
        if kind == "postgres":
            server: PostgresServer = request.getfixturevalue("postgres_server")
            settings = ending.enter_context(server.database())
        database = open_database(state, settings)
        ending.callback(database.dispose)
        made = durable(state, database, settings)
        made.launch(Event())
        ending.callback(made.close)
        yield made


@pytest.fixture
def workflows(kind: str, launched: Workflows | None) -> Iterator[Workflows]:
    if launched is not None:
        yield launched
        forget()
        return
    made: Workflows = ThreadWorkflows() if kind == "threads" else InlineWorkflows(at_once=kind == "at once")
    yield made
    made.close()


def test_work_has_ended_when_it_was_waited_for(workflows: Workflows) -> None:
    done: list[tuple[str, Work]] = []
    workflows.bind(lambda run_id, work, _stop: done.append((run_id, work)))
    workflows.start("a")
    workflows.start("b", Work.ROLL_BACK)
    workflows.wait("b")
    workflows.wait("a")

    assert sorted(done) == [("a", Work.CARRY), ("b", Work.ROLL_BACK)]
    assert not workflows.carries("a")
    assert workflows.carried() == ()


def test_what_work_raises_is_raised_to_whoever_waits(workflows: Workflows) -> None:
    def stumble(_run_id: str, _work: Work, _stop: Event) -> None:
        raise ZeroDivisionError("over a stone")

    workflows.bind(stumble)
    workflows.start("a")

    with pytest.raises(ZeroDivisionError, match="over a stone"):
        workflows.wait("a")


def test_work_can_be_asked_to_stop_from_within_and_sees_it(workflows: Workflows) -> None:
    seen: list[bool] = []

    def work(run_id: str, _work: Work, stop: Event) -> None:
        seen.append(stop.is_set())
        seen.append(workflows.carried() != (run_id,))
        workflows.cancel(run_id)
        seen.append(stop.wait(5))

    workflows.bind(work)
    workflows.start("a")
    workflows.wait("a")

    assert seen == [False, False, True]


def test_stopping_the_work_on_one_run_leaves_the_others_alone(workflows: Workflows) -> None:
    seen: list[bool] = []
    workflows.bind(lambda _run_id, _work, stop: seen.append(stop.is_set()))
    workflows.start("b")
    workflows.cancel("a")
    workflows.wait("b")

    assert seen == [False]


def test_a_run_that_is_not_carried_here_is_waited_for_and_stopped_without_a_word(workflows: Workflows) -> None:
    seen: list[bool] = []
    workflows.bind(lambda _run_id, _work, stop: seen.append(stop.is_set()))
    workflows.cancel("elsewhere")
    workflows.wait("elsewhere")

    workflows.start("elsewhere")
    workflows.wait("elsewhere")

    assert seen == [False], "a stop that reached nobody must not stop later work"


def test_a_run_can_be_worked_on_again_after_its_first_work_ended(workflows: Workflows) -> None:
    done: list[Work] = []
    workflows.bind(lambda _run_id, work, _stop: done.append(work))
    for work in (Work.CARRY, Work.ROLL_BACK):
        workflows.start("a", work)
        workflows.wait("a")

    assert done == [Work.CARRY, Work.ROLL_BACK]


def test_work_that_goes_on_is_not_started_twice() -> None:
    workflows, done, go_on = ThreadWorkflows(), list[str](), Event()

    def work(run_id: str, _work: Work, _stop: Event) -> None:
        done.append(run_id)
        go_on.wait(5)

    workflows.bind(work)
    workflows.start("a")
    carried = workflows.carries("a")
    workflows.start("a")
    go_on.set()
    workflows.wait("a")
    workflows.close()

    assert (carried, done) == (True, ["a"])


def test_what_goes_on_is_asked_to_stop_when_all_is_closed() -> None:
    workflows, stopped = ThreadWorkflows(), list[bool]()
    workflows.bind(lambda _run_id, _work, stop: stopped.append(stop.wait(5)))
    workflows.start("a")
    workflows.close()

    assert stopped == [True]


def test_work_that_waits_is_done_in_order_when_asked() -> None:
    workflows = InlineWorkflows(at_once=False)
    done: list[str] = []
    workflows.bind(lambda run_id, _work, stop: done.append(f"{run_id}, stopped: {stop.is_set()}"))
    workflows.start("a")
    workflows.start("b")
    workflows.cancel("b")
    before = list(done)
    workflows.run()

    assert (before, done) == ([], ["a, stopped: False", "b, stopped: True"])


def test_whoever_waits_for_room_is_told_when_work_has_ended(workflows: Workflows) -> None:
    freed, held = Event(), Event()

    def work(_run_id: str, _work: Work, stop: Event) -> None:
        held.set()

    workflows.bind(work)
    workflows.whenever_free(freed.set)
    assert workflows.has_room
    workflows.start("a")
    workflows.wait("a")

    assert held.is_set()
    assert freed.wait(5)
    assert workflows.has_room


def test_work_is_begun_until_there_is_no_room(workflows: Workflows, kind: str) -> None:
    held, many = Event(), 40

    def work(_run_id: str, _work: Work, _stop: Event) -> None:
        held.wait(20)

    workflows.bind(work)
    if isinstance(workflows, InlineWorkflows):
        workflows.room = 0
    else:
        for number in range(many):
            workflows.start(f"r{number}")

    assert not workflows.has_room
    held.set()
    for number in range(many):
        workflows.wait(f"r{number}")
