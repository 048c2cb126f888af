"""Runs a program on behalf of a stack, and the words in which a stack answers."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple

from ansible.module_utils.controller_watch import die_with_parent

RUNNING = "running"
MISSING = "missing"
#: What is started by this leaves the processors to those who serve: it has next to nothing of them while all want them.
GENTLY = ("nice", "-n", "19")
#: How long an operation may take before it counts as failed.
SECONDS = 60.0


class StackError(Exception):
    """A service is unknown, its state cannot be told, or what was asked of it did not happen."""


class ServiceState(NamedTuple):
    """How a service is: whether it runs, the state in a word or two, and the tool's own words."""

    running: bool
    state: str
    detail: str


class Finished(NamedTuple):
    """How a program ended, and what it printed."""

    code: int
    output: str
    errors: str

    @property
    def last_line(self) -> str:
        """The last line that the program printed, safe to show."""
        lines = (self.errors.strip() or self.output.strip()).splitlines() or ["it printed nothing"]
        return plain(lines[-1])[:500]


def plain(line: str) -> str:
    """Return a line without what a terminal would obey: services print what strangers send them."""
    return "".join(character if character.isprintable() else " " for character in line)


def run_program(
    arguments: Sequence[str],
    timeout: float,
    *,
    given: str = "",
    stdin: int = subprocess.DEVNULL,
    stdout: int | BinaryIO = subprocess.PIPE,
    **options: Any,
) -> Finished:
    """Run a program to its end; it, and what it started, does not outlive its time or this process.

    It reads `given`, or from an open descriptor, what must not stand on a command line; what it prints may go into an
    open file, however much that is.
    """
    try:
        process = subprocess.Popen(
            list(arguments),
            stdin=subprocess.PIPE if given else stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="backslashreplace",
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - the kernel offers no other way to die with the parent
            **options,
        )
    except OSError as error:
        raise StackError(f"{arguments[0]} cannot be started: {error}") from error
    with process:
        try:
            printed, errors = process.communicate(given or None, timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise StackError(f"{' '.join(arguments)} did not end within {timeout:g} s and was stopped") from None
        return Finished(process.returncode, printed or "", errors)
