"""A process outside of the stack is ended: that very process, and no other that has got its number since."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable
from typing import Any

from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import NO_UNDO, Step, StepError, StepNotNeededError
from ansible.module_utils.process_owners import Owners, own_family
from ansible.module_utils.process_table import Process, Use, processes

#: How long the kernel gets to take away what cannot refuse any more.
_KILLED_SECONDS = 5.0


def ending_steps(cause: str, found: Iterable[Use]) -> list[Step]:
    """Return a step for each program, with all of its processes that were found."""
    by_name: dict[str, list[Process]] = {}
    for use in found:
        by_name.setdefault(use.process.name, []).append(use.process)
    return [
        Step(
            cause,
            "end",
            f"program {name}",
            NO_UNDO,
            note=f"process {', '.join(str(one.pid) for one in group[:8])}; irreversible: its unsaved work is lost",
            data={"processes": [list(one.key) for one in group]},
        )
        for name, group in sorted(by_name.items())
    ]


class EndProcess(Kind):
    """Asks processes to end and, when they do not, makes them."""

    def __init__(self, owners: dict[str, tuple[str, ...]] | Any, spared: Iterable[str], grace: float) -> None:
        """`owners` returns the marks of services: who belongs to the stack is asked again before anything is ended."""
        self._services = owners
        self._spared = tuple(spared)
        self._grace = grace

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """End those that are still there and still nobody's."""
        table = processes()
        owners = Owners(self._services(), own_family(table), self._spared)
        wanted = {tuple(key) for key in step.data["processes"]}
        there = [one for one in table.values() if one.key in wanted]
        if not there:
            raise StepNotNeededError("it has ended meanwhile")
        for one in there:
            if reason := owners.reason_to_spare(one):
                raise StepError(f"{step.target}, process {one.pid}, is not ended: {reason}")
        opened = [(one, descriptor) for one in there if (descriptor := _opened(one)) is not None]
        try:
            end_all([descriptor for _, descriptor in opened], self._grace)
        finally:
            for _, descriptor in opened:
                os.close(descriptor)
        return True


def _opened(one: Process) -> int | None:
    """Return a handle of exactly this process, or nothing when it has ended."""
    try:
        descriptor = os.pidfd_open(one.pid)
    except ProcessLookupError:
        return None
    # Whether the handle is of the one that was meant can only be seen now that nobody else can get its number.
    now = processes().get(one.pid)
    if now is None or now.key != one.key:
        os.close(descriptor)
        return None
    return descriptor


def end_all(descriptors: list[int], grace: float) -> None:
    """Ask all of them to end, give them some time, and kill the rest."""
    _send(descriptors, signal.SIGTERM)
    left = _waited_for(descriptors, grace)
    _send(left, signal.SIGKILL)
    if _waited_for(left, _KILLED_SECONDS):
        raise StepError("it does not end although it was killed: it hangs in the kernel; look at the disks of the host")


def _send(descriptors: list[int], number: signal.Signals) -> None:
    for descriptor in descriptors:
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            continue


def _waited_for(descriptors: list[int], seconds: float) -> list[int]:
    """Wait until these have ended, and return those that have not in time."""
    left, until = list(descriptors), time.monotonic() + seconds
    while left:
        remaining = until - time.monotonic()
        ended, _, _ = select.select(left, [], [], max(0.0, remaining))
        left = [one for one in left if one not in ended]
        if remaining <= 0:
            break
    return left
