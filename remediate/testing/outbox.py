"""The twin of the outbox, and a channel that only remembers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from threading import RLock

from remediate.domain.audit import AuditEntry
from remediate.domain.delivery import delivered_entry, given_up_entry
from remediate.domain.notice import Notice
from remediate.domain.people import Person


class MemoryOutbox:
    """Implements the port `Outbox` in memory, for one process; `note` is given what the audit trail would keep."""

    def __init__(self, note: Callable[[AuditEntry], object] | None = None) -> None:
        self._lock = RLock()
        self._notices: dict[str, Notice] = {}
        #: The entries of the audit trail, oldest first.
        self.audited: list[AuditEntry] = []
        self._note = note or self.audited.append

    def put(self, new: Iterable[Notice]) -> None:
        """Add notices; one whose key is known already is left as it is."""
        with self._lock:
            for notice in new:
                self._notices.setdefault(notice.key, notice)

    def waiting(self, now: datetime) -> tuple[str, ...]:
        """Return the channels that have notices due, by name."""
        with self._lock:
            return tuple(sorted({notice.channel for notice in self._notices.values() if _due(notice, now)}))

    def claim(self, channel: str, now: datetime, *, lease: timedelta, limit: int = 1) -> tuple[Notice, ...]:
        """Take due notices of a channel until the lease ends."""
        with self._lock:
            due = [notice for notice in self._notices.values() if notice.channel == channel and _due(notice, now)]
            due.sort(key=lambda notice: (notice.next_at, notice.key))
            return tuple(
                self._change(notice, next_at=now + lease, attempts=notice.attempts + 1) for notice in due[:limit]
            )

    def delivered(self, notice: Notice, now: datetime) -> None:
        """Record that a notice has arrived; whose claim it was by then does not matter."""
        with self._lock:
            kept = self._notices.get(notice.key)
            if kept and kept.delivered_at is None:
                self._change(kept, delivered_at=now, given_up_at=None, last_error="")
                self._note(delivered_entry(notice, now))

    def failed(self, notice: Notice, error: str, *, again_at: datetime | None, now: datetime) -> None:
        """Record that a notice did not arrive, and when to try again, or that it is given up."""
        with self._lock:
            kept = self._notices.get(notice.key)
            if kept is None or kept.ended or kept.attempts != notice.attempts:
                return
            if again_at:
                self._change(kept, last_error=error, next_at=again_at)
            else:
                self._change(kept, last_error=error, given_up_at=now)
                self._note(given_up_entry(notice, error, now))

    def notices(self, *, prefix: str = "", limit: int = 100) -> tuple[Notice, ...]:
        """Return notices whose key begins so, newest first."""
        with self._lock:
            found = [notice for notice in self._notices.values() if notice.key.startswith(prefix)]
        found.sort(key=lambda notice: notice.key)
        found.sort(key=lambda notice: notice.created_at, reverse=True)
        return tuple(found[:limit])

    def _change(self, notice: Notice, **change: object) -> Notice:
        self._notices[notice.key] = notice.model_copy(update=change)
        return self._notices[notice.key]


class FakeChannel:
    """Implements the port `Channel`: remembers what was sent, or raises what it is told to, one after the other."""

    def __init__(self, failures: Sequence[Exception] = ()) -> None:
        self._failures = list(failures)
        self.sent: list[tuple[Notice, Person]] = []

    def send(self, notice: Notice, person: Person) -> None:
        """Remember the notice, unless another failure is due."""
        if self._failures:
            raise self._failures.pop(0)
        self.sent.append((notice, person))


def _due(notice: Notice, now: datetime) -> bool:
    return not notice.ended and notice.next_at <= now
