"""How many connections the workers of nginx have, out of how many they may have."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ansible.module_utils.process_table import Process
from ansible.module_utils.remediate_stack import Stack, StackError

SERVICE = "nginx"
_WORKER = "nginx: worker process"
_LEAVING = "is shutting down"
_DEFAULT = 512
_LIMIT = re.compile(r"^[ \t]*worker_connections[ \t]+(\d+)[ \t]*;", re.MULTILINE)


@dataclass(frozen=True)
class Connections:
    """Connections of the workers that accept new ones, by process."""

    open: dict[int, int]
    per_worker: int

    @property
    def fullest(self) -> int:
        """How many the fullest worker has: a full one goes on accepting, and closes at once what it accepts."""
        return max(self.open.values(), default=0)

    @property
    def percent(self) -> float:
        """How much the fullest worker has of what it may have."""
        return 100 * self.fullest / self.per_worker if self.per_worker else 100.0


def connections(stack: Stack, processes: Iterable[Process], count: Callable[[int], int] | None = None) -> Connections:
    """Count the connections of the workers among these processes."""
    count = count or sockets
    workers = [one for one in processes if is_worker(one)]
    if not workers:
        raise StackError("no worker of nginx runs: start it (service-outage)")
    code, output, errors = stack.exec(SERVICE, ["nginx", "-T"])
    if code != 0:
        said = (errors.strip() or output.strip() or "it printed nothing").splitlines()[-1]
        raise StackError(f"nginx does not accept its own configuration, correct that first: {said[:300]}")
    return Connections({one.pid: count(one.pid) for one in workers}, limit_in(output))


def is_worker(process: Process) -> bool:
    """Return whether a process is a worker that takes new connections."""
    return process.command.startswith(_WORKER) and _LEAVING not in process.command


def limit_in(configuration: str) -> int:
    """Return how many connections the configuration allows to a worker; the last word counts."""
    found = _LIMIT.findall(configuration)
    return int(found[-1]) if found else _DEFAULT


def sockets(pid: int) -> int:
    """Return how many sockets a process has open."""
    found = 0
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found += os.readlink(f"/proc/{pid}/fd/{descriptor}").startswith("socket:")
    return found
