"""The audit trail's rows: each is chained to the one before it, within the transaction of what it tells about."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from remediate.adapters.store.tables import audit
from remediate.domain.audit import BEGINNING, AuditEntry, AuditEvent, Place, following


def append(connection: Connection, entry: AuditEntry) -> AuditEvent:
    """Append an entry to the trail, in the transaction that is open on the connection.

    Whoever writes is alone (docs/adr/0007), so no two entries follow the same one.
    """
    event, body = following(newest(connection), entry)
    connection.execute(insert(audit).values(sequence=event.sequence, body=body.decode(), hash=event.hash))
    return event


def append_all(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Append entries in their order, as `append` does with each, in one go."""
    place, rows = newest(connection), []
    for entry in entries:
        event, body = following(place, entry)
        rows.append({"sequence": event.sequence, "body": body.decode(), "hash": event.hash})
        place = Place(event.sequence, event.hash)
    if rows:
        connection.execute(insert(audit), rows)


def newest(connection: Connection) -> Place:
    """Return the number and the hash of the newest event."""
    last = connection.execute(select(audit.c.sequence, audit.c.hash).order_by(audit.c.sequence.desc()).limit(1)).first()
    return Place(last.sequence, last.hash) if last else BEGINNING
