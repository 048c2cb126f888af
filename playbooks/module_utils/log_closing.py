"""Closes the binary log that a server writes to, and proves its end: the place of a restore point."""

from __future__ import annotations

import os
import time

from ansible.module_utils import binlog_chain
from ansible.module_utils.binlog_events import (
    GTID_LIST,
    ROTATE,
    Format,
    Group,
    events,
    groups,
    gtid_list,
    next_name,
    read_format,
)
from ansible.module_utils.binlog_file import numbered
from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.host_step import StepError
from ansible.module_utils.log_position import Position
from ansible.module_utils.mariadb_server import MariaDB
from ansible.module_utils.restore_mark import Mark

#: A server that cannot begin a new log stops logging for good, and one on a full disk waits without an end.
_ROOM_BYTES, _ROOM_NAMES = 16 << 20, 64
#: The places before and behind, so that only what was written in between has to be read.
_CLOSE = "SHOW MASTER STATUS;\nFLUSH BINARY LOGS;\nSHOW MASTER STATUS;\n"


class NotClosedError(StepError):
    """The log was not closed, or its end is not right; the message says why."""


def close(server: MariaDB, directory: str, seconds: float) -> Mark:
    """Close the log, and return the place of its end: everything that was committed until now lies before it.

    Raises NotClosedError, BinlogError, OSError, or what the server says. It is not asked without room for a new log.
    """
    _see_room(directory)
    rows = server.rows(_CLOSE, seconds)
    if len(rows) != 2:
        raise NotClosedError("the server writes no binary log (log_bin)")
    (closed, begin), (following, _) = ((_name(row[0]), int(row[1])) for row in rows)
    if numbered(following)[1] != numbered(closed)[1] + 1:
        raise NotClosedError(f"the server closed another log at the same moment, after {closed}")
    log, end = _end(os.path.join(directory, closed), begin, following)
    gtid = _before(os.path.join(directory, following))
    return Mark(Position(closed, end.begin, gtid), log.made, log.server_id, time.time())


def _see_room(directory: str) -> None:
    free = os.statvfs(directory)
    # Some file systems do not count names.
    if free.f_bavail * free.f_frsize < _ROOM_BYTES or (free.f_files and free.f_favail < _ROOM_NAMES):
        raise NotClosedError(f"there is no room for a new binary log in {directory}: the server was left alone")


def _name(name: str) -> str:
    if os.path.basename(name) != name:
        raise NotClosedError(f"the server names a log {shown(name)}, which is none in its directory")
    return name


def _end(path: str, begin: int, following: str) -> tuple[Format, Group]:
    """Return how a log begins, and the event that closes it, after reading from a place in it to its end."""
    last = None
    with open(path, "rb") as source:
        log = read_format(source)
        start = max(begin, log.end)
        source.seek(start)
        for group in groups(source, start):
            last = group
        size = os.fstat(source.fileno()).st_size
    if last is None or last.kind != ROTATE or last.end != size or next_name(last.last) != following:
        raise NotClosedError(f"{os.path.basename(path)} does not end by going on in {following}")
    return log, last


def _before(path: str) -> str:
    """Return the last transactions before a log, as it says itself."""
    with open(path, "rb") as source:
        for _, _, _, event in events(source, read_format(source).end, frozenset({GTID_LIST})):
            return ",".join(str(one) for one in sorted(binlog_chain.newest(tuple(gtid_list(event)))))
    raise NotClosedError(f"{os.path.basename(path)} does not say which transactions came before it")
