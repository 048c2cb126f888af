"""Durations as people write them in a document: `90s`, `5m`, `4h`, `7d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_duration(value: object) -> timedelta:
    """Return the time span; raises ValueError for anything but a positive whole number and a unit (s, m, h, d)."""
    match = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"a duration such as 90s, 5m, 4h or 7d is wanted, not {value!r}")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,6}[smhd]$", "examples": ["90s", "5m", "4h", "7d"]}),
]
