"""Faults on demand: what the variable may say, what is done then, and that nothing is done without it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from remediate import faults
from remediate.adapters.faulty import watched
from remediate.errors import EngineFailure, IllegalTransition, UsageError
from remediate.testing import EPOCH, FakeExecutor, MemoryApprovals, MemoryStore, MemorySwitches
from tests.builders import run

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "faults.md"


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    faults.arm({})


def arm(wanted: str) -> None:
    faults.arm({"REMEDIATE_FAULT": wanted})


def test_without_the_variable_a_port_stays_what_it_is() -> None:
    faults.arm({})
    store = MemoryStore()

    assert watched(store, "store") is store
    faults.reach("store.move.before")


@pytest.mark.parametrize(
    "wanted",
    [
        *("store.move.before", "store.move.before:", "store.move.before:burn", ":crash"),
        *("store.move:crash", "nowhere.before:crash", "store.move.before#0:crash", "store.move.before#x:crash"),
        *("trace:", "trace:/proc/nowhere/file"),
    ],
)
def test_a_wrong_value_is_one_clear_usage_error(wanted: str) -> None:
    with pytest.raises(UsageError, match="REMEDIATE_FAULT") as refused:
        arm(wanted)
    assert refused.value.next_step == "unset REMEDIATE_FAULT, or see docs/reference/faults.md"


def test_an_error_comes_the_named_time_and_only_then() -> None:
    arm("store.create_run.after#2:error")
    store = watched(MemoryStore(), "store")
    store.create_run(run("a"))
    with pytest.raises(EngineFailure, match=r"an error at store\.create_run\.after"):
        store.create_run(run("b"))
    store.create_run(run("c"))

    assert {one.id for one in store.runs(limit=5)} == {"a", "b", "c"}


def test_a_fault_before_a_write_keeps_it_from_being_written() -> None:
    arm("store.create_run.before:error")
    store = watched(MemoryStore(), "store")
    with pytest.raises(EngineFailure):
        store.create_run(run())

    assert store.runs(limit=1) == ()


def test_a_crash_is_a_kill_that_nothing_can_catch() -> None:
    child = os.fork()
    if child == 0:
        arm("switches.press.before:crash")
        try:
            faults.reach("switches.press.before")
        finally:
            os._exit(0)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_a_hang_goes_on_and_a_delay_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    arm("switches.press.before:delay")
    faults.reach("switches.press.before")
    arm("switches.press.before:hang")
    hanging = threading.Thread(target=faults.reach, args=("switches.press.before",), daemon=True)
    hanging.start()

    assert slept == [2.0]
    assert hanging.is_alive()


def test_a_trace_names_every_point_as_a_fault_would(tmp_path: Path) -> None:
    arm(f"trace:{tmp_path / 'trace'}")
    store = watched(MemoryStore(), "store")
    with store.together(), store.together():
        store.create_run(run("a"))
    with pytest.raises(IllegalTransition), store.together():
        raise IllegalTransition("no")
    store.create_run(run("b"))
    watched(MemorySwitches(), "switches").switches()

    assert (tmp_path / "trace").read_text().splitlines() == [
        "store.create_run.before#1",
        "store.create_run.after#1",
        "store.together.commit.before#1",
        "store.together.commit.after#1",
        "store.create_run.before#2",
        "store.create_run.after#2",
    ]


def test_a_port_that_passes_points_answers_as_before() -> None:
    arm("store.move.before#9:error")
    executor, approvals = watched(FakeExecutor(), "executor"), watched(MemoryApprovals(), "approvals")

    assert executor.hosts() == ()
    assert approvals.requests(due_by=EPOCH) == ()


def test_the_page_lists_every_step() -> None:
    text = PAGE.read_text()

    assert [step for part, steps in faults.STEPS.items() for step in steps if f"`{part}.{step}`" not in text] == []
