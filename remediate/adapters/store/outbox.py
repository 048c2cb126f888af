"""The outbox on the database: a notice is claimed by compare-and-set, and belongs to whoever claimed it for a while."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from remediate.adapters.store.connection import Database
from remediate.adapters.store.tables import notices
from remediate.adapters.store.trail import append
from remediate.domain.delivery import delivered_entry, given_up_entry
from remediate.domain.notice import Notice

_OPEN = and_(notices.c.delivered_at.is_(None), notices.c.given_up_at.is_(None))


class DatabaseOutbox:
    """Implements the port `Outbox` on the table `notices`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, new: Iterable[Notice]) -> None:
        """Add notices, in the transaction that this thread has open; a known key is left as it is."""
        rows = [dict(notice) for notice in new]
        if not rows:
            return
        with self._database.writing() as connection:
            # A conflict that raises would take the caller's whole transaction with it on PostgreSQL.
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            connection.execute(insert(notices).on_conflict_do_nothing(index_elements=["key"]), rows)

    def waiting(self, now: datetime) -> tuple[str, ...]:
        """Return the channels that have notices due, by name."""
        query = select(notices.c.channel).where(_OPEN, notices.c.next_at <= now).distinct()
        with self._database.reading() as connection:
            return tuple(sorted(connection.execute(query).scalars()))

    def claim(self, channel: str, now: datetime, *, lease: timedelta, limit: int = 1) -> tuple[Notice, ...]:
        """Take due notices of a channel until the lease ends; the number of attempts is what tells claims apart."""
        due = select(notices).where(_OPEN, notices.c.channel == channel, notices.c.next_at <= now)
        query = due.order_by(notices.c.next_at, notices.c.key).limit(limit).with_for_update(skip_locked=True)
        with self._database.writing() as connection:
            found = [Notice.model_validate(dict(row)) for row in connection.execute(query).mappings()]
            change = {"next_at": now + lease}
            return tuple(
                notice.model_copy(update={**change, "attempts": notice.attempts + 1})
                for notice in found
                if _changed(connection, notice, {**change, "attempts": notice.attempts + 1})
            )

    def delivered(self, notice: Notice, now: datetime) -> None:
        """Record that a notice has arrived; whose claim it was by then does not matter."""
        statement = update(notices).where(notices.c.key == notice.key, notices.c.delivered_at.is_(None))
        change = {"delivered_at": now, "given_up_at": None, "last_error": ""}
        with self._database.writing() as connection:
            if connection.execute(statement.values(change)).rowcount == 1:
                append(connection, delivered_entry(notice, now))

    def failed(self, notice: Notice, error: str, *, again_at: datetime | None, now: datetime) -> None:
        """Record that a notice did not arrive, and when to try again, or that it is given up."""
        change: dict[str, object] = {"last_error": error}
        change |= {"next_at": again_at} if again_at else {"given_up_at": now}
        with self._database.writing() as connection:
            if _changed(connection, notice, change) and again_at is None:
                append(connection, given_up_entry(notice, error, now))

    def notices(self, *, prefix: str = "", limit: int = 100) -> tuple[Notice, ...]:
        """Return notices whose key begins so, newest first."""
        query = select(notices).where(notices.c.key.startswith(prefix, autoescape=True))
        newest = query.order_by(notices.c.created_at.desc(), notices.c.key).limit(limit)
        with self._database.reading() as connection:
            return tuple(Notice.model_validate(dict(row)) for row in connection.execute(newest).mappings())


def _changed(connection: Connection, notice: Notice, change: Mapping[str, object]) -> bool:
    """Change a notice that is as the caller knows it; return whether it was."""
    same: ColumnElement[bool] = and_(notices.c.key == notice.key, notices.c.attempts == notice.attempts, _OPEN)
    return connection.execute(update(notices).where(same).values(dict(change))).rowcount == 1
