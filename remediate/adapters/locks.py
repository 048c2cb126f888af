"""Locks of runs and hosts: `flock` on files, so that the kernel drops them with the process that held them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event

from remediate.errors import HostBusy, StateUnusable


class FileLocks:
    """Implements the port `Locks` with one file per run and per host below a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def hold(self, run_id: str, hosts: Iterable[str], *, lost: Event | None = None) -> Iterator[None]:
        """Hold the locks of a run and, in a fixed order, of its hosts; a living process does not lose them."""
        del lost
        with ExitStack() as held:
            held.enter_context(self._one(f"run-{run_id}", run_id, f"run {run_id}"))
            for host in sorted(hosts):
                held.enter_context(self._one(f"host-{host}", run_id, host))
            yield

    def alive(self, run_id: str) -> bool:
        """Return whether some process holds the lock of this run."""
        try:
            with self._one(f"run-{run_id}", None, run_id):
                return False
        except HostBusy:
            return True

    @contextmanager
    def _one(self, name: str, owner: str | None, what: str) -> Iterator[None]:
        """Hold one lock file; the holder's run id is written in it for whoever finds it locked."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StateUnusable(f"The lock {self._directory / name} cannot be used: {error.strerror}.") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 200, 0).decode("ascii", "replace") or "another process"
                raise HostBusy(
                    f"{what} is being worked on by run {holder}; nothing was done.",
                    next_step=f"watch it with `remediate runs show {holder}`",
                ) from error
            if owner is not None:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, owner.encode(), 0)
            yield
        finally:
            os.close(descriptor)
