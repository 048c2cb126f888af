"""Empties a log in place while its writer goes on writing, after a copy of it is safe."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import BinaryIO, Self

from ansible.module_utils.disk_candidate import File
from ansible.module_utils.hold import Changed, Pack, entry_of
from ansible.module_utils.run_state import write_whole
from ansible.module_utils.safe_files import Directory, split

_BLOCK = 4 << 20


def open_log(file: File) -> BinaryIO:
    """Open a log for reading and emptying: by its name, or through the process that holds it when it has none."""
    if file.path.startswith("/proc/"):
        # The link of the kernel leads to the open file itself; what it is is proven below.
        descriptor = os.open(file.path, os.O_RDWR | os.O_CLOEXEC)
    else:
        directory_path, name = split(file.path)
        with Directory(directory_path) as directory:
            descriptor = directory.open(name, os.O_RDWR)
    status = os.fstat(descriptor)
    if (status.st_dev, status.st_ino) != (file.device, file.inode):
        os.close(descriptor)
        raise Changed("it is another file than the snapshot saw")
    return os.fdopen(descriptor, "r+b", buffering=0)


class LogCopy:
    """The copy of a log that grows while it is copied."""

    def __init__(self, source: BinaryIO, pack: Pack, name: str, tail: int | None) -> None:
        self._source = source
        self._pack = pack
        self._digest = hashlib.sha256()
        status = os.fstat(source.fileno())
        source.seek(max(0, status.st_size - tail) if tail is not None else 0)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        self._target = os.fdopen(os.open(pack.data, flags, 0o600), "w+b")
        self._entry = entry_of(name, status, 0, 0, self._digest.hexdigest())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._target.close()

    def catch_up(self) -> None:
        """Copy what was written since."""
        size = self._entry.size
        while block := self._source.read(_BLOCK):
            self._digest.update(block)
            self._target.write(block)
            size += len(block)
        self._entry = replace(self._entry, size=size, sha256=self._digest.hexdigest())

    def settle(self) -> None:
        """Make the copy last, read it again, and write its index."""
        self._target.flush()
        os.fsync(self._target.fileno())
        changed = os.fstat(self._source.fileno()).st_mtime_ns
        self._entry = replace(self._entry, changed=changed)
        self._pack.finish([self._entry])

    def extend(self) -> None:
        """Add the last lines to a copy that was proven before: only they are new."""
        self._target.flush()
        os.fsync(self._target.fileno())
        write_whole(self._pack.index, json.dumps([asdict(self._entry)]).encode("ascii"))


def empty(file: File, pack: Pack, name: str, tail: int | None, held: Callable[[], None]) -> None:
    """Copy a log, tell `held`, then empty it: same file, so its writer notices nothing.

    Nobody can stop the writer for a moment, so what it writes between the last look and the emptying is lost: that
    is why nothing but these two calls stands between the two.
    """
    with open_log(file) as source, LogCopy(source, pack, name, tail) as copied:
        copied.catch_up()
        copied.settle()
        held()
        copied.catch_up()
        os.ftruncate(source.fileno(), 0)
        copied.extend()
