"""A process that is ended is the very one that was meant, and never one that the host needs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from ansible.module_utils import process_ending
from ansible.module_utils.host_step import NO_UNDO, Step, StepError, StepNotNeededError
from ansible.module_utils.process_ending import EndProcess, end_all, ending_steps
from ansible.module_utils.process_owners import own_family
from ansible.module_utils.process_table import Process, Use, processes

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts programs that count as nobody's, although they are children of this test."""
    running: list[subprocess.Popen[bytes]] = []

    def go(*argv: str) -> subprocess.Popen[bytes]:
        running.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL))
        time.sleep(0.2)
        return running[-1]

    def family(table: dict[int, Process]) -> frozenset[int]:
        return frozenset(own_family(table) - {one.pid for one in running})

    monkeypatch.setattr(process_ending, "own_family", family)
    yield go
    for one in running:
        one.kill()
        one.wait()


def step_of(*pids: int) -> Step:
    table = processes()
    return Step("foreign_process", "end", "program sleep", data={"processes": [list(table[pid].key) for pid in pids]})


def kind(*spared: str, services: dict[str, tuple[str, ...]] | None = None) -> EndProcess:
    return EndProcess(lambda: services or {}, spared, 0.5)


def test_it_is_asked_to_end(start: Start) -> None:
    one, other = start("sleep", "60"), start("sleep", "60")
    assert kind().do(step_of(one.pid), {})
    assert one.wait(5) == -signal.SIGTERM
    assert other.poll() is None


def test_what_refuses_is_killed(start: Start) -> None:
    one = start("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    assert kind().do(step_of(one.pid), {})
    assert one.wait(5) == -signal.SIGKILL


def test_a_later_process_of_the_same_number_is_left_alone(start: Start) -> None:
    one = start("sleep", "60")
    step = Step("foreign_process", "end", "program sleep", data={"processes": [[one.pid, 1]]})
    with pytest.raises(StepNotNeededError):
        kind().do(step, {})
    assert one.poll() is None


@pytest.mark.parametrize("successor", [True, False])
def test_between_the_look_and_the_handle_a_number_may_not_change_hands(
    start: Start, monkeypatch: pytest.MonkeyPatch, *, successor: bool
) -> None:
    """The one that was meant has ended by the time of the handle; its number is a later one's, or nobody's."""
    one = start("sleep", "60")
    table = processes()
    found = table.pop(one.pid)
    if successor:
        table[one.pid] = Process(**{**vars(found), "began": found.began + 1})
    monkeypatch.setattr(process_ending, "processes", lambda: table)
    assert process_ending._opened(found) is None
    assert one.poll() is None


@pytest.mark.parametrize("services", [{"app": ("kept.service",)}, {}])
def test_what_became_a_service_or_is_spared_is_not_ended(
    start: Start, services: dict[str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = start("sleep", "60")
    step = step_of(one.pid)
    if services:
        table = {
            pid: Process(**{**vars(found), "groups": frozenset({"kept.service"})}) for pid, found in processes().items()
        }
        monkeypatch.setattr(process_ending, "processes", lambda: table)
    with pytest.raises(StepError, match="is not ended"):
        kind("sleep", services=services).do(step, {})
    assert one.poll() is None


def test_we_never_end_ourselves() -> None:
    with pytest.raises(StepError, match="belongs to this run"):
        kind().do(step_of(os.getpid()), {})


def test_what_cannot_be_killed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_ending, "_KILLED_SECONDS", 0.05)
    monkeypatch.setattr(process_ending, "_send", lambda _descriptors, _number: None)
    handle = os.pidfd_open(os.getpid())
    try:
        with pytest.raises(StepError, match="hangs in the kernel"):
            end_all([handle], 0.05)
    finally:
        os.close(handle)


def test_what_people_approve_has_no_numbers_in_it(start: Start) -> None:
    one, other = start("sleep", "60"), start("sleep", "60")
    table = processes()
    steps = [ending_steps("foreign_process", [Use(table[pid], 100, 100)])[0] for pid in (one.pid, other.pid)]
    assert steps[0].target == steps[1].target == "program sleep"
    assert steps[0].detail == steps[1].detail
    assert steps[0].undo == NO_UNDO
    assert "irreversible" in steps[0].note
    assert steps[0].data != steps[1].data
