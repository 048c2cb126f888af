"""Disks that fill up and that become read-only: real ones where one may be mounted, limits and modes elsewhere."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

SIZE = 1 << 20


class Disk(Protocol):
    path: Path

    def fill(self) -> None: ...

    def free(self) -> None: ...


class MountedDisk:
    """A small file system in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self) -> None:
        with (self.path / "ballast").open("wb", buffering=0) as ballast:
            ballast.write(b"x" * SIZE)
        free = os.statvfs(self.path)
        assert free.f_bavail == 0

    def free(self) -> None:
        (self.path / "ballast").unlink()


class LimitedDisk:
    """A directory in which no file of this process can grow."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        least = min(path.stat().st_size for path in self.path.rglob("*") if path.is_file())
        resource.setrlimit(resource.RLIMIT_FSIZE, (least, self._limits[1]))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)


@contextmanager
def small_disk(path: Path) -> Iterator[Disk]:
    """Make a disk at this path for the time of a test."""
    path.mkdir()
    options = f"size={SIZE},mode=0700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "small-disk", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        limited = LimitedDisk(path)
        try:
            yield limited
        finally:
            limited.free()
        return
    try:
        yield MountedDisk(path)
    finally:
        subprocess.run(["umount", path], check=True)


def without_privileges(command: list[str]) -> list[str]:
    """Return a command for which the modes of files count, also for root."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--", *command]
