"""Reads the log of a container from the files that the engine writes, without asking the engine.

An engine that is asked for the last lines of a log that was emptied in place looks for them without end (seen with
26.1): it remembers how long the file was. `logrotate` with `copytruncate`, people, and disk-full empty logs like this.
"""

from __future__ import annotations

import gzip
import json
import os
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

_BLOCK = 64 << 10
#: However long lines are: no more of one file is kept in memory.
_MOST = 64 << 20


class Entry(NamedTuple):
    """One line of a log."""

    time: str
    text: str

    @property
    def moment(self) -> tuple[str, str]:
        """What entries are ordered by: the engine leaves out zeros at the end of a fraction of a second."""
        seconds, _, fraction = self.time.removesuffix("Z").partition(".")
        return seconds, fraction.ljust(9, "0")


def last_entries(path: str, wanted: int) -> list[Entry]:
    """Return the last entries of a log that the engine keeps as JSON, its older parts (`NAME.1`, ...) included.

    Raises OSError when the newest part cannot be read. A line that is no JSON is left out.
    """
    found: list[Entry] = []
    for part in _parts(path):
        if len(found) >= wanted:
            break
        found = _entries(_last_lines(part, wanted - len(found))) + found
    return found[-wanted:]


def _parts(path: str) -> Iterator[str]:
    """Yield the parts of a log, the newest first; the engine may compress older ones."""
    yield path
    for number in range(1, 1000):
        names = [name for name in (f"{path}.{number}", f"{path}.{number}.gz") if os.path.isfile(name)]
        if not names:
            return
        yield names[0]


def _last_lines(path: str, wanted: int) -> list[bytes]:
    if path.endswith(".gz"):
        with gzip.open(path) as packed:
            return list(deque(packed, maxlen=wanted))
    with open(path, "rb") as source:
        left = source.seek(0, os.SEEK_END)
        read: deque[bytes] = deque()
        newlines = size = 0
        while left and newlines <= wanted and size < _MOST:
            step = min(_BLOCK, left)
            left -= step
            source.seek(left)
            read.appendleft(source.read(step))
            newlines += read[0].count(b"\n")
            size += step
    lines = b"".join(read).splitlines(keepends=True)
    return lines[-wanted:] if newlines > wanted or not left else lines[1:][-wanted:]


def _entries(lines: list[bytes]) -> list[Entry]:
    """Put what the engine cut into pieces together again: the last piece of a line ends with a newline."""
    found: list[Entry] = []
    goes_on = False
    for line in lines:
        try:
            record = json.loads(line)
            time, text = str(record["time"]), str(record["log"])
        except (ValueError, KeyError, TypeError):
            continue
        if goes_on:
            found[-1] = Entry(found[-1].time, found[-1].text + text.rstrip("\n"))
        else:
            found.append(Entry(time, text.rstrip("\n")))
        goes_on = not text.endswith("\n")
    return found
