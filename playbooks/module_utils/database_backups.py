"""Which backup of a database can be restored: the newest dump that is whole and has everything in it."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from ansible.module_utils.backup_series import Backup, GoodBackups, OutOfTime, group
from ansible.module_utils.disk_candidate import File, shown
from ansible.module_utils.mariadb_server import name
from ansible.module_utils.safe_files import Directory, regular_files, split

_NAME = re.compile(r"\.sql(?:\.(?:gz|bz2|xz))?$")
_OPENERS = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
_HEAD = re.compile(rb"^-- (?:MariaDB|MySQL) dump ", re.MULTILINE)
_DONE = b"-- Dump completed"
_DATABASE = b"-- Current Database: "
_TABLE = b"-- Table structure for table "
_SECONDS = 90.0
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Dump:
    """A dump that can be restored."""

    path: str
    size: int
    changed: int

    @property
    def made(self) -> str:
        """When it was made, in words."""
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.changed / 1e9))


def newest_usable(directories: list[str], schemas: list[str]) -> tuple[Dump | None, list[str]]:
    """Return the newest dump that is whole and makes all of these schemas, and a word on each newer one that is not."""
    notes: list[str] = []
    found = [File.seen(*one) for directory in directories for one in regular_files(directory, notes.append)]
    backups = [backup for series in group(found) for backup in series.backups if _NAME.search(backup.file.path)]
    good, until = GoodBackups(_SECONDS), time.monotonic() + _SECONDS
    for backup in sorted(backups, key=lambda one: -one.file.changed):
        why = _unusable(backup, good, schemas, until)
        if not why:
            return Dump(backup.file.path, backup.file.size, backup.file.changed), notes[-5:]
        notes.append(f"{shown(backup.file.path)} cannot be restored: {why}")
    return None, [f"{len(notes)} backups cannot be restored, among them: {one}" for one in notes[:1]]


def _unusable(backup: Backup, good: GoodBackups, schemas: list[str], until: float) -> str:
    try:
        if not good(backup):
            return "it is not whole"
        with opened(backup.file.path) as stream:
            return _missing(stream, schemas, until)
    except OutOfTime:
        return "there was no time to read it"


def _missing(stream: BinaryIO, schemas: list[str], until: float) -> str:
    head, wanted, last = b"", {name(one).encode() for one in schemas}, b""
    for line in lines(stream):
        if time.monotonic() > until:
            return "there was no time to read it"
        if len(head) < 4096:
            head += line
        if line.startswith(_DATABASE):
            wanted.discard(line.removeprefix(_DATABASE).strip())
        last = line if line.strip() else last
    if not _HEAD.search(head):
        return "it is no dump of a database server"
    if not last.startswith(_DONE):
        return "it ends before its end"
    if wanted:
        return f"it does not make the schema {shown(min(wanted).decode('utf-8', 'replace'))} anew"
    return ""


@contextlib.contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Open a dump, unpacked, never through a symbolic link."""
    directory_path, file = split(path)
    with Directory(directory_path) as directory, os.fdopen(directory.open(file), "rb") as packed:
        opener = _OPENERS.get(path.rpartition(".")[2])
        with opener(packed) if opener else packed as stream:
            yield cast("BinaryIO", stream)


def lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a stream; one that is very long comes in pieces."""
    while line := stream.readline(_LONGEST):
        yield line


def only_table(stream: BinaryIO, schema: str, table: str) -> Iterator[bytes]:
    """Yield what a dump of many schemas says about one table; a dump never begins a row's text at a line's begin."""
    here, wanted = False, False
    for line in lines(stream):
        if line.startswith(_DATABASE):
            here, wanted = line.removeprefix(_DATABASE).strip() == name(schema).encode(), False
        elif line.startswith(_TABLE):
            wanted = here and line.removeprefix(_TABLE).strip() == name(table).encode()
        elif line.startswith(b"-- ") and not line.startswith(b"-- Dumping data"):
            wanted = False
        if wanted:
            yield line
