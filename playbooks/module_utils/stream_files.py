"""The files of streamed binary logs: each start of the stream writes into a directory of its own, below its source's.

A start begins with the last file of the start before, from its first byte, since the tool cuts a file that it opens. So
the older copy stays until the newer one is past it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible.module_utils.binlog_events import BinlogError
from ansible.module_utils.binlog_file import numbered

#: What says that two files of one name are of one log: its format, and when and by whom it was begun.
_HEAD = 256


@dataclass(frozen=True)
class Streamed:
    """One file that was streamed. The last one of a start is open: the server may go on in it."""

    start: str
    name: str
    path: str
    size: int
    #: Seconds since 1970.
    changed: float
    open: bool

    @property
    def number(self) -> int:
        """Its place in the series."""
        return numbered(self.name)[1]


def look(root: str) -> list[Streamed]:
    """Return what was streamed, by start and number; what is no binary log is not looked at."""
    found: list[Streamed] = []
    for start in sorted(_names(root)):
        directory = os.path.join(root, start)
        if os.path.isdir(directory) and not os.path.islink(directory):
            found += _of_start(start, directory)
    return found


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _of_start(start: str, directory: str) -> list[Streamed]:
    names = sorted((name for name in _names(directory) if is_log(name)), key=numbered)
    found = []
    for place, name in enumerate(names):
        path = os.path.join(directory, name)
        state = os.lstat(path)
        found.append(Streamed(start, name, path, state.st_size, state.st_mtime, place + 1 == len(names)))
    return found


def is_log(name: str) -> bool:
    """Return whether this is the name of a binary log."""
    try:
        numbered(name)
    except BinlogError:
        return False
    return True


def following(name: str) -> str:
    """Return the name of the log after this one."""
    stem, number = numbered(name)
    width = len(name) - len(stem) - 1
    return f"{stem}.{number + 1:0{width}}"


def first_choices(files: Sequence[Streamed]) -> list[str]:
    """Return with which log a start may begin, the best first: what cannot be gone on from is a break.

    That is the one after the newest that was streamed to its end, which is the last of the newest start; when the
    server has purged that one, the one after it may still go on where it ended. The empty name is the server's oldest.
    """
    if not files:
        return []
    newest = max(one.start for one in files)
    last = max((one for one in files if one.start == newest), key=lambda one: one.number)
    return [last.name, following(last.name)]


def best(files: Iterable[Streamed]) -> list[Streamed]:
    """Return one file of each name, by number: of the newest start, unless an older copy of the same log is longer."""
    found: dict[str, Streamed] = {}
    for one in sorted(files, key=lambda one: one.start):
        older = found.get(one.name)
        if older is None or one.size >= older.size or not same_log(one, older):
            found[one.name] = one
    return sorted(found.values(), key=lambda one: one.number)


def same_log(one: Streamed, other: Streamed) -> bool:
    """Return whether two files of one name are of the same log: after RESET MASTER, names come again."""
    heads = []
    for path in (one.path, other.path):
        with open(path, "rb") as source:
            heads.append(source.read(_HEAD))
    short = min(len(head) for head in heads)
    return heads[0][:short] == heads[1][:short]


def superseded(files: Sequence[Streamed], now: float, days: float) -> list[Streamed]:
    """Return what is no longer needed: what a newer start has as far, and what is out of its time.

    Of the newest start nothing is too old but what it has closed; its open file stays whatever its age.
    """
    if not files:
        return []
    newest = max(one.start for one in files)
    longest: dict[str, int] = {}
    gone: list[Streamed] = []
    for one in sorted(files, key=lambda one: one.start, reverse=True):
        passed = longest.get(one.name, -1) >= one.size
        old = one.changed < now - days * 86400 and not (one.open and one.start == newest)
        longest[one.name] = max(one.size, longest.get(one.name, -1))
        if passed or old:
            gone.append(one)
    return gone
