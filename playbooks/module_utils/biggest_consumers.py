"""Names the biggest files of a full file system that are not ours to remove."""

from __future__ import annotations

import heapq
import os
import stat
import time
from collections.abc import Collection, Iterator

from ansible.module_utils.disk_candidate import readable_size, shown
from ansible.module_utils.disk_measure import FileSystem

_SECONDS = 3.0
_NAMED = 5
#: Smaller parts of a file system than this are not worth a sentence.
_WORTH = 0.02


def biggest_consumers(seen: FileSystem, known: Collection[tuple[int, int]], engine_root: str) -> list[str]:
    """Return a sentence for each of the biggest files that no action is about.

    What lies below the container engine's root is the engine's: its parts mean nothing to people by their paths.
    """
    until = time.monotonic() + _SECONDS
    worth = max(1, int(seen.size * _WORTH))
    largest: list[tuple[int, str]] = []
    for path, status in _files(seen.point, seen.device, until):
        size = status.st_blocks * 512
        if size >= worth and (status.st_dev, status.st_ino) not in known:
            shown_path = seen.path_of(path)
            if engine_root and shown_path.startswith(engine_root.rstrip("/") + "/"):
                continue
            heapq.heappush(largest, (size, shown_path))
            largest = heapq.nlargest(_NAMED, largest)
            heapq.heapify(largest)
    return [
        f"{shown(path)} takes {readable_size(size)} ({100 * size / seen.size:.1f} % of {seen.point}): "
        "it is not this runbook's to remove"
        for size, path in sorted(largest, reverse=True)
    ]


def _files(root: str, device: int, until: float) -> Iterator[tuple[str, os.stat_result]]:
    directories = [root]
    while directories and time.monotonic() < until:
        try:
            entries = list(os.scandir(directories.pop()))
        except OSError:
            continue  # gone since it was listed
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # gone since it was listed
            if status.st_dev != device:
                continue
            if stat.S_ISDIR(status.st_mode):
                directories.append(entry.path)
            elif stat.S_ISREG(status.st_mode):
                yield entry.path, status
