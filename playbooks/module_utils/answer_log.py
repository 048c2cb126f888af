"""What the access log of the web server says about answers: how many, how many errors, and when the last good one."""

from __future__ import annotations

import calendar
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ansible.module_utils.safe_files import Directory, split

#: The end of a log that is read, and the longest line that is looked at: what strangers send is in there.
_TAIL = 4 << 20
_LONGEST = 4096
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LINE = re.compile(
    r"\[(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\] "
    r'"(?:[A-Z]{1,16} (\S{0,2048})[^"]*|[^"]*)" (\d{3}) '
)


@dataclass(frozen=True)
class Answer:
    """One answer of the web server."""

    at: float
    path: str
    status: int

    @property
    def failed(self) -> bool:
        """The server, not the client, was at fault."""
        return self.status >= 500


@dataclass(frozen=True)
class Rate:
    """How many of the answers of a while were errors."""

    answers: int
    errors: int

    @property
    def percent(self) -> float:
        """The share of errors."""
        return 100.0 * self.errors / self.answers if self.answers else 0.0


def parsed(lines: Iterable[str]) -> Iterator[Answer]:
    """Yield the answers that lines in the common form tell of; other lines are left out."""
    for line in lines:
        found = _LINE.search(line[:_LONGEST])
        if found and found.group(2) in _MONTHS:
            yield Answer(_moment(found.groups()[:9]), found.group(10) or "", int(found.group(11)))


def _moment(parts: Sequence[str]) -> float:
    day, month, year, hour, minute, second, sign, hours, minutes = parts
    clock = (int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second))
    offset = 60 * (60 * int(hours) + int(minutes))
    return float(calendar.timegm(clock) - (offset if sign == "+" else -offset))


def rate(answers: Iterable[Answer], since: float, besides: Sequence[str]) -> Rate:
    """Return the rate of errors since a moment, without addresses that only watchers ask for."""
    counted = [one for one in answers if one.at >= since and not one.path.startswith(tuple(besides))]
    return Rate(len(counted), sum(one.failed for one in counted))


def good_answers(answers: Iterable[Answer], since: float, path: str) -> list[Answer]:
    """Return the good answers since a moment to one address."""
    return [one for one in answers if one.at > since and one.path.partition("?")[0] == path and one.status < 400]


def tail_of(path: str) -> list[str]:
    """Return the lines at the end of a log file, never through a symbolic link."""
    parent, name = split(path)
    with Directory(parent) as directory:
        descriptor = directory.open(name)
    with os.fdopen(descriptor, "rb") as source:
        source.seek(max(0, os.fstat(descriptor).st_size - _TAIL))
        return source.read(_TAIL).decode("utf-8", "replace").splitlines()
