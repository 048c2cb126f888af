"""kill -9 of the command in the middle of the fix: nothing acts on, nothing is lost, the next command cures."""

from __future__ import annotations

import random
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.lab.hosts import SOAK, LabHost, Remediate, fill

pytestmark = pytest.mark.lab

_ROUNDS = 10 if SOAK else 1


def _sessions(program: int) -> list[str]:
    """The directories of the sessions that a program has started: each names its supervisor and all below."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            command = (process / "cmdline").read_bytes().split(b"\0")
            if parent == program and b"remediate.adapters.ansible.supervisor" in command:
                found.append(command[-2].decode())
    return found


def _processes_of(session: str) -> list[str]:
    """Processes on this machine that belong to a session, by their command or by what they inherited."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if session.encode() in command + (process / "environ").read_bytes():
                found.append(command.replace(b"\0", b" ").decode("utf-8", "replace").strip())
    return found


def _wait_for_fix(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if " fixing: " in line:
            return
    pytest.fail("the run ended before its fix")


@pytest.mark.parametrize("attempt", range(_ROUNDS))
def test_kill_in_the_middle_of_the_fix(host: LabHost, remediate: Remediate, attempt: int) -> None:
    fill(host, "demo")
    moment = random.Random(f"{host.name}-{attempt}").uniform(0.05, 2.0)  # noqa: S311  # a moment, not a secret
    with subprocess.Popen(
        remediate.command("disk-full", "--limit", host.name, "--yes"),
        env=remediate.environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        _wait_for_fix(process)
        sessions = _sessions(process.pid)
        time.sleep(moment)
        process.kill()
    time.sleep(1)

    assert sessions
    assert [left for session in sessions for left in _processes_of(session)] == []
    assert host.ansible_processes() == []
    listed = remediate("runs")
    assert "interrupted" in listed.stdout
    run_id = listed.stdout.split()[0]
    shown = remediate("runs", "show", run_id).stdout
    assert "it was fixing" in shown
    assert "did " in shown or moment < 0.7, shown
    cured = remediate.json("disk-full", "--limit", host.name, "--yes")
    assert cured["status"] in {"succeeded", "not_needed"}
    assert host.used_percent() < 80
    assert host.health() == 200
