"""Opens the database of a site, with the newest tables, and gives transactions on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from remediate.adapters.store.backend import BUSY_SECONDS, Backend
from remediate.adapters.store.postgresql import PostgresqlBackend
from remediate.adapters.store.sqlite import SqliteBackend
from remediate.adapters.store.state_directory import check_state_directory
from remediate.adapters.store.tables import SCHEMA_VERSION
from remediate.adapters.store.turns import Turns
from remediate.catalog.database import DatabaseSettings
from remediate.errors import StateUnusable

_FAILURES = (DBAPIError, PoolExhausted)


class Database:
    """The one database of a site: every table is read and written through here."""

    def __init__(self, engine: Engine, backend: Backend) -> None:
        self.engine = engine
        self._backend = backend
        self._current = threading.local()
        #: Whose turn it is among the threads of this process.
        self._turns = Turns()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection to read with: that of the transaction of this thread, when one is open."""
        open_one: Connection | None = getattr(self._current, "connection", None)
        if open_one is not None:
            yield open_one
            return
        try:
            with self.engine.connect() as connection:
                yield connection
        except _FAILURES as error:
            trouble = self._backend.explain(error)
            raise StateUnusable(f"The record cannot be read: {trouble.what}.", next_step=trouble.next_step) from error

    @contextmanager
    def writing(self, *, urgent: bool = False) -> Iterator[Connection]:
        """Give a connection within one transaction; one that is opened inside another one is part of it.

        What is written together by one thread is on the disk together, or not at all. There is one writer of a site at
        a time (docs/adr/0007), so what is read in order to write stays true until it is written. Of the threads that
        wait for their turn here, those with something `urgent` go first.
        """
        open_one: Connection | None = getattr(self._current, "connection", None)
        if open_one is not None:
            yield open_one
            return
        committing = False
        try:
            with self._in_turn(urgent=urgent), self.engine.begin() as connection:
                self._backend.begin_writing(connection)
                self._current.connection = connection
                try:
                    yield connection
                finally:
                    self._current.connection = None
                committing = True
        except _FAILURES as error:
            raise self._not_written(error, committing=committing) from error

    @contextmanager
    def _in_turn(self, *, urgent: bool) -> Iterator[None]:
        """Wait for other threads of this process to end their transactions; whoever hangs in one holds up nobody long.

        After that the database says itself that it is locked.
        """
        is_mine = self._turns.take(urgent=urgent, patience=BUSY_SECONDS)
        try:
            yield
        finally:
            if is_mine:
                self._turns.hand_on()

    @contextmanager
    def apart(self) -> Iterator[Connection]:
        """Give a connection of its own, closed at the end, on which each statement is a transaction by itself."""
        try:
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.detach()
                yield connection
        except _FAILURES as error:
            trouble = self._backend.explain(error)
            raise StateUnusable(f"The database failed: {trouble.what}.", next_step=trouble.next_step) from error

    def another_engine(self) -> Engine:
        """Return one more way to the same database, for whoever has tables of its own there and closes it itself."""
        return self._backend.engine()

    @property
    def in_transaction(self) -> bool:
        """Whether this thread has a transaction open."""
        return getattr(self._current, "connection", None) is not None

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _not_written(self, error: Exception, *, committing: bool) -> StateUnusable:
        trouble = self._backend.explain(error)
        if committing and getattr(error, "connection_invalidated", False):
            # The answer to the commit was lost, and with it the knowledge whether it took place.
            said = f"The connection was lost while the record was written ({trouble.what}): it may hold the last step."
            return StateUnusable(said, next_step="see what it holds: `remediate runs`")
        return StateUnusable(
            f"The record cannot be written: {trouble.what}. Nothing is done without a record, so the run ends here.",
            next_step=trouble.next_step,
        )


def open_database(directory: Path, settings: DatabaseSettings | None = None) -> Database:
    """Return the site's database, with the newest tables: a file in the state directory, or what the settings name.

    Raises StateUnusable naming what is wrong, or UsageError when a password is not where the settings say.
    """
    check_state_directory(directory)
    backend: Backend = PostgresqlBackend(settings) if settings and settings.url else SqliteBackend(directory)
    engine = backend.engine()
    with ExitStack() as on_failure:
        on_failure.callback(engine.dispose)
        try:
            _bring_up_to_date(engine, backend)
        except (*_FAILURES, OSError) as error:
            trouble = backend.explain(error)
            raise StateUnusable(
                f"The record {backend.name} cannot be opened: {trouble.what}. Nothing was run.",
                next_step=trouble.next_step,
            ) from error
        on_failure.pop_all()
    return Database(engine, backend)


def _bring_up_to_date(engine: Engine, backend: Backend) -> None:
    with engine.begin() as connection:
        backend.prepare(connection)
        if _version(connection) != SCHEMA_VERSION:
            # One command makes the tables, whole or not at all, while the others wait for it.
            backend.begin_writing(connection)
            if _version(connection) != SCHEMA_VERSION:
                _upgrade(connection)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection) -> None:
    # Importing alembic costs more than reading the record: only an upgrade pays for it.
    from alembic import command  # noqa: PLC0415  # only an upgrade pays for it
    from alembic.config import Config  # noqa: PLC0415  # only an upgrade pays for it
    from alembic.util import CommandError  # noqa: PLC0415  # only an upgrade pays for it

    config = Config()
    config.set_main_option("script_location", "remediate.adapters.store:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, SCHEMA_VERSION)
    except CommandError as error:
        raise StateUnusable(
            f"The record was written by a newer version of this program ({error}). Nothing was run.",
            next_step="use the newer version, or name another state directory",
        ) from error
