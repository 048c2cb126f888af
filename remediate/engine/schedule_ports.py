"""What the engine needs from the outside about schedules."""

from __future__ import annotations

from typing import Protocol

from remediate.domain.schedule import Turn


class Schedules(Protocol):
    """What was decided about the occurrences of schedules: one record for each, which is never changed."""

    def decide(self, turn: Turn) -> None:
        """Record what was decided about an occurrence; raises IllegalTransition when something was already."""
        ...

    def last(self, schedule: str) -> Turn | None:
        """Return the turn that was due last, of those that were decided about."""
        ...

    def last_run(self, schedule: str) -> Turn | None:
        """Return the turn that was due last, of those that a run was made of."""
        ...

    def turns(self, schedule: str, *, limit: int = 100) -> tuple[Turn, ...]:
        """Return turns, those that were due last first."""
        ...
