"""Which files the processes of this host have open, and how they write to them."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass

_DELETED = " (deleted)"


@dataclass(frozen=True)
class Handle:
    """One open file of one process."""

    process: int
    #: When the process began, in clock ticks since the machine did: numbers of processes are used again.
    began: int
    descriptor: int
    program: str
    path: str
    status: os.stat_result
    flags: int

    @property
    def through(self) -> str:
        """The way to the open file itself, whatever its name is by now."""
        return f"/proc/{self.process}/fd/{self.descriptor}"

    @property
    def is_deleted(self) -> bool:
        """The file has no name any more."""
        return self.status.st_nlink == 0

    @property
    def writes(self) -> bool:
        """The process may write to it."""
        return (self.flags & os.O_ACCMODE) != os.O_RDONLY

    @property
    def appends(self) -> bool:
        """Every write goes to the end of the file, wherever that is by then."""
        return bool(self.flags & os.O_APPEND)


def open_files(devices: Collection[int]) -> list[Handle]:
    """Return every regular file on some file systems that a process has open."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            found.extend(_handles(int(name), devices))
    return found


def _handles(process: int, devices: Collection[int]) -> list[Handle]:
    try:
        began = _began(process)
        descriptors = os.listdir(f"/proc/{process}/fd")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []  # ended meanwhile
    handles = (_handle(process, began, int(descriptor), devices) for descriptor in descriptors)
    return [handle for handle in handles if handle]


def _handle(process: int, began: int, descriptor: int, devices: Collection[int]) -> Handle | None:
    through = f"/proc/{process}/fd/{descriptor}"
    try:
        status = os.stat(through)
        if status.st_dev not in devices or not stat.S_ISREG(status.st_mode):
            return None
        path = os.readlink(through)
        flags = _flags(process, descriptor)
        program = program_of(process)
    except OSError:
        return None  # closed meanwhile
    plain = path[: -len(_DELETED)] if status.st_nlink == 0 and path.endswith(_DELETED) else path
    return Handle(process, began, descriptor, program, plain, status, flags)


def _began(process: int) -> int:
    with open(f"/proc/{process}/stat", "rb") as source:
        # The name of the program comes second, in parentheses, and may hold anything.
        return int(source.read().rpartition(b")")[2].split()[19])


def _flags(process: int, descriptor: int) -> int:
    with open(f"/proc/{process}/fdinfo/{descriptor}", encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith("flags:"):
                return int(line.split()[1], 8)
    return 0


def program_of(process: int) -> str:
    """Return the name that the kernel has for a process."""
    with open(f"/proc/{process}/comm", encoding="utf-8", errors="backslashreplace") as source:
        return source.read().strip()
