"""The clock of the machine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event


class SystemClock:
    """Implements the port `Clock` with the machine's time, in UTC."""

    def now(self) -> datetime:
        """Return the time now, in UTC."""
        return datetime.now(UTC)

    def wait(self, duration: timedelta, stop: Event) -> None:
        """Wait that long, or until `stop`."""
        stop.wait(duration.total_seconds())
