"""What every store tells the storm policy: the database and its twin in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from alembic import command, config
from sqlalchemy import create_engine, text

from remediate.adapters.store.connection import open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.domain.run import Run, RunStatus
from remediate.domain.storm import ACTING, LIVE, Attempt, LiveRun
from remediate.engine.ports import Store
from remediate.errors import EngineFailure
from remediate.testing import EPOCH, MemoryStore
from tests.builders import action, finding, plan, run
from tests.storm import DAY, HOUR, MINUTE

_S = RunStatus
UP_TO_FIX = (_S.SNAPSHOTTING, _S.FIXING)
CURED = (*UP_TO_FIX, _S.VERIFYING, _S.SUCCEEDED)


@pytest.fixture(params=["database", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    engine = open_database(tmp_path / "state")
    yield DatabaseStore(engine)
    engine.dispose()


def record(store: Store, run_id: str, *states: RunStatus, at: datetime = EPOCH, **changes: object) -> Run:
    """Record an approved run and walk it through these states, a minute each."""
    made = run(run_id, status=_S.APPROVED, created_at=at, updated_at=at, **changes)
    store.create_run(made)
    return walk(store, made, *states, at=at + MINUTE)


def walk(store: Store, moved: Run, *states: RunStatus, at: datetime) -> Run:
    for minute, state in enumerate(states):
        moved = store.move(moved.id, moved.status, state, "", at + minute * MINUTE)
    return moved


def told(store: Store, since: datetime = EPOCH) -> list[tuple[str, RunStatus]]:
    return [(attempt.run_id, attempt.status) for attempt in store.attempts(since)]


def test_an_attempt_is_a_run_that_began_to_act_with_the_hosts_of_its_plan(store: Store) -> None:
    planned = plan(far=finding(action()))
    record(store, "a", *CURED, hosts=("near", "far"), plan=planned)
    (found,) = store.attempts(EPOCH)

    assert found == Attempt(
        sequence=found.sequence,
        run_id="a",
        runbook="tidy-shelf",
        hosts=("far",),
        status=_S.SUCCEEDED,
        began_at=EPOCH + MINUTE,
        ended_at=EPOCH + 4 * MINUTE,
        requested_by="nadia",
    )


def test_a_plan_that_is_saved_later_names_the_hosts(store: Store) -> None:
    made = record(store, "a", hosts=("near", "far"))
    store.save_plan(made.model_copy(update={"plan": plan(far=finding(action()))}))
    walk(store, made, *UP_TO_FIX, at=EPOCH)

    assert [found.hosts for found in store.attempts(EPOCH)] == [("far",)]
    assert [found.hosts for found in store.live(LIVE)] == [("far",)]


def test_without_a_plan_the_hosts_are_those_that_were_asked_for(store: Store) -> None:
    record(store, "a", *UP_TO_FIX, hosts=("near", "far"))

    assert [found.hosts for found in store.attempts(EPOCH)] == [("near", "far")]


def test_a_run_that_never_began_to_act_is_no_attempt(store: Store) -> None:
    record(store, "a", _S.EXPIRED)
    record(store, "b", _S.CANCELED)

    assert told(store) == []


def test_an_attempt_that_goes_on_has_the_state_of_its_run_and_no_end(store: Store) -> None:
    record(store, "a", *UP_TO_FIX)

    assert [(found.status, found.ended_at) for found in store.attempts(EPOCH)] == [(_S.FIXING, None)]


def test_a_rollback_does_not_hide_how_the_attempt_ended_and_moves_its_end(store: Store) -> None:
    record(store, "a", *UP_TO_FIX, _S.FAILED, _S.ROLLING_BACK, _S.ROLLED_BACK)
    back = record(store, "b", *UP_TO_FIX, _S.FAILED)
    walk(store, back, _S.ROLLING_BACK, at=EPOCH + HOUR)

    assert [(found.run_id, found.status, found.ended_at) for found in store.attempts(EPOCH)] == [
        ("a", _S.FAILED, EPOCH + 5 * MINUTE),
        ("b", _S.FAILED, None),
    ]


def test_an_interrupted_run_and_the_one_that_continues_it_are_two_attempts(store: Store) -> None:
    record(store, "a", *UP_TO_FIX, _S.INTERRUPTED)
    record(store, "a-2", *CURED, at=EPOCH + HOUR)

    assert told(store) == [("a", _S.INTERRUPTED), ("a-2", _S.SUCCEEDED)]


def test_attempts_come_in_the_order_of_the_record_whatever_the_clock_said(store: Store) -> None:
    record(store, "later", *CURED, at=EPOCH + HOUR)
    record(store, "earlier", *CURED, at=EPOCH)
    found = store.attempts(EPOCH)

    assert [attempt.run_id for attempt in found] == ["later", "earlier"]
    assert found[0].sequence < found[1].sequence


def test_attempts_of_runs_that_moved_before_the_moment_are_not_told_and_those_of_the_future_are(store: Store) -> None:
    record(store, "old", *CURED, at=EPOCH - DAY)
    record(store, "future", *CURED, at=EPOCH + DAY)
    record(store, "just", *CURED, at=EPOCH - 4 * MINUTE)

    assert told(store) == [("future", _S.SUCCEEDED), ("just", _S.SUCCEEDED)]
    assert told(store, EPOCH + timedelta(microseconds=1)) == [("future", _S.SUCCEEDED)]


def test_an_old_attempt_is_told_again_when_it_is_rolled_back(store: Store) -> None:
    old = record(store, "old", *CURED, at=EPOCH - DAY)
    walk(store, old, _S.ROLLING_BACK, _S.ROLLED_BACK, at=EPOCH)

    assert [(found.began_at, found.ended_at) for found in store.attempts(EPOCH)] == [
        (EPOCH - DAY + MINUTE, EPOCH + MINUTE)
    ]


def test_live_runs_are_those_in_the_wanted_states_oldest_first_without_those_that_only_look(store: Store) -> None:
    record(store, "b", *UP_TO_FIX, at=EPOCH + MINUTE)
    record(store, "a", *UP_TO_FIX, at=EPOCH)
    record(store, "done", *CURED)
    store.create_run(run("asked", status=_S.WAITING_APPROVAL, hosts=("far",), created_at=EPOCH + HOUR))
    store.create_run(run("looks", status=_S.PLANNED, check=True))

    assert [found.run_id for found in store.live(ACTING)] == ["a", "b"]
    assert store.live({_S.WAITING_APPROVAL}) == (
        LiveRun(run_id="asked", runbook="tidy-shelf", hosts=("far",), status=_S.WAITING_APPROVAL),
    )
    assert [found.run_id for found in store.live(LIVE)] == ["a", "b", "asked"]


def test_a_decision_outside_of_a_transaction_is_a_defect(store: Store) -> None:
    with pytest.raises(EngineFailure, match="outside of the transaction"):
        store.in_turn()
    with store.together():
        store.in_turn()
    with pytest.raises(EngineFailure):
        store.in_turn()


def test_a_record_of_an_older_version_is_read_after_the_upgrade(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    migrations = config.Config()
    migrations.set_main_option("script_location", "remediate.adapters.store:migrations")
    engine = create_engine(f"sqlite:///{state}/remediate.db")
    with engine.begin() as old:
        migrations.attributes["connection"] = old
        command.upgrade(migrations, "0001")
        old.execute(
            text(
                "INSERT INTO runs (id, runbook, status, hosts, parameters, requested_by, reason, check_only, outcome, "
                "created_at, updated_at) VALUES "
                "('old', 'tidy-shelf', 'fixing', '[\"near\"]', '{}', 'nadia', '', 0, '', "
                "'2026-01-05 03:00:00', '2026-01-05 03:00:00')"
            )
        )
    engine.dispose()
    opened = open_database(state)
    store = DatabaseStore(opened)

    assert [found.hosts for found in store.live(ACTING)] == [("near",)]
    assert store.run("old").hosts == ("near",)
    opened.dispose()
