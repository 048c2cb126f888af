"""The twin of the workflows."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from remediate.engine.ports import Carry, Work


class InlineWorkflows:
    """Implements the port `Workflows` without threads: work is done at once, or when `run` is called."""

    def __init__(self, *, at_once: bool = True) -> None:
        self._at_once = at_once
        self._carry: Carry | None = None
        self._waiting: dict[str, Work] = {}
        self._stops: dict[str, Event] = {}
        self._raised: dict[str, Exception] = {}
        self._ended: set[str] = set()
        self._freed: Callable[[], None] = lambda: None
        #: How much work may wait here before there is no room for more.
        self.room = 1_000_000

    def bind(self, carry: Carry) -> None:
        """Say what does the work."""
        self._carry = carry

    def start(self, run_id: str, work: Work = Work.CARRY, turn: int = 0) -> None:
        """Take work; what it raises is kept for `wait`."""
        del turn  # there is nobody else who could start it
        if self.carries(run_id):
            return
        self._stops[run_id] = Event()
        self._waiting[run_id] = work
        self._ended.discard(run_id)
        if self._at_once:
            self._do(run_id)

    @property
    def has_room(self) -> bool:
        """Whether more work can be begun at once."""
        return self.room > len(self._waiting)

    def whenever_free(self, tell: Callable[[], None]) -> None:
        """Have somebody told each time that work has ended here."""
        self._freed = tell

    def run(self) -> None:
        """Do all work that waits, in the order in which it was started."""
        for run_id in list(self._waiting):
            self._do(run_id)

    def cancel(self, run_id: str) -> None:
        """Ask the work on a run to stop; work that is not done here is left alone."""
        if run_id in self._stops:
            self._stops[run_id].set()

    def wait(self, run_id: str) -> None:
        """Do work that still waits, and raise what it raised."""
        if run_id in self._waiting:
            self._do(run_id)
        if run_id in self._raised:
            raise self._raised[run_id]

    def carries(self, run_id: str) -> bool:
        """Return whether work on a run waits here."""
        return run_id in self._waiting

    def carried(self) -> tuple[str, ...]:
        """Return the runs whose work waits or goes on here."""
        return tuple(self._stops.keys() - self._ended)

    def launch(self, lost: Event) -> None:
        """Nothing is taken but what is started here."""
        del lost  # it is this process's own

    def adopt(self) -> int:
        """Return 0: what a process that is gone had begun is found in the record."""
        return 0

    def close(self) -> None:
        """Ask everything to stop; what waited is not done."""
        for stop in self._stops.values():
            stop.set()
        self._waiting.clear()

    def _do(self, run_id: str) -> None:
        assert self._carry is not None  # noqa: S101  # the engine binds it
        work = self._waiting.pop(run_id)
        self._raised.pop(run_id, None)
        try:
            self._carry(run_id, work, self._stops[run_id])
        except Exception as error:  # noqa: BLE001  # as a thread would: carried over to whoever waits
            self._raised[run_id] = error
        finally:
            self._ended.add(run_id)
            self._freed()
