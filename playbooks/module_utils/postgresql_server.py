"""Asks a PostgreSQL server over its local socket, and runs its tools, as the user who owns it.

Statements are read from standard input and answers are plain columns: no shell, and only names on a command line.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.host_step import StepError
from ansible.module_utils.postgresql_content import SETTINGS
from ansible.module_utils.stack_program import Finished, plain, run_program

#: Between columns; no answer that is asked for holds it.
_BETWEEN = "\t"
_CONNECT_SECONDS = 10
#: How long a statement may wait for others: for a slot, until those end that are at work.
_LOCK_SECONDS = 60


class PostgresError(StepError):
    """The server, or its client, said no."""


@dataclass(frozen=True)
class As:
    """How a program is run as another user: what it is started by, and what Popen is told."""

    prefix: tuple[str, ...]
    options: dict[str, Any]

    def run(self, argv: Sequence[str], seconds: float, given: str = "") -> Finished:
        """Run a program to its end."""
        return run_program([*self.prefix, *argv], seconds, given=given, **self.options)


def as_user(name: str) -> As:
    """Return how a program is run as a user, in that one's own surroundings; raises StepError without the user."""
    entry = _entry(name)
    groups = os.getgrouplist(name, entry.pw_gid)
    return As((), {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": groups, **_surroundings(entry)})


def alone_as(name: str) -> As:
    """Return the same in a network of its own, in which not even a loopback address is up, and without shared memory.

    It takes the user before it asks to die with us: a change of user would forget that.
    """
    entry = _entry(name)
    prefix = ("unshare", "--net", "--ipc", "--", "setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}")
    return As((*prefix, "--init-groups", "--pdeathsig=KILL"), _surroundings(entry))


def _entry(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise StepError(f"this host has no user {name}; nothing was done: install PostgreSQL here") from None


def _surroundings(entry: pwd.struct_passwd) -> dict[str, Any]:
    path = os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    name = entry.pw_name
    own = {"HOME": entry.pw_dir, "USER": name, "LOGNAME": name, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    return {"cwd": "/", "env": {"PATH": path, **own}}


class PostgreSQL:
    """A server of this machine: the user who owns it, and where it listens (the usual directory, or one of its own)."""

    def __init__(self, user: str, port: int, socket: str = "", client: str = "psql") -> None:
        self._user = user
        self._where = {"port": str(port), **({"host": socket} if socket else {})}
        self._client = client

    def rows(self, statement: str, database: str = "postgres", seconds: float = 60.0) -> list[list[str]]:
        """Run statements in a database and return what they select; raises PostgresError."""
        return self._asked({"dbname": database}, statement, seconds)

    def replication_rows(self, statement: str, database: str, seconds: float) -> list[list[str]]:
        """Run statements over a connection for logical replication."""
        return self._asked({"dbname": database, "replication": "database"}, statement, seconds)

    def ask(self, database: str, statement: str, seconds: float) -> list[list[str]]:
        """Run statements in a database: what the modules about content ask by."""
        return self.rows(statement, database, seconds)

    def ask_at_slot(self, database: str, statement: str, seconds: float) -> list[list[str]]:
        """The same over a connection for logical replication."""
        return self.replication_rows(statement, database, seconds)

    def value(self, statement: str) -> str:
        """Return the one value that a statement selects."""
        rows = self.rows(statement)
        if len(rows) != 1 or len(rows[0]) != 1:
            raise PostgresError("the server answered something else than the one value that it was asked for")
        return rows[0][0]

    def _asked(self, how: Mapping[str, str], statement: str, seconds: float) -> list[list[str]]:
        settings = {**SETTINGS, "lock_timeout": f"{_LOCK_SECONDS}s", "statement_timeout": f"{seconds:.0f}s"}
        told = {
            **self._where,
            **how,
            "connect_timeout": str(_CONNECT_SECONDS),
            "application_name": "remediate",
            "client_encoding": "UTF8",
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        }
        place = " ".join(f"{name}={quoted(value)}" for name, value in told.items())
        argv = [self._client, "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password"]
        argv += [f"--field-separator={_BETWEEN}", "--set=ON_ERROR_STOP=1", f"--dbname={place}", "--file=-"]
        done = as_user(self._user).run(argv, seconds + _CONNECT_SECONDS, given=statement)
        if done.code != 0:
            raise PostgresError(f"the PostgreSQL server refused: {told_by(done)}")
        return [line.split(_BETWEEN) for line in done.output.split("\n") if line]


def quoted(value: str) -> str:
    """Return a value of a connection string: a database may be called anything, and be no other setting by that."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def told_by(done: Finished) -> str:
    """Return what a client or a tool said went wrong, in one line that is safe to show."""
    lines = [line for line in done.errors.splitlines() if line.strip()]
    wrong = [line for line in lines if "ERROR" in line or "FATAL" in line or "error:" in line] or lines
    return plain(wrong[0])[-400:] if wrong else done.last_line
