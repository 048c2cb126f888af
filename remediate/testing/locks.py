"""The twin of the locks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Event, RLock

from remediate.errors import HostBusy, StateUnusable


class MemoryLocks:
    """Implements the port `Locks` among the walks of one process."""

    def __init__(self) -> None:
        self._lock = RLock()
        #: The run that holds each lock, and the alarm that tells one holding of it from another.
        self._holders: dict[str, tuple[str, Event]] = {}

    @contextmanager
    def hold(self, run_id: str, hosts: Iterable[str], *, lost: Event | None = None) -> Iterator[None]:
        """Hold the locks of a run and its hosts, or none of them; they are lost when `lose` says so."""
        wanted = {f"run-{run_id}": f"run {run_id}", **{f"host-{host}": host for host in sorted(hosts)}}
        alarm = lost or Event()
        with self._lock:
            if taken := next((name for name in wanted if name in self._holders), None):
                holder, _ = self._holders[taken]
                raise HostBusy(
                    f"{wanted[taken]} is being worked on by run {holder}; nothing was done.",
                    next_step=f"watch it with `remediate runs show {holder}`",
                )
            self._holders.update(dict.fromkeys(wanted, (run_id, alarm)))
        try:
            yield
        finally:
            kept = self._release(alarm)
        if not kept:
            raise StateUnusable(f"The locks of run {run_id} were lost while it was at work, so the work was stopped.")

    def alive(self, run_id: str) -> bool:
        """Return whether somebody holds the lock of this run."""
        with self._lock:
            return f"run-{run_id}" in self._holders

    def lose(self, run_id: str) -> None:
        """Drop the locks of a run while it is at work, as a database does that is restarted."""
        with self._lock:
            _, alarm = self._holders[f"run-{run_id}"]
            self._release(alarm)
        alarm.set()

    def _release(self, alarm: Event) -> bool:
        """Let go what one holding holds; return whether that was anything."""
        with self._lock:
            held = [name for name, (_, owner) in self._holders.items() if owner is alarm]
            for name in held:
                del self._holders[name]
            return bool(held)
