"""The turns of schedules in the database: the key of each is its occurrence, so that it is decided about once."""

from __future__ import annotations

from sqlalchemy import Select, insert, select

from remediate.adapters.store.connection import Database
from remediate.adapters.store.tables import schedule_turns
from remediate.adapters.store.trail import append
from remediate.domain.schedule import Turn, turn_entry
from remediate.errors import IllegalTransition


class DatabaseSchedules:
    """Implements the port `Schedules` on the database of the site."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def decide(self, turn: Turn) -> None:
        """Record what was decided about an occurrence, and tell the trail."""
        columns = schedule_turns.c
        same = select(columns.due).where(columns.schedule == turn.schedule, columns.due == turn.due)
        with self._database.writing() as connection:
            # First the trail: on PostgreSQL that makes us the only one who decides.
            append(connection, turn_entry(turn))
            if connection.execute(same).first() is not None:
                raise IllegalTransition(f"It was decided already what becomes of {turn.schedule}, due {turn.due}.")
            connection.execute(insert(schedule_turns).values(turn.model_dump()))

    def last(self, schedule: str) -> Turn | None:
        """Return the turn that was due last."""
        return self._first(_newest(schedule))

    def last_run(self, schedule: str) -> Turn | None:
        """Return the turn that was due last, of those that a run was made of."""
        return self._first(_newest(schedule).where(schedule_turns.c.run_id != ""))

    def turns(self, schedule: str, *, limit: int = 100) -> tuple[Turn, ...]:
        """Return turns, those that were due last first."""
        with self._database.reading() as connection:
            rows = connection.execute(_newest(schedule).limit(limit)).mappings().all()
        return tuple(Turn.model_validate(dict(row)) for row in rows)

    def _first(self, query: Select[tuple[object, ...]]) -> Turn | None:
        with self._database.reading() as connection:
            row = connection.execute(query.limit(1)).mappings().first()
        return Turn.model_validate(dict(row)) if row else None


def _newest(schedule: str) -> Select[tuple[object, ...]]:
    return select(schedule_turns).where(schedule_turns.c.schedule == schedule).order_by(schedule_turns.c.due.desc())
