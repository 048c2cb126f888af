"""Who is connected to a database server, and whose connection may be ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.mariadb_server import MariaDB, ServerError

_QUERY = """
SELECT P.ID, P.USER, P.HOST, P.COMMAND, P.TIME,
  P.ID IN (SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX), P.ID = CONNECTION_ID()
FROM information_schema.PROCESSLIST P;
SELECT @@max_connections, VARIABLE_VALUE, @@version FROM information_schema.GLOBAL_STATUS
WHERE VARIABLE_NAME = 'Threads_connected'
"""
_NOBODYS = ("system user", "event_scheduler", "unauthenticated user")
_NO_SUCH_THREAD = 1094
#: Room that is made beyond the limit, in points of a hundred, so that the limit is still kept a minute later.
_RESERVE = 10


@dataclass(frozen=True)
class Session:
    """One connection. `idle` is for how many seconds it has done nothing, 0 while it works."""

    id: int
    user: str
    host: str
    command: str
    idle: int
    in_transaction: bool


@dataclass(frozen=True)
class Sessions:
    """All connections but the one that asked."""

    sessions: tuple[Session, ...]
    maximum: int
    connected: int
    version: str

    @property
    def percent(self) -> float:
        """How much of what the server allows is used."""
        return 100.0 * self.connected / self.maximum

    def record(self) -> dict[str, Any]:
        """Return it as a module returns it."""
        return {**asdict(self), "sessions": [asdict(one) for one in self.sessions], "percent": self.percent}


def look(server: MariaDB) -> Sessions:
    """Ask who is connected; the server keeps one connection free for its administrator."""
    return sessions_of(server.rows(_QUERY))


def sessions_of(rows: list[list[str]]) -> Sessions:
    """Return what the server answered."""
    *many, (maximum, connected, version) = rows
    sessions = tuple(_session(row) for row in many if row[6] != "1")
    return Sessions(sessions, int(maximum), max(0, int(connected) - 1), version)


def _session(row: list[str]) -> Session:
    idle = int(row[4]) if row[3] == "Sleep" and row[4].lstrip("-").isdigit() else 0
    host = row[2].rpartition(":")[0] or row[2]
    return Session(int(row[0]), row[1], host, row[3], max(0, idle), row[5] == "1")


def idle(sessions: Sessions, seconds: int, keep: list[str]) -> list[Session]:
    """Return whose connection may be ended, those that lose least first.

    Only what sleeps for longer than this; never a thread of the server, replication, or a user that is to be kept.
    What has begun a transaction comes last: it loses that.
    """
    never = {*_NOBODYS, *keep}
    able = [one for one in sessions.sessions if one.command == "Sleep" and one.idle > seconds and one.user not in never]
    return sorted(able, key=lambda one: (one.in_transaction, -one.idle, one.id))


def too_many(sessions: Sessions, percent: int) -> int:
    """Return how many connections must end until there is room again."""
    allowed = sessions.maximum * max(1, percent - _RESERVE) // 100
    return max(0, sessions.connected - allowed)


def end(server: MariaDB, session: Session) -> bool:
    """End a connection; return whether it was still there."""
    try:
        server.rows(f"KILL CONNECTION {session.id}")
    except ServerError as error:
        if error.code == _NO_SUCH_THREAD:
            return False
        raise
    return True


def by_user(sessions: list[Session]) -> str:
    """Return in words how many connections each user has, the most first."""
    counted = Counter(one.user for one in sessions).most_common(5)
    return ", ".join(f"{count} of {shown(user)[:40]}" for user, count in counted)
