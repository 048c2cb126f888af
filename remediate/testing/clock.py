"""The twin of the clock: time passes when it is told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event

#: Where every frozen clock starts, unless it is told otherwise.
EPOCH = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)


class FrozenClock:
    """Implements the port `Clock`: time passes only when it is waited for, or told to pass."""

    def __init__(self, now: datetime = EPOCH) -> None:
        self._now = now
        #: Every span that somebody waited for, in order.
        self.waits: list[timedelta] = []

    def now(self) -> datetime:
        """Return the time that the clock stands at."""
        return self._now

    def wait(self, duration: timedelta, stop: Event) -> None:
        """Let that much time pass at once; none when `stop` is set already."""
        if not stop.is_set():
            self.waits.append(duration)
            self.fast_forward(duration)

    def fast_forward(self, duration: timedelta) -> None:
        """Let time pass."""
        self._now += duration
