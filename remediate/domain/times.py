"""Moments and time spans in words, as they stand in reasons and on screens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def span(duration: timedelta) -> str:
    """Return a time span as people read it: `4.2 s`, `3 min 20 s`, `20 min`, `4 h`, `7 d`."""
    seconds = duration.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    if seconds < 3600:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{seconds / 3600:g} h" if seconds < 86400 else f"{seconds / 86400:g} d"


def moment(time: datetime) -> str:
    """Return a moment as `2026-11-23 21:15:00Z`."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
