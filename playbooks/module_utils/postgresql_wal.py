"""Segments of PostgreSQL's write-ahead log by their names: which follows which, and whether one is missing. Pure.

A name is 24 hexadecimal digits: timeline, log and segment. A repository of pgBackRest keeps each segment below its
log, with a digest behind its name: `17-1/0000000100000000/000000010000000000000003-SHA1.gz`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: What one log is divided by: the second half of a position has 32 bits.
_LOG = 1 << 32
_NAME = re.compile(r"[0-9A-F]{24}")
_STORED = re.compile(r"(?P<archive>\d+(?:\.\d+)?-\d+)/[0-9A-F]{16}/(?P<name>[0-9A-F]{24})-[0-9a-f]{40}(?:\.[a-z0-9]+)?")
_POSITION = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_LEAST, _MOST = 1 << 20, 1 << 30
#: Segments that are named one by one where some are missing.
_NAMED = 3


class BadNameError(ValueError):
    """A name or position that is none."""


@dataclass(frozen=True)
class Segment:
    """One segment: its timeline, and its number from the beginning of the log."""

    timeline: int
    number: int


def position(text: str) -> int:
    """Return a position in the log (`0/3000148`) as a number of bytes; raises BadNameError."""
    found = _POSITION.fullmatch(text)
    if found is None:
        raise BadNameError(f"{text[:40]!r} is no position in a write-ahead log")
    return int(found[1], 16) * _LOG + int(found[2], 16)


def segment(name: str, size: int) -> Segment:
    """Return what a name says, with segments of so many bytes; raises BadNameError."""
    if not _NAME.fullmatch(name):
        raise BadNameError(f"{name[:40]!r} is no name of a segment")
    if not (_LEAST <= size <= _MOST and size & (size - 1) == 0):
        raise BadNameError(f"segments of {size} bytes are none of PostgreSQL's")
    log, part = int(name[8:16], 16), int(name[16:], 16)
    if part >= _LOG // size:
        raise BadNameError(f"{name} is no name of a segment of {size} bytes")
    return Segment(int(name[:8], 16), log * (_LOG // size) + part)


def name_of(one: Segment, size: int) -> str:
    """Return the name of a segment."""
    log, part = divmod(one.number, _LOG // size)
    return f"{one.timeline:08X}{log:08X}{part:08X}"


def holding(timeline: int, before: int, size: int) -> str:
    """Return the name of the segment that holds the last byte before a position."""
    return name_of(Segment(timeline, max(0, before - 1) // size), size)


def stored_as(path: str) -> tuple[str, str] | None:
    """Return the archive and the name of a segment that is stored under a path relative to the archive, if it is one.

    Partial segments, histories of timelines and marks of backups are none.
    """
    found = _STORED.fullmatch(path)
    return (found["archive"], found["name"]) if found else None


@dataclass(frozen=True)
class Range:
    """The segments that a restore needs, from the first to the last, in one archive."""

    archive: str
    first: str
    last: str
    size: int


def gap(wanted: Range, paths: Iterable[str]) -> str:
    """Return what keeps the log from leading on from the first to the last segment, in words; nothing when it does.

    A number counts as there on whatever timeline between those two it is: which one is right, the server finds by the
    history of the timeline.
    """
    first, last = segment(wanted.first, wanted.size), segment(wanted.last, wanted.size)
    if last.number < first.number or last.timeline < first.timeline:
        return f"the log ends at {wanted.last}, before the copy begins at {wanted.first}"
    stored: dict[str, int] = {}
    histories = set()
    for path in paths:
        found = stored_as(path)
        if found and found[0] == wanted.archive:
            stored[found[1]] = stored.get(found[1], 0) + 1
        elif path.startswith(f"{wanted.archive}/") and ".history" in path:
            histories.add(path.partition("/")[2][:8])
    there = _numbers(stored, first, last, wanted.size)
    missing = [number for number in range(first.number, last.number + 1) if number not in there]
    if missing:
        return _missing(missing, last.timeline, wanted.size)
    twice = [name for name, times in stored.items() if times > 1 and segment(name, wanted.size).number in there]
    if twice:
        return f"the segment {min(twice)} is stored twice, with different content"
    if last.timeline > first.timeline and f"{last.timeline:08X}" not in histories:
        return f"the history of the timeline {last.timeline:08X} is missing"
    return ""


def _numbers(stored: Iterable[str], first: Segment, last: Segment, size: int) -> set[int]:
    found = (segment(name, size) for name in stored if int(name[16:], 16) < _LOG // size)
    return {
        one.number
        for one in found
        if first.number <= one.number <= last.number and first.timeline <= one.timeline <= last.timeline
    }


def _missing(numbers: list[int], timeline: int, size: int) -> str:
    names = [name_of(Segment(timeline, number), size) for number in numbers[:_NAMED]]
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    verb = "is" if len(numbers) == 1 else "are"
    return f"the segment{'' if len(numbers) == 1 else 's'} {', '.join(names)}{more} {verb} missing"


def needed(wanted: Range, paths: Iterable[str]) -> list[str]:
    """Return those paths that are segments of the range, in the order of their names."""
    first, last = segment(wanted.first, wanted.size), segment(wanted.last, wanted.size)
    found = []
    for path in paths:
        one = stored_as(path)
        if one and one[0] == wanted.archive and _numbers([one[1]], first, last, wanted.size):
            found.append((one[1], path))
    return [path for _, path in sorted(found)]
