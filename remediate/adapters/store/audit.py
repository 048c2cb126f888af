"""The audit trail on the database: read in pages, so that a long trail is never held in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, LargeBinary, RowMapping, cast, insert, select, update

from remediate.adapters.store.connection import Database
from remediate.adapters.store.tables import audit
from remediate.adapters.store.tables import heads as head_table
from remediate.adapters.store.trail import append, newest
from remediate.domain.audit import (
    AuditEntry,
    AuditEvent,
    Place,
    SignedHead,
    StoredEvent,
    concerns,
    head_message,
    read_event,
)
from remediate.engine.ports import HeadKeys
from remediate.errors import EngineFailure

_PAGE = 2000


class DatabaseTrail:
    """Implements the port `Trail` on the tables `audit` and `audit_heads`."""

    def __init__(self, database: Database, keys: HeadKeys) -> None:
        self._database = database
        self._keys = keys

    def note(self, entry: AuditEntry) -> AuditEvent:
        """Append an entry, in the transaction that this thread has open or in one of its own."""
        with self._database.writing() as connection:
            return append(connection, entry)

    def events(self, *, after: int = 0, subject: str = "") -> Iterator[AuditEvent]:
        """Yield the events after a number, oldest first."""
        text = json.dumps(subject, ensure_ascii=False)[:-1]
        wanted = [audit.c.body.contains(f'"subject":{text}', autoescape=True)] if subject else []
        for stored in self._pages(after, wanted):
            event = _readable(stored)
            if not subject or concerns(event.entry, subject):
                yield event

    def stored(self, *, after: int | None = None) -> Iterator[StoredEvent]:
        """Yield the events as they are stored, lowest number first."""
        return self._pages(after, [])

    def newest(self) -> Place:
        """Return the number and the hash of the newest event."""
        with self._database.reading() as connection:
            return newest(connection)

    def sign_head(self, now: datetime) -> SignedHead | None:
        """Sign the newest event as a head and record it."""
        # The key is made, and the library loaded, before anybody has to wait for this transaction.
        key_id = self._keys.key_id()
        with self._database.writing() as connection:
            last = newest(connection)
            known = _newest_head(connection)
            if last.sequence <= (known["sequence"] if known else 0):
                return None
            signature = self._keys.sign(head_message(last.sequence, last.hash, now, key_id))
            row = {"sequence": last.sequence, "hash": last.hash, "at": now, "key_id": key_id, "signature": signature}
            connection.execute(insert(head_table).values(**row, sent=[]))
        return SignedHead.model_validate(row)

    def heads(self) -> tuple[SignedHead, ...]:
        """Return the heads that were signed here, oldest first."""
        with _readable_heads(), self._database.reading() as connection:
            rows = connection.execute(select(head_table).order_by(head_table.c.sequence)).mappings().all()
            return tuple(_head(row) for row in rows)

    def head_sent(self, head: SignedHead, target: str) -> None:
        """Record that a head reached another place."""
        this = head_table.c.sequence == head.sequence
        with self._database.writing() as connection:
            sent = connection.execute(select(head_table.c.sent).where(this)).scalar_one()
            if target not in sent:
                connection.execute(update(head_table).where(this).values(sent=[*sent, target]))

    def unsent(self, targets: Sequence[str]) -> tuple[tuple[SignedHead, str], ...]:
        """Return the (head, target) pairs that are still to be sent."""
        with _readable_heads(), self._database.reading() as connection:
            row = _newest_head(connection)
            pending = [target for target in targets if target not in row["sent"]] if row else []
            return tuple((_head(row), target) for target in pending) if row else ()

    def _pages(self, after: int | None, wanted: Sequence[ColumnElement[bool]]) -> Iterator[StoredEvent]:
        """Yield rows page by page, each read by itself: nobody waits for whoever reads slowly."""
        while True:
            beyond = [] if after is None else [audit.c.sequence > after]
            with self._database.reading() as connection:
                page = _page(connection, [*beyond, *wanted])
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1][0]


def _page(connection: Connection, wanted: Sequence[ColumnElement[bool]]) -> list[StoredEvent]:
    # SQLite keeps in a column of text whatever somebody puts there; as bytes it can be read, and judged.
    raw = connection.dialect.name == "sqlite"
    columns = [cast(column, LargeBinary) if raw else column for column in (audit.c.body, audit.c.hash)]
    query = select(audit.c.sequence, *columns).where(*wanted).order_by(audit.c.sequence).limit(_PAGE)
    rows = connection.execute(query)
    if raw:
        return [(number, body or b"", (digest or b"").decode("ascii", "replace")) for number, body, digest in rows]
    return [(number, body.encode(), digest) for number, body, digest in rows]


def _readable(stored: StoredEvent) -> AuditEvent:
    try:
        return read_event(stored)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EngineFailure(
            f"Event {stored[0]} of the audit trail cannot be read: somebody has changed it.",
            next_step="see `remediate audit verify`",
        ) from error


@contextmanager
def _readable_heads() -> Iterator[None]:
    """A head whose row is none any more is told as a sentence."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise EngineFailure(
            "The heads in the record cannot be read: somebody has changed them.",
            next_step="see `remediate audit verify --head FILE`, with heads that are kept elsewhere",
        ) from error


def _newest_head(connection: Connection) -> RowMapping | None:
    return connection.execute(select(head_table).order_by(head_table.c.sequence.desc()).limit(1)).mappings().first()


def _head(row: RowMapping) -> SignedHead:
    return SignedHead.model_validate({name: row[name] for name in SignedHead.model_fields})
