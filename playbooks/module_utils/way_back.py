"""What it would take to bring the database back to now: told by what lies on the host, without asking a repository."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from ansible.module_utils import newest_copy, restore_rates
from ansible.module_utils.binlog_events import BinlogError
from ansible.module_utils.binlog_file import numbered
from ansible.module_utils.log_directory import logs_in
from ansible.module_utils.newest_copy import NewestCopy

_REMEDY = "make a new full copy (backup-create)"


@dataclass(frozen=True)
class WayBack:
    """A full copy and the logs since, and how long a restore of both takes; or the reason why none is known."""

    seconds: float | None = None
    copy_id: str = ""
    copy_made: float = 0.0
    copy_bytes: int = 0
    log_bytes: int = 0
    #: The rates were measured by a restore on this host; else they are assumed.
    measured: bool = False
    reason: str = ""

    def report(self) -> dict[str, Any]:
        """Return it in the form in which diagnosis reports."""
        return asdict(self)


def look(settings: dict[str, Any]) -> WayBack:
    """Look for the way back to the present end of the log."""
    copy = newest_copy.known(settings["backup_dir"])
    if copy is None:
        return WayBack(reason=f"this host remembers no full copy of its database: {_REMEDY}")
    try:
        logs = logs_in(settings["data_dir"], settings["log_dir"])
        if reason := _gap(copy, logs):
            return WayBack(reason=reason)
        since = sum(os.path.getsize(path) for name, path in logs.items() if name >= copy.position.file)
    except (OSError, BinlogError) as error:
        return WayBack(reason=f"the binary logs cannot be read: {error}")
    logged = max(0, since - copy.position.offset)
    stage = settings["restore_dir"]
    seconds = round(restore_rates.predicted(stage, copy.bytes, logged), 1)
    return WayBack(seconds, copy.id, copy.made, copy.bytes, logged, restore_rates.are_measured(stage))


def _gap(copy: NewestCopy, logs: dict[str, str]) -> str:
    """Return why the logs do not lead on from a full copy, or nothing; only a restore reads all of them."""
    first = copy.position.file
    if newest_copy.began_anew(copy, logs):
        return f"the binary log began anew since the newest full copy {copy.id} was made: {_REMEDY}"
    if first not in logs:
        return f"{first}, in which the newest full copy {copy.id} was made, is not on this host any more: {_REMEDY}"
    numbers = [numbered(name)[1] for name in logs if name >= first]
    if len(numbers) != numbers[-1] - numbers[0] + 1:
        return f"a binary log after {first} is missing on this host: {_REMEDY}"
    return ""
