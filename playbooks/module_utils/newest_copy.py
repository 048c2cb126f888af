"""What a host remembers of the newest full copy of its database, so that nobody has to ask a repository about it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ansible.module_utils.backup_manifest import Manifest
from ansible.module_utils.binlog_events import read_format
from ansible.module_utils.binlog_file import numbered
from ansible.module_utils.log_position import Position
from ansible.module_utils.run_state import make_private, write_whole

_FILE = "newest_copy.json"


@dataclass(frozen=True)
class NewestCopy:
    """A full copy that is in a repository: its id, when it was made (seconds since 1970), its size, its place."""

    id: str
    made: float
    bytes: int
    position: Position


def remember(stage: str, manifest: Manifest) -> None:
    """Write down that a full copy was stored."""
    if manifest.position is None:
        return  # no moment after it can be reached from it
    size = sum(part.bytes for part in manifest.files)
    copy = NewestCopy(manifest.id, manifest.made, size, manifest.position)
    make_private(stage)
    write_whole(os.path.join(stage, _FILE), json.dumps(asdict(copy)).encode("ascii"))


def known(stage: str) -> NewestCopy | None:
    """Return the newest full copy that this host has stored, if it remembers one."""
    try:
        with open(os.path.join(stage, _FILE), encoding="ascii") as source:
            record = json.load(source)
        return NewestCopy(**{**record, "position": Position(**record["position"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None  # without it nothing is predicted, and that is said


def began_anew(copy: NewestCopy, logs: Mapping[str, str]) -> bool:
    """Return whether the log is another one than that of the copy: no later moment can be reached from it then.

    A server begins anew after a restore, after RESET MASTER, and with another name of its log. Logs that were only
    removed since are no sign of it. Raises BinlogError or OSError when the log cannot be read.
    """
    stem, number = numbered(copy.position.file)
    if copy.position.file in logs:
        with open(logs[copy.position.file], "rb") as source:
            return read_format(source).made > copy.made
    series = [numbered(name) for name in logs]
    return bool(series) and all(one[0] != stem or one[1] < number for one in series)
