"""Lends the container engine room on another disk while it saves or loads an image.

The engine copies every image through a directory of its own, which lies on the very disk that is full. For the time
of one image a directory of the hold is mounted over that one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

from ansible.module_utils.controller_watch import run
from ansible.module_utils.disk_measure import parse_mounts
from ansible.module_utils.open_files import program_of
from ansible.module_utils.run_state import make_private

_ENGINE = "dockerd"
_LENT = "engine-room"
_SECONDS = 30.0


@contextlib.contextmanager
def lent_room(root: str, hold: str, size: int) -> Iterator[None]:
    """Let the engine work in the hold when there is not enough room below its own root."""
    take_back()
    room = os.statvfs(root)
    if room.f_bavail * room.f_frsize > 2 * size:
        yield
        return
    lent = os.path.join(hold, _LENT)
    make_private(lent)
    _mount(["mount", "--bind", lent, os.path.join(root, "tmp")])
    try:
        yield
    finally:
        take_back()
        shutil.rmtree(lent)


def take_back() -> None:
    """End whatever was lent, by this run or by one that was killed."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as source:
        mounts = parse_mounts(source.read())
    for mount in mounts:
        if mount.root.endswith("/" + _LENT):
            _mount(["umount", "--lazy", mount.point])


def _mount(arguments: list[str]) -> None:
    """Mount or unmount where the engine sees it, and where we do."""
    place = ["nsenter", f"--mount=/proc/{_engine_process()}/ns/mnt", "--"]
    try:
        done = run([*place, *arguments], timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{' '.join(arguments)} did not end in {_SECONDS:.0f} s") from error
    if done.returncode != 0:
        raise OSError(f"{' '.join(arguments)}: {done.stderr.strip()}")


def _engine_process() -> int:
    for name in os.listdir("/proc"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            if name.isdigit() and program_of(int(name)) == _ENGINE:
                return int(name)
    raise OSError("the container engine's process was not found")
