"""The switches that people press; each press is in the audit trail, in the same transaction."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from remediate.adapters.store.connection import Database
from remediate.adapters.store.tables import switches
from remediate.adapters.store.trail import append
from remediate.domain.audit import AuditEntry
from remediate.domain.switch import Switch


class DatabaseSwitches:
    """Implements the port `Switches` on the database of the site."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def press(self, switch: Switch) -> None:
        """Record the position of a switch, and who pressed it in the trail."""
        with self._database.writing() as connection:
            # First the trail: on PostgreSQL that makes us the only one who presses.
            append(connection, _entry(switch))
            connection.execute(delete(switches).where(switches.c.name == switch.name))
            connection.execute(insert(switches).values(switch.model_dump()))

    def switches(self) -> tuple[Switch, ...]:
        """Return every switch that was ever pressed, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(switches).order_by(switches.c.name)).mappings().all()
        return tuple(Switch.model_validate(dict(row)) for row in rows)


def _entry(switch: Switch) -> AuditEntry:
    details = {"on": switch.on, "reason": switch.reason, "after": switch.after}
    return AuditEntry(
        at=switch.at, actor=switch.by, action="switch.pressed", subject=switch.name, details=dict(details)
    )
