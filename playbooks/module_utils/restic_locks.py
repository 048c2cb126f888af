"""Locks of a restic repository whose holder is dead: removed when that is known, never because they are in the way.

`restic unlock` takes away every lock that is older than half an hour, whoever holds it. So it is called only when every
lock that it would take is one of those that are known to be dead.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: restic refreshes a lock every five minutes as long as it works.
OLD_SECONDS = 1800.0


@dataclass(frozen=True)
class Lock:
    """A lock: who holds it, and when it was last refreshed, in seconds since 1970."""

    id: str
    host: str
    pid: int
    refreshed: float

    def __str__(self) -> str:
        """Return it as people speak of it."""
        return f"the lock of process {self.pid} on {self.host}"


def from_record(lock_id: str, record: Mapping[str, Any], seconds_of: Callable[[str], float]) -> Lock:
    """Return a lock as restic shows it."""
    return Lock(lock_id, str(record["hostname"]), int(record["pid"]), seconds_of(str(record["time"])))


@dataclass(frozen=True)
class Verdict:
    """What is thought of all locks of a repository."""

    #: May all be removed that `restic unlock` would remove.
    unlock: bool
    #: What stands in the way, or what would be removed; or nothing.
    words: str


def judge(locks: Iterable[Lock], now: float, here: str, alive: Callable[[int], bool]) -> Verdict:
    """Say whether locks may be removed: old ones, of this host, whose process is gone."""
    dead: list[str] = []
    held: list[str] = []
    for lock in locks:
        old = now - lock.refreshed > OLD_SECONDS
        gone = lock.host == here and not alive(lock.pid)
        if old and gone:
            dead.append(str(lock))
        elif old:
            why = "its process is there" if lock.host == here else f"look on {lock.host} whether it works"
            held.append(f"{lock} has not been refreshed for {(now - lock.refreshed) / 60:.0f} min: {why}")
        elif gone:
            held.append(f"{lock} is dead, and is left alone until it is {OLD_SECONDS / 60:.0f} min old")
        else:
            held.append(f"{lock} is in use")
    return Verdict(bool(dead) and not held, "; ".join(held or dead))


def process_is_there(pid: int) -> bool:
    """Return whether a process has this number here; a number that was taken by another one counts as there."""
    return os.path.exists(f"/proc/{pid}")


def this_host() -> str:
    """Return the name under which restic notes this host in its locks."""
    return socket.gethostname()
