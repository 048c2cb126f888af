"""How far back an expression of Prometheus looks: samples that are older than that can no longer move its answer.

Only what makes an expression look back is read: ranges, subqueries and offsets, one inside the other. Whatever cannot
be read gives None, and then nobody can tell when the answer is about the time after a fix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}
_DURATION = r"(?:[0-9]+(?:ms|[smhdwy]))+"
_TOKEN = re.compile(
    r"""
    (?P<skipped>\#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
    |(?P<range>\[(?P<length>[^\]]*)\])
    |(?P<offset>\boffset\s+(?P<back>-?\s*[0-9a-z.]+))
    |(?P<name>[A-Za-z_:][A-Za-z0-9_:]*|\{)
    |(?P<open>\()
    |(?P<close>\))
    |(?P<at>@)
    |(?P<stray>[\[\]"'`])
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: An expression that is longer, or longer than anybody watches, is not worked out.
_LONGEST_TEXT = 20_000
_LONGEST = timedelta(days=400)


def look_back(expression: str) -> timedelta | None:
    """Return how far back an expression looks, beside the newest sample of each series; None when that is unknown."""
    if len(expression) > _LONGEST_TEXT:
        return None
    try:
        found = _walked(expression)
    except (ValueError, OverflowError):
        return None
    return found if found <= _LONGEST else None


def _walked(expression: str) -> timedelta:
    """Walk through the expression; of each bracket the furthest look is kept, and that of what stands last in it."""
    nothing = timedelta(0)
    levels = [[nothing, nothing]]
    for kind, text in _tokens(expression):
        if kind == "open":
            levels.append([nothing, nothing])
        elif kind == "close":
            if len(levels) == 1:
                raise ValueError("a bracket is closed that was not opened")
            furthest = levels.pop()[0]
            _seen(levels[-1], furthest)
        elif kind == "name":
            _seen(levels[-1], nothing)
        else:
            _seen(levels[-1], levels[-1][1] + (_range(text) if kind == "range" else _offset(text)))
    if len(levels) != 1:
        raise ValueError("a bracket is not closed")
    return levels[0][0]


def _seen(level: list[timedelta], span: timedelta) -> None:
    level[0] = max(level[0], span)
    level[1] = span


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    for match in _TOKEN.finditer(expression):
        if match["at"]:
            raise ValueError("an expression about a fixed moment never tells about the time after a fix")
        if match["stray"]:
            raise ValueError("a bracket or a quotation mark that stands alone")
        if match["range"] is not None:
            yield "range", match["length"]
        elif match["offset"]:
            yield "offset", match["back"]
        elif match["name"]:
            yield "name", match["name"]
        elif match["open"] or match["close"]:
            yield ("open" if match["open"] else "close"), ""


def _range(text: str) -> timedelta:
    """Read `5m`, or `10m:1m` of a subquery: that one is evaluated at steps, so one step more may have to pass."""
    length, colon, step = text.partition(":")
    return _span(length) + (_span(step) if colon and step.strip() else timedelta(0))


def _offset(text: str) -> timedelta:
    """An offset into the future makes nothing look back further."""
    return timedelta(0) if text.startswith("-") else _span(text)


def _span(text: str) -> timedelta:
    """Read a duration, or a number of seconds; raises ValueError for anything else, such as a calculation."""
    text = text.strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return timedelta(seconds=float(text))
    if not re.fullmatch(_DURATION, text):
        raise ValueError(f"no duration: {text}")
    return sum((int(n) * _UNITS[unit] for n, unit in re.findall(r"([0-9]+)(ms|[smhdwy])", text)), timedelta(0))
