"""Moments as people write and read them; in between they are seconds since 1970."""

from __future__ import annotations

import time
from datetime import datetime


def moment_of(text: str) -> float | None:
    """Return a moment that is written with its time zone; None for anything else: without a zone, whose would it be."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.timestamp()


def stamp(moment: float) -> str:
    """Return a moment in words."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
