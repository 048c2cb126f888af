"""Runs that are stopped, and programs that are killed: nothing of Ansible outlives them, and nothing is forgotten."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
from threading import Timer

import pytest

import remediate
from remediate.domain.run import RunStatus
from remediate.domain.runbook import Phase
from remediate.engine.events import PhaseEnded, StatusChanged
from tests.integration.local import LocalSite, below, eventually, sleeping, still_alive

#: How long anything of Ansible may go on after its program was killed.
GRACE_SECONDS = 1.0


@pytest.fixture
def seconds() -> int:
    """A number of seconds that no other process on this machine sleeps, far beyond any test."""
    return random.randint(10**6, 10**7)  # noqa: S311  # a name, not a secret


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if word in line:
            return
    pytest.fail(f"the command ended before it said {word!r}")


def kill_and_see_everything_end(process: subprocess.Popen[str]) -> None:
    processes = below(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    assert processes, "nothing was going on, so nothing is proven"
    assert eventually(lambda: not still_alive(processes), GRACE_SECONDS), still_alive(processes)


def run_id(local: LocalSite) -> str:
    (found,) = (local.state / "runs").iterdir()
    return found.name


def wait_for_sleep(process: subprocess.Popen[str], seconds: int) -> None:
    wait_for(process, "fixing")
    assert eventually(lambda: sleeping(process.pid, seconds)), "the fix never came to its sleep"


def test_nothing_goes_on_after_a_killed_fix_it_is_accounted_for_and_the_next_run_cures(
    local: LocalSite, seconds: int
) -> None:
    with local.curing("--seconds", str(seconds)) as process:
        wait_for_sleep(process, seconds)
        kill_and_see_everything_end(process)
    shown = local.command("runs", "show", run_id(local))

    assert "was interrupted: the process that carried it out is gone; it was fixing." in shown.stderr
    assert "Asking near what this run did there before it was interrupted" in shown.stderr
    assert re.findall(r"^  \d\. (.+?): (.+?), ", shown.stdout, re.MULTILINE)[-2:] == [
        ("fix", "broken off"),
        ("verify", "ok"),
    ]
    assert local.file.exists()
    assert local.cure().returncode == 0
    assert not local.file.exists()


@pytest.mark.parametrize("moment", ["diagnosing", "snapshotting"])
def test_nothing_goes_on_after_a_command_is_killed_before_its_fix_and_nothing_was_changed(
    local: LocalSite, moment: str
) -> None:
    with local.curing() as process:
        wait_for(process, moment)
        kill_and_see_everything_end(process)
    listed = local.command("runs")

    assert f"was interrupted: the process that carried it out is gone; it was {moment}." in listed.stderr
    assert re.findall(r"stray-file +(\w+)", listed.stdout) == ["interrupted"]
    assert local.file.read_text() == "stray"


@pytest.mark.parametrize(
    "point",
    ["supervisor.start.before", "supervisor.start.after", "executor.run_phase.fix.after", "store.begin_phase.after#3"],
)
def test_a_command_that_dies_at_a_point_is_forgotten_by_nobody_and_the_next_one_cures(
    local: LocalSite, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMEDIATE_FAULT", f"{point}:crash")
    killed = local.cure()
    monkeypatch.delenv("REMEDIATE_FAULT")
    runs = json.loads(local.command("runs", "--json").stdout)
    again = local.cure()

    assert killed.returncode == -signal.SIGKILL
    assert [run["status"] for run in runs] == ([] if point.startswith("supervisor") else ["interrupted"])
    assert again.returncode == 0, again.stderr
    assert not local.file.exists()


def test_a_fault_that_cannot_be_understood_is_a_usage_error_and_nothing_is_run(
    local: LocalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMEDIATE_FAULT", "store.move.before:burn")
    refused = local.cure()

    assert refused.returncode == 2
    assert "REMEDIATE_FAULT is 'store.move.before:burn'" in refused.stderr
    assert not local.executed


def test_a_command_whose_supervisor_is_killed_ends_all_of_ansible_and_says_what_state_it_left(
    local: LocalSite, seconds: int
) -> None:
    with local.curing("--seconds", str(seconds)) as process:
        wait_for_sleep(process, seconds)
        processes = below(process.pid)
        supervisor = next(pid for pid in processes if _parent(pid) == process.pid)
        os.kill(supervisor, signal.SIGKILL)
        assert eventually(lambda: not still_alive(processes), GRACE_SECONDS), still_alive(processes)
        said, errors = process.communicate(timeout=30)

    assert (process.returncode, errors) == (5, "")
    assert "The process that runs Ansible ended unexpectedly; everything it had started was ended" in said
    assert "State now: not cured: near (file: still there)" in said


def test_a_play_does_not_go_on_when_the_command_and_its_supervisor_are_killed_together(local: LocalSite) -> None:
    with local.curing("--seconds", "2") as process:
        wait_for_sleep(process, 2)
        processes = below(process.pid)
        supervisor = next(pid for pid in processes if _parent(pid) == process.pid)
        os.kill(process.pid, signal.SIGSTOP)
        os.kill(supervisor, signal.SIGKILL)
        os.kill(process.pid, signal.SIGKILL)
        assert eventually(lambda: not still_alive(processes)), still_alive(processes)

    assert local.file.exists(), "the task after the one that was going on was begun"


def test_a_stop_ends_the_running_task_at_once_and_looks_at_the_state(
    local: LocalSite, opened: remediate.Site, seconds: int
) -> None:
    live = opened.start("stray-file", hosts=["near"], parameters={"path": str(local.file), "seconds": seconds})
    stopped: list[list[str]] = []

    def stop() -> None:
        assert eventually(lambda: sleeping(os.getpid(), seconds))
        processes = below(os.getpid())
        live.stop()
        eventually(lambda: not still_alive(processes), GRACE_SECONDS)
        stopped.append(still_alive(processes))

    said = []
    for event in live.events():
        said.append(event)
        if isinstance(event, StatusChanged) and event.status is RunStatus.FIXING:
            Timer(0, stop).start()
    run = live.wait()

    assert stopped == [[]]
    assert (run.status, run.outcome) == (
        RunStatus.CANCELED,
        "stopped by request. State now: not cured: near (file: still there)",
    )
    assert [(event.phase, event.outcome.value) for event in said if isinstance(event, PhaseEnded)][-2:] == [
        (Phase.FIX, "canceled"),
        (Phase.VERIFY, "ok"),
    ]
    assert local.file.exists()


def test_ctrl_c_stops_in_order_and_says_what_state_it_left(local: LocalSite, seconds: int) -> None:
    with local.curing("--seconds", str(seconds)) as process:
        wait_for_sleep(process, seconds)
        processes = below(process.pid)
        os.kill(process.pid, signal.SIGINT)
        said, errors = process.communicate(timeout=30)

    assert process.returncode == 5
    assert "Stopping: the running task is ended, then the state is verified." in errors
    assert "STOPPED  stopped by request. State now: not cured: near (file: still there)" in said
    assert still_alive(processes) == []


def test_a_host_that_a_command_works_on_is_left_alone_by_another_one(local: LocalSite, seconds: int) -> None:
    with local.curing("--seconds", str(seconds)) as process:
        wait_for_sleep(process, seconds)
        second = local.cure()
        listed = json.loads(local.command("runs", "--json").stdout)

    parked, working = listed
    assert (second.returncode, parked["status"], working["status"]) == (7, "parked", "fixing")
    assert f"near is being worked on by run {working['id']}; nothing was done." in second.stderr
    assert f"next: watch it with `remediate runs show {working['id']}`" in second.stderr


def _parent(process: int) -> int:
    with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as stat:  # noqa: PTH123  # one line of a kernel file
        return int(stat.read().rpartition(")")[2].split()[1])
