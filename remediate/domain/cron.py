"""When a cron expression is due, by the clock on the wall of a time zone. Pure; what is told are moments in UTC.

Where the clock is put forward, a time of day that is skipped counts as the first moment after the gap; where it is
put back, one that comes twice counts once, at its first coming. What repeats within the hour goes on through both, by
the time that passes. These are the manners of Debian's cron.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

#: Further than this no clock is put back.
_LARGEST_CHANGE = timedelta(hours=3)
#: So many occurrences are looked at to find out how close two of them come.
_LOOKED_AT = 200
#: The first year of a calendar that holds every change of the clock and a leap day within the next five.
_FROM = datetime(2026, 1, 1, tzinfo=UTC)


def check_cron(text: str) -> None:
    """Raise ValueError where this is no expression of five fields, or one that is never due."""
    if len(text.split()) != 5:
        raise ValueError(f'five fields are wanted (minute hour day month weekday), such as "0 2 * * *", not {text!r}')
    try:
        found = following(text, ZoneInfo("UTC"), _FROM)
    except CronSimError as error:
        raise ValueError(f"{text!r} is no cron expression: {str(error).removeprefix('Bad ')} is wrong") from error
    if found is None:
        raise ValueError(f"{text!r} is never due: there is no such day")


def following(cron: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    """Return the first moment after another one at which an expression is due; None: never again."""
    return next((due for due in _onwards(cron, zone, after) if due > after), None)


def latest(cron: str, zone: ZoneInfo, now: datetime) -> datetime | None:
    """Return the last moment, up to and including `now`, at which an expression was due; None: never yet."""
    # Where the clock was put back a moment ago, what was due in the hour before stands later on the wall than `now`.
    backwards = CronSim(cron, (now + _LARGEST_CHANGE).astimezone(zone), reverse=True)
    return next((due for one in backwards if (due := one.astimezone(UTC)) <= now), None)


def shortest_gap(cron: str, zone: ZoneInfo) -> timedelta | None:
    """Return how close two occurrences of an expression come; None where there is only one of them."""
    found = islice(_onwards(cron, zone, _FROM), _LOOKED_AT)
    return min((after - before for before, after in pairwise(found) if after > before), default=None)


def _onwards(cron: str, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    return (due.astimezone(UTC) for due in CronSim(cron, after.astimezone(zone)))
