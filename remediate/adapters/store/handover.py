"""What the hand-over of the duty counts in the record."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Select, func, select

from remediate.adapters.store.connection import Database
from remediate.adapters.store.tables import incidents, notices


class DatabaseCounts:
    """Implements the port `Counts` on the database of the site."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_incidents(self) -> int:
        """Return how many incidents, and reviews of what was done in one, are open."""
        return self._count(select(func.count()).select_from(incidents).where(incidents.c.closed_at.is_(None)))

    def notices_given_up(self, since: datetime) -> int:
        """Return how many notices were given up since a moment."""
        return self._count(select(func.count()).select_from(notices).where(notices.c.given_up_at >= since))

    def _count(self, query: Select[int]) -> int:
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one()
