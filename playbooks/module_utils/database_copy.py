"""A full copy of a running MariaDB server, as the stream that mariadb-backup writes, and the place of it in the log."""

from __future__ import annotations

import os
import re

from ansible.module_utils.host_step import StepError
from ansible.module_utils.log_position import Position
from ansible.module_utils.mariadb_server import MariaDB
from ansible.module_utils.stack_program import GENTLY, plain

_SECONDS = 4 * 3600.0
#: Never --log-innodb-page-corruption: with it a copy of damaged pages "completes OK".
_COPY = [*GENTLY, "mariadb-backup", "--backup", "--stream=mbstream", "--target-dir=/tmp", "--parallel=2"]
_PLACE = re.compile(r"binlog position: filename '([^']+)', position '(\d+)'(?:, GTID of the last change '([^']*)')?")
_DONE = "completed OK!"


def copy(server: MariaDB, path: str) -> Position:
    """Write the stream into a new file; return the position in the binary log that the copy is at.

    Raises StepError unless the tool ends with 0, says that all of it is there, and knows the position.
    """
    with open(path, "xb") as target:
        code, _, errors = server.stack.exec(server.service, _COPY, _SECONDS, stdout=target)
        target.flush()
        os.fsync(target.fileno())
    lines = [line for line in errors.splitlines() if line.strip()]
    if code != 0 or not lines or not lines[-1].rstrip().endswith(_DONE):
        raise StepError(f"the copy of the database is not whole and was thrown away: {_told(lines)}")
    place = _PLACE.search(errors)
    if place is None:
        raise StepError(
            "the copy of the database has no place in a binary log, so no point in time can be reached from it; it was "
            "thrown away: set log_bin and binlog_format=ROW on the server"
        )
    return Position(place[1], int(place[2]), place[3] or "")


def _told(lines: list[str]) -> str:
    told = [line for line in lines if "error" in line.lower()] or lines or ["mariadb-backup printed nothing"]
    return plain(told[-1])[-300:]


def identity(server: MariaDB) -> dict[str, str]:
    """Return what tells the server: its version and number."""
    rows = server.rows("SELECT @@version, @@server_id, @@log_bin, @@hostname;\n")
    return dict(zip(("version", "server_id", "log_bin", "hostname"), rows[0], strict=True))


def closed_logs(server: MariaDB) -> list[str]:
    """Return the names of the binary logs that nothing is written to any more, the oldest first."""
    return [str(row[0]) for row in server.rows("SHOW BINARY LOGS;\n")][:-1]


def flush(server: MariaDB) -> None:
    """Begin a new binary log: everything committed until now is in closed ones."""
    server.rows("FLUSH BINARY LOGS;\n")
