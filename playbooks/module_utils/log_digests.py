"""What a host remembers of its closed binary logs: the digest of one is taken once, however often it is shipped.

One is known by what no writer can leave as it was: size, both times, inode. Where the disk damages it later, the digest
is still that of what was written, so what is stored then does not pass for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ansible.module_utils.backup_manifest import Part, part_of
from ansible.module_utils.run_state import make_private, write_whole

_FILE = "log_digests.json"


def parts_of(stage: str, paths: Sequence[str]) -> tuple[Part, ...]:
    """Return name, size and digest of closed logs, and remember those of these logs only."""
    known = _known(stage)
    found = {os.path.basename(path): _looked_at(path, known) for path in paths}
    make_private(stage)
    write_whole(os.path.join(stage, _FILE), json.dumps(found).encode("ascii"))
    return tuple(Part(**one["part"]) for one in found.values())


def _looked_at(path: str, known: dict[str, Any]) -> dict[str, Any]:
    # Before it is read: what changes meanwhile is another file.
    there = os.stat(path)
    marks = [there.st_size, there.st_mtime_ns, there.st_ctime_ns, there.st_ino]
    before = known.get(os.path.basename(path))
    if before and before["marks"] == marks:
        return dict(before)
    return {"marks": marks, "part": asdict(part_of(path))}


def _known(stage: str) -> dict[str, Any]:
    try:
        with open(os.path.join(stage, _FILE), encoding="ascii") as source:
            record = json.load(source)
        return {name: one for name, one in record.items() if {"marks", "part"} == set(one)}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # then all are read
