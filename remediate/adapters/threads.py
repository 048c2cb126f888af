"""Carries the work on runs in threads of this process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, RLock

from remediate.engine.ports import Carry, Work


class ThreadWorkflows:
    """Implements the port `Workflows` for an attended command: work is a thread, and is gone with the process.

    That is safe because the truth is in the store: work that was lost is found there.
    """

    def __init__(self, at_once: int = 32) -> None:
        self._at_once = at_once
        self._freed: Callable[[], None] = lambda: None
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="walk")
        self._lock = RLock()
        self._work: dict[str, Future[None]] = {}
        self._stops: dict[str, Event] = {}
        self._carry: Carry | None = None

    def bind(self, carry: Carry) -> None:
        """Say what does the work; called once, before anything is started."""
        self._carry = carry

    def start(self, run_id: str, work: Work = Work.CARRY, turn: int = 0) -> None:
        """Start work on a run in a thread of its own; does nothing when it is being worked on here already."""
        del turn  # the lock of the run is what keeps others from it
        assert self._carry is not None  # noqa: S101  # the bootstrap binds it
        with self._lock:
            if self.carries(run_id):
                return
            # Known before the work begins, so that a stop that comes at once is not lost.
            stop = self._stops[run_id] = Event()
            self._work[run_id] = self._threads.submit(self._carry, run_id, work, stop)
            self._work[run_id].add_done_callback(lambda _work: self._freed())

    @property
    def has_room(self) -> bool:
        """Whether more work can be begun at once."""
        return len(self.carried()) < self._at_once

    def whenever_free(self, tell: Callable[[], None]) -> None:
        """Have somebody told each time that work has ended here."""
        self._freed = tell

    def cancel(self, run_id: str) -> None:
        """Ask the work on a run to stop; work that is not done here is left alone."""
        if run_id in self._stops:
            self._stops[run_id].set()

    def wait(self, run_id: str) -> None:
        """Wait until the work on a run ends and raise what it raised."""
        if run_id in self._work:
            self._work[run_id].result()

    def carries(self, run_id: str) -> bool:
        """Return whether a run is being worked on here."""
        with self._lock:
            return run_id in self._work and not self._work[run_id].done()

    def carried(self) -> tuple[str, ...]:
        """Return the runs that are worked on here."""
        with self._lock:
            return tuple(run_id for run_id in self._work if self.carries(run_id))

    def launch(self, lost: Event) -> None:
        """Nothing is taken but what is started here."""
        del lost  # it is this process's own

    def adopt(self) -> int:
        """Return 0: what a process that is gone had begun is found in the record."""
        return 0

    def close(self) -> None:
        """Stop taking work; what goes on is asked to stop, and waited for."""
        for stop in self._stops.values():
            stop.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
