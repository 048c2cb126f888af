"""Ends a long module when whoever started it is gone, and children with it."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import threading

_PR_SET_PDEATHSIG = 1
_OUTPUT = 1
#: The exit code that a shell would report for SIGPIPE.
_CONTROLLER_GONE = 128 + signal.SIGPIPE


def stop_with_controller() -> None:
    """Watch standard output from a thread: the moment nobody can read it any more, this process ends.

    Killing `ansible-playbook` closes the connection but not the module on the host, which would go on acting.
    """
    threading.Thread(target=_watch, name="controller-watch", daemon=True).start()


def _watch() -> None:
    poll = select.poll()
    poll.register(_OUTPUT, 0)  # errors and hang-ups are always reported
    while True:
        for _, event in poll.poll():
            if event & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
                os._exit(_CONTROLLER_GONE)


def die_with_parent() -> None:
    """Ask the kernel to kill this (child) process when its parent ends; for `preexec_fn`."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def run(arguments: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run a program to its end with its output captured; it never outlives this process."""
    return subprocess.run(
        arguments,
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="backslashreplace",
        preexec_fn=die_with_parent,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
    )
