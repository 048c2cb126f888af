"""The twin of the turns of schedules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from threading import RLock

from remediate.domain.audit import AuditEntry
from remediate.domain.schedule import Turn, turn_entry
from remediate.errors import IllegalTransition


class MemorySchedules:
    """Implements the port `Schedules` in memory; `note` is given what the trail would say."""

    def __init__(self, note: Callable[[AuditEntry], object] = lambda _entry: None) -> None:
        self._lock = RLock()
        self._note = note
        self._turns: dict[tuple[str, datetime], Turn] = {}

    def decide(self, turn: Turn) -> None:
        """Record what was decided about an occurrence."""
        with self._lock:
            if (turn.schedule, turn.due) in self._turns:
                raise IllegalTransition(f"It was decided already what becomes of {turn.schedule}, due {turn.due}.")
            self._turns[turn.schedule, turn.due] = turn
            self._note(turn_entry(turn))

    def last(self, schedule: str) -> Turn | None:
        """Return the turn that was due last."""
        return next(iter(self.turns(schedule)), None)

    def last_run(self, schedule: str) -> Turn | None:
        """Return the turn that was due last, of those that a run was made of."""
        return next((turn for turn in self.turns(schedule, limit=len(self._turns)) if turn.run_id), None)

    def turns(self, schedule: str, *, limit: int = 100) -> tuple[Turn, ...]:
        """Return turns, those that were due last first."""
        with self._lock:
            found = [turn for (name, _), turn in self._turns.items() if name == schedule]
        return tuple(sorted(found, key=lambda turn: turn.due, reverse=True)[:limit])
