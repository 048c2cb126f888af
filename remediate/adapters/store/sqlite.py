"""The record in a SQLite file: file modes, pragmas that make a commit durable, and a log that nobody took away."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from remediate.adapters.store import backend
from remediate.adapters.store.backend import Trouble
from remediate.errors import StateUnusable

_REPAIR = "free space, end what holds the database locked, or restore the file; then see `remediate runs`"


class SqliteBackend:
    """Implements `Backend` on a file in the state directory."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "remediate.db"
        self._log = directory / "remediate.db-wal"

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self._file)

    def engine(self) -> Engine:
        """Return the way to the file, made private first."""
        self._check_file()
        self._check_log()
        engine = create_engine(f"sqlite:///{self._file}", connect_args={"timeout": backend.BUSY_SECONDS})
        event.listen(engine, "connect", self._on_connect)
        return engine

    def prepare(self, connection: Connection) -> None:
        """Keep the file private."""
        del connection
        self._file.chmod(0o600)

    def begin_writing(self, connection: Connection) -> None:
        """Take the file's write lock; raises StateUnusable when its log is not there any more."""
        # Whoever reads in order to write must be alone from its first read on.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        if self._log_identity() != connection.info["log"]:
            raise StateUnusable(
                f"{self._log} was removed or replaced while the record was in use. Nothing more is written, because "
                "others would not see it.",
                next_step="end every remediate process; what they recorded is written to the file as they end",
            )

    def explain(self, error: Exception) -> Trouble:
        """Return what SQLite says; it says it well."""
        return Trouble(str(getattr(error, "orig", None) or getattr(error, "strerror", None) or error), _REPAIR)

    def _check_file(self) -> None:
        if self._file.is_file() and not os.access(self._file, os.W_OK):
            raise StateUnusable(
                f"The record {self._file} cannot be written. Nothing was run.", next_step=f"chmod 0600 {self._file}"
            )

    def _check_log(self) -> None:
        """Refuse a record whose log was taken away.

        SQLite itself removes the log's index first and then the log, so an index without a log is somebody's doing. The
        last commits of a process that was killed would be lost without a word. It is looked at again because another
        command may be opening or closing the record at this moment.
        """
        index = self._file.with_name("remediate.db-shm")
        for _ in range(3):
            if self._log.exists() or not (index.exists() and self._file.exists()):
                return
            time.sleep(0.02)
        raise StateUnusable(
            f"{self._log} was removed, and with it the newest part of the record. Nothing was run.",
            next_step=f"put it back; if it is lost, remove {index} and see what is missing: `remediate runs`",
        )

    def _on_connect(self, connection: object, entry: ConnectionPoolEntry) -> None:
        """A commit that returned is on the disk: this is the record of what was done to production."""
        # Reading makes SQLite open its log, if it has not done so yet.
        set_up(
            connection,
            backend.BUSY_SECONDS,
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "schema_version",
        )
        entry.info["log"] = self._log_identity()

    def _log_identity(self) -> tuple[int, int] | None:
        try:
            status = self._log.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino


def set_up(connection: object, patience: float, *pragmas: str) -> None:
    """Run these pragmas on a new connection; one that cannot be set up is closed, because its pool never gets it.

    Of two that make a new file write ahead at the same moment, SQLite tells one at once that it is locked, whatever its
    time-out: it tries again for `patience` seconds.
    """
    give_up = time.monotonic() + patience
    with ExitStack() as on_failure:
        on_failure.callback(connection.close)  # type: ignore[attr-defined]  # the DBAPI connection has no type of its own
        for pragma in pragmas:
            _run(connection, pragma, give_up)
        on_failure.pop_all()


def _run(connection: object, pragma: str, give_up: float) -> None:
    while True:
        try:
            connection.execute(f"PRAGMA {pragma}").fetchall()  # type: ignore[attr-defined]  # as above
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return
