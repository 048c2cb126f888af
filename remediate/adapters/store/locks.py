"""Locks of runs and hosts on PostgreSQL: they fall with the process that holds them, or with its line to the server."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from remediate.adapters.store.connection import Database
from remediate.adapters.store.postgresql import SITE
from remediate.errors import HostBusy, StateUnusable

#: How often the line to the server is tried while locks are held. A line that is closed is noticed at once.
_PING_SECONDS = 2.0

#: A process that does not ping for so long was stopped: the server ends its session, and others may go on.
_SILENCE_SECONDS = 15

#: What the session of a holder is called on the server, so that everybody can read there which run it is.
_SESSION_NAME = "remediate run "

_KEY = f"hashtextextended({SITE} || '/' || :name, 0)"
_TRY = text(f"SELECT pg_try_advisory_lock({_KEY})")
_HOLDER = text(
    f"""
    SELECT coalesce(sessions.application_name, '') FROM pg_locks AS locks
    LEFT JOIN pg_stat_activity AS sessions ON sessions.pid = locks.pid
    WHERE locks.locktype = 'advisory' AND locks.granted AND locks.objsubid = 1
      AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (locks.classid::bigint << 32) | locks.objid::bigint = {_KEY}
    """  # noqa: S608  # both parts are constants of this module; the name is a parameter
)


class AdvisoryLocks:
    """Implements the port `Locks` with one session of its own for each run that holds locks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def hold(self, run_id: str, hosts: Iterable[str], *, lost: Event | None = None) -> Iterator[None]:
        """Hold the locks of a run and, in a fixed order, of its hosts; set `lost` when the server has dropped them."""
        with self._database.apart() as session:
            session.execute(
                text("SELECT set_config('application_name', :name, false)"), {"name": f"{_SESSION_NAME}{run_id}"}
            )
            _take(session, f"run-{run_id}", f"run {run_id}")
            for host in sorted(hosts):
                _take(session, f"host-{host}", host)
            _end_when_silent(session)
            watch = _Watch(session, lost or Event())
            try:
                yield
            finally:
                kept = watch.end()
            if not kept:
                raise StateUnusable(
                    f"The database dropped the locks of run {run_id} while it was at work, so the work was stopped.",
                    next_step=f"see what it had done: `remediate runs show {run_id}`",
                )

    def alive(self, run_id: str) -> bool:
        """Return whether some process holds the lock of this run; nothing is locked for that."""
        with self._database.reading() as connection:
            return _holder(connection, f"run-{run_id}") is not None


class _Watch:
    """Watches the line to the server in a thread for as long as locks are held, and lets them go at the end."""

    def __init__(self, session: Connection, lost: Event) -> None:
        self._session = session
        self._lost = lost
        self._kept = False
        self._line = _line(session)
        self._mine, self._its = socket.socketpair()
        self._thread = Thread(target=self._go, name="locks", daemon=True)
        self._thread.start()

    def end(self) -> bool:
        """Let the locks go; return whether they were held until now."""
        self._mine.close()
        self._thread.join()
        self._its.close()
        return self._kept

    def _go(self) -> None:
        try:
            self._ping_until_the_end()
            # An answer to this says that the session, and with it every lock, was there to the end.
            self._session.execute(text("SELECT pg_advisory_unlock_all()"))
            self._kept = True
        except DBAPIError:
            self._session.invalidate()
        finally:
            if not self._kept:
                self._lost.set()

    def _ping_until_the_end(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._its, selectors.EVENT_READ)
            selector.register(self._line, selectors.EVENT_READ)
            while not any(key.fileobj is self._its for key, _ in selector.select(_PING_SECONDS)):
                self._session.execute(text("SELECT 1"))


def _take(session: Connection, name: str, what: str) -> None:
    """Take one lock, or name the run that holds it; what was taken before falls with the session."""
    if session.execute(_TRY, {"name": name}).scalar():
        return
    run_id = _holder(session, name)
    session.execute(text("SELECT pg_advisory_unlock_all()"))
    if not run_id:
        raise HostBusy(f"{what} is being worked on by another process; nothing was done.", next_step="repeat it")
    raise HostBusy(
        f"{what} is being worked on by run {run_id}; nothing was done.",
        next_step=f"watch it with `remediate runs show {run_id}`",
    )


def _holder(connection: Connection, name: str) -> str | None:
    """Return the run whose session holds a lock: empty when it did not say, None when nobody holds it."""
    session_name: str | None = connection.execute(_HOLDER, {"name": name}).scalar()
    return session_name.removeprefix(_SESSION_NAME) if session_name is not None else None


def _end_when_silent(session: Connection) -> None:
    """Have the server end the session of a process that was stopped; servers before 14 cannot do that."""
    if (session.dialect.server_version_info or ()) >= (14,):
        session.execute(text(f"SET idle_session_timeout = '{_SILENCE_SECONDS}s'"))


def _line(session: Connection) -> int:
    """Return the descriptor of the line to the server."""
    driver: Any = session.connection.dbapi_connection
    number: int = driver.fileno()
    return number
