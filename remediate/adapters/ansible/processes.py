"""Processes below this one: finding and ending all of them, however they were started."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Make orphans among our descendants our own children, so that none escapes by losing its parent."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it is gone."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, argument: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def descendants(root: int) -> dict[int, str]:
    """Return the living processes below `root`, each with its command line.

    One that has ended and waits to be reaped is not among them, but what is below it is: of a killed process with
    threads the first may have ended while another one still holds the children.
    """
    children: dict[int, list[int]] = {}
    ended: set[int] = set()
    for entry in os.listdir("/proc"):  # noqa: PTH208  # a Path per process is waste in a loop that must be quick
        if entry.isdigit() and (status := _status(int(entry))):
            state, parent = status
            children.setdefault(parent, []).append(int(entry))
            if state == "Z":
                ended.add(int(entry))
    found: list[int] = []
    waiting = list(children.get(root, ()))
    while waiting:
        process = waiting.pop()
        found.append(process)
        waiting.extend(children.get(process, ()))
    return {process: _command_line(process) for process in found if process not in ended}


def _status(process: int) -> tuple[str, int] | None:
    """Return the state and the parent of a process; None when it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1])


def _command_line(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""


def is_connection(_process: int, command: str) -> bool:
    """Return whether a process is a connection that ssh keeps open: it runs nothing, it only carries what does."""
    return command.startswith("ssh: ") and "[mux]" in command


def end_descendants(spare: Callable[[int, str], bool] = lambda _process, _command: False, seconds: float = 5.0) -> int:
    """Kill every process below this one that is not spared; return how many were found.

    Repeats until none is left, because a process may fork while it is being looked for.
    """
    deadline = time.monotonic() + seconds
    ended: set[int] = set()
    while time.monotonic() < deadline:
        doomed = [process for process, command in descendants(os.getpid()).items() if not spare(process, command)]
        if not doomed:
            break
        for process in doomed:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        ended.update(doomed)
        time.sleep(0.005)
    _reap(ended)
    return len(ended)


def end_connections(directory: Path) -> None:
    """Close the connections that ssh keeps open below a directory, whoever opened them, and remove it."""
    commands = {int(entry): _command_line(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()}  # noqa: PTH208  # as above
    open_there = {
        process
        for process, command in commands.items()
        if is_connection(process, command) and command.startswith(f"ssh: {directory}/")
    }
    for process in open_there:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)
    _reap(open_there)
    shutil.rmtree(directory, ignore_errors=True)


def _reap(processes: set[int]) -> None:
    for process in processes:
        with suppress(ChildProcessError):
            os.waitpid(process, os.WNOHANG)
