"""How much of a file system is to be taken."""

from __future__ import annotations

import os
from typing import Any

#: What every module that fills a disk is told.
AMOUNT: dict[str, Any] = {
    "fill_to": {"type": "float", "required": True},
    "share": {"type": "float", "default": 100.0},
}


def bytes_to_take(path: str, fill_to: float, share: float) -> int:
    """Return the bytes until `fill_to` percent are used, but at most `share` percent of the file system."""
    room = os.statvfs(path)
    used = room.f_blocks - room.f_bfree
    until_full = int(room.f_blocks * fill_to / 100) - used
    blocks = min(until_full, int(room.f_blocks * share / 100), room.f_bavail)
    return max(0, blocks) * room.f_frsize
