"""Freezes: times in which nothing is begun, once or every week, in a named time zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from remediate.domain.value import Value


class Weekday(StrEnum):
    """A day of the week, in the order of `date.weekday`."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


_WEEK = tuple(Weekday)


class Window(Value):
    """A span of time: its first moment, and the first moment after it."""

    begins: datetime
    ends: datetime

    def holds(self, now: datetime) -> bool:
        """Return whether a moment is in the window."""
        return self.begins <= now < self.ends


class Once(Value):
    """One window, at moments that do not depend on a zone."""

    window: Window

    def windows(self, now: datetime) -> Iterator[Window]:
        """Yield the window, wherever `now` is."""
        del now
        yield self.window


class Weekly(Value):
    """A window on some days of every week, by the clock on the wall of a zone.

    With `ends` at or before `begins` it ends on the next day.

    A time that the clock shows twice, or skips, when summer time begins or ends could be read in two ways: the window
    begins at the earlier reading and ends at the later one. In doubt it is frozen.
    """

    days: frozenset[Weekday]
    begins: time
    ends: time
    zone: ZoneInfo

    def windows(self, now: datetime) -> Iterator[Window]:
        """Yield the windows from two days before `now` to nine days after it, oldest first."""
        today = now.astimezone(self.zone).date()
        for offset in range(-2, 10):
            day = today + timedelta(days=offset)
            if _WEEK[day.weekday()] in self.days:
                yield self._on(day)

    def _on(self, day: date) -> Window:
        last = day if self.ends > self.begins else day + timedelta(days=1)
        return Window(
            begins=min(_readings(day, self.begins, self.zone)), ends=max(_readings(last, self.ends, self.zone))
        )


def _readings(day: date, clock: time, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return both moments that a time on the wall may mean; on most days they are the same."""
    shown = datetime.combine(day, clock, tzinfo=zone)
    return shown.replace(fold=0).astimezone(UTC), shown.replace(fold=1).astimezone(UTC)


class Freeze(Value):
    """A time in which nothing is begun, on some groups of hosts and by some runbooks; none named means all of them."""

    name: str
    when: Once | Weekly
    groups: tuple[str, ...] = ()
    runbooks: tuple[str, ...] = ()
    #: Binds SEV1 too, and cannot be overridden.
    hard: bool = False
    reason: str

    def concerns(self, runbook: str, groups: frozenset[str]) -> bool:
        """Return whether the freeze is about a runbook on hosts that are in these groups."""
        by_runbook = not self.runbooks or runbook in self.runbooks
        return by_runbook and (not self.groups or not groups.isdisjoint(self.groups))

    def window_at(self, now: datetime) -> Window | None:
        """Return the window that holds now; windows that touch each other are one."""
        return next((window for window in self._merged(now) if window.holds(now)), None)

    def next_window(self, now: datetime) -> Window | None:
        """Return the next window that begins after now; weekly ones are looked for nine days ahead."""
        return next((window for window in self._merged(now) if window.begins > now), None)

    def _merged(self, now: datetime) -> Iterator[Window]:
        current: Window | None = None
        for window in self.when.windows(now):
            if current and window.begins <= current.ends:
                current = Window(begins=current.begins, ends=max(current.ends, window.ends))
                continue
            if current:
                yield current
            current = window
        if current:
            yield current
