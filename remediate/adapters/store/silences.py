"""Our silences in the database: what was wanted is there before it is made, so that nothing is left over elsewhere."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, select, update

from remediate.adapters.store.connection import Database
from remediate.adapters.store.tables import silences
from remediate.adapters.store.trail import append
from remediate.domain.silence import KeptSilence, Silence, silence_entry


class DatabaseSilences:
    """Implements the port `Silences`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def want(self, wanted: Silence) -> KeptSilence:
        """Record a silence that is about to be made."""
        kept = KeptSilence.model_validate(wanted.model_dump())
        with self._database.writing() as connection:
            connection.execute(delete(silences).where(_same(kept)))
            connection.execute(insert(silences).values(kept.model_dump()))
        return kept

    def made(self, kept: KeptSilence, external_id: str) -> KeptSilence:
        """Record what the silence is called where it was made."""
        made = kept.model_copy(update={"external_id": external_id})
        self._change(kept, external_id=external_id)
        return made

    def removed(self, kept: KeptSilence, now: datetime) -> None:
        """Record that a silence is gone."""
        with self._database.writing() as connection:
            connection.execute(update(silences).where(_same(kept)).values(removed_at=now, trouble=""))
            if kept.external_id:
                append(connection, silence_entry(kept, "silence.removed", now))

    def not_removed(self, kept: KeptSilence, trouble: str) -> None:
        """Record why a silence could not be removed."""
        self._change(kept, trouble=trouble)

    def standing(self, *, run_id: str = "") -> tuple[KeptSilence, ...]:
        """Return the silences that are not known to be gone, oldest first."""
        query = select(silences).where(silences.c.removed_at.is_(None))
        if run_id:
            query = query.where(silences.c.run_id == run_id)
        ordered = query.order_by(silences.c.begins_at, silences.c.run_id, silences.c.source, silences.c.alert)
        with self._database.reading() as connection:
            rows = connection.execute(ordered).mappings().all()
        return tuple(KeptSilence.model_validate(dict(row)) for row in rows)

    def _change(self, kept: KeptSilence, **change: Any) -> None:
        with self._database.writing() as connection:
            connection.execute(update(silences).where(_same(kept)).values(**change))
            if change.get("external_id"):
                append(connection, silence_entry(kept, "silence.made", kept.begins_at))


def _same(kept: KeptSilence) -> ColumnElement[bool]:
    run_id, source, alert = kept.key
    return (silences.c.run_id == run_id) & (silences.c.source == source) & (silences.c.alert == alert)
