"""What can be taken from a full disk: candidates for an action, and the files they consist of."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace
from typing import Any

#: The causes of the card in the order in which they are acted on: cheapest and safest first.
CAUSES = (
    "package_cache",
    "journal",
    "application_logs",
    "container_images",
    "build_cache",
    "stopped_containers",
    "container_logs",
    "old_backups",
    "live_application_log",
    "deleted_open_files",
    "inode_exhaustion",
    "fallen_services",
)


@dataclass(frozen=True)
class File:
    """One file and what made it the file that was looked at."""

    path: str
    device: int
    inode: int
    size: int
    changed: int
    allocated: int = 0

    @classmethod
    def seen(cls, path: str, status: os.stat_result) -> File:
        """Return the file of a path from its status."""
        return cls(
            path=path,
            device=status.st_dev,
            inode=status.st_ino,
            size=status.st_size,
            changed=status.st_mtime_ns,
            allocated=status.st_blocks * 512,
        )

    def is_same(self, status: os.stat_result) -> bool:
        """Return whether a status is still the one of this file, unchanged."""
        now = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        return now == (self.device, self.inode, self.size, self.changed) and status.st_nlink <= 1


@dataclass(frozen=True)
class Candidate:
    """One thing that could be done to one target, and what it would give."""

    cause: str
    verb: str
    target: str
    device: int
    bytes: int
    inodes: int
    files: tuple[File, ...] = ()
    undo: str = "held"
    note: str = ""
    #: Nanoseconds since the epoch; within a cause the oldest goes first.
    age_key: int = 0
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def order(self) -> tuple[int, int, str]:
        """Where this candidate stands among all."""
        return (CAUSES.index(self.cause), self.age_key, self.target)

    def with_undo(self, undo: str, note: str = "") -> Candidate:
        """Return the same candidate with another answer to whether it can be undone."""
        return replace(self, undo=undo, note="; ".join(part for part in (self.note, note) if part))

    def action(self) -> dict[str, Any]:
        """Return the candidate in the form in which phases report actions."""
        return {
            "cause": self.cause,
            "verb": self.verb,
            "target": shown(self.target),
            "bytes": self.bytes,
            "inodes": self.inodes,
            "undo": self.undo,
            "note": shown(self.note),
        }

    def as_record(self) -> dict[str, Any]:
        """Return all of it, for the manifest."""
        return asdict(self)


def from_record(record: dict[str, Any]) -> Candidate:
    """Return a candidate as the manifest has it."""
    return Candidate(**{**record, "files": tuple(File(**one) for one in record["files"])})


def shown(text: str) -> str:
    """Return text with everything escaped that a terminal or a log could take for more than text."""
    readable = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in readable)


def readable_size(count: int) -> str:
    """Return a number of bytes for people."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
