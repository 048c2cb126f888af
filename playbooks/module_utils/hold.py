"""Keeps what a fix takes away, with everything that is needed to put it back the same.

A pack is the contents of some files one after the other; its index says whose they are. For one file the pack is a
plain copy of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import BinaryIO

from ansible.module_utils.disk_candidate import File
from ansible.module_utils.run_state import sync_directory, write_whole
from ansible.module_utils.safe_files import Directory, split

_BLOCK = 4 << 20


class Changed(Exception):
    """A file is not any more what the snapshot saw."""


@dataclass(frozen=True)
class Entry:
    """One held file: where in the pack it is, and what it was."""

    path: str
    offset: int
    size: int
    sha256: str
    owner: int
    group: int
    mode: int
    changed: int
    device: int
    inode: int


class Pack:
    """A pack and its index, by the path they have in common."""

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def data(self) -> str:
        """The path of the contents."""
        return f"{self.path}.pack"

    @property
    def index(self) -> str:
        """The path of the index."""
        return f"{self.path}.json"

    def entries(self) -> list[Entry]:
        """Return what the pack holds."""
        with open(self.index, encoding="ascii") as source:
            return [Entry(**record) for record in json.load(source)]

    def keep(self, files: Iterable[File], *, each: bool = False) -> list[Entry]:
        """Copy files into the pack; everything is on the disk and read again when this returns.

        With `each` the files have nothing to do with one another, and one that has changed is simply left out.
        """
        entries: list[Entry] = []
        with _opened_new(self.data) as target:
            for file in files:
                try:
                    entries.append(_copied(file, target))
                except (Changed, FileNotFoundError):
                    if not each:
                        raise
            target.flush()
            os.fsync(target.fileno())
        self.finish(entries)
        return entries

    def finish(self, entries: list[Entry]) -> None:
        """Prove that the pack holds what was read, and write its index."""
        with open(self.data, "rb") as copied:
            for entry in entries:
                if digest_of_part(copied, entry) != entry.sha256:
                    raise OSError(f"the copy of {entry.path} in {self.data} differs from what was read")
        write_whole(self.index, json.dumps([asdict(entry) for entry in entries]).encode("ascii"))
        sync_directory(os.path.dirname(self.path))


def _opened_new(path: str) -> BinaryIO:
    """Open a file for what is held; what a killed attempt left there is overwritten."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "w+b")


def _copied(file: File, target: BinaryIO) -> Entry:
    directory_path, name = split(file.path)
    with Directory(directory_path) as directory, os.fdopen(directory.open(name), "rb", buffering=0) as source:
        status = os.fstat(source.fileno())
        if not file.is_same(status):
            raise Changed("it has changed since the snapshot")
        offset = target.tell()
        size, digest = copy(source, target)
        if size != file.size or not file.is_same(os.fstat(source.fileno())):
            raise Changed("it changed while it was copied")
    return entry_of(file.path, status, offset, size, digest)


def entry_of(path: str, status: os.stat_result, offset: int, size: int, digest: str) -> Entry:
    """Return the index entry of a file that was copied."""
    return Entry(
        path=path,
        offset=offset,
        size=size,
        sha256=digest,
        owner=status.st_uid,
        group=status.st_gid,
        mode=stat.S_IMODE(status.st_mode),
        changed=status.st_mtime_ns,
        device=status.st_dev,
        inode=status.st_ino,
    )


def copy(source: BinaryIO, target: BinaryIO, limit: int | None = None) -> tuple[int, str]:
    """Copy up to `limit` bytes and return how many there were, with their digest: one pass over the data."""
    digest, size = hashlib.sha256(), 0
    while limit is None or size < limit:
        block = source.read(_BLOCK if limit is None else min(_BLOCK, limit - size))
        if not block:
            break
        digest.update(block)
        target.write(block)
        size += len(block)
    return size, digest.hexdigest()


def digest_of_part(source: BinaryIO, entry: Entry) -> str:
    """Return the digest of one file's part of a pack."""
    digest, size = hashlib.sha256(), entry.size
    source.seek(entry.offset)
    while size and (block := source.read(min(_BLOCK, size))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()
