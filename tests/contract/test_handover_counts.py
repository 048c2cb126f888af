"""What the hand-over counts in the record of a site."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from remediate.adapters.store.connection import Database, open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.handover import DatabaseCounts
from remediate.adapters.store.tables import incidents, notices
from remediate.testing import EPOCH
from tests.builders import run


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "state")
    yield opened
    opened.dispose()


def incident(database: Database, run_id: str, closed_at: datetime | None) -> None:
    DatabaseStore(database).create_run(run(run_id))
    row = {"id": run_id, "kind": "incident", "run_id": run_id, "severity": "SEV1", "title": "", "note": ""}
    with database.writing() as connection:
        connection.execute(insert(incidents).values(**row, status="open", opened_at=EPOCH, closed_at=closed_at))


def notice(database: Database, key: str, given_up_at: datetime | None) -> None:
    row = {"key": key, "channel": "email", "person": "nadia", "subject": "", "body": "", "data": {}, "last_error": ""}
    moments = {"created_at": EPOCH, "next_at": EPOCH, "given_up_at": given_up_at}
    with database.writing() as connection:
        connection.execute(insert(notices).values(**row, **moments, attempts=1))


def test_an_empty_record_counts_nothing(database: Database) -> None:
    counts = DatabaseCounts(database)

    assert (counts.open_incidents(), counts.notices_given_up(EPOCH)) == (0, 0)


def test_incidents_count_until_they_are_closed(database: Database) -> None:
    incident(database, "a", None)
    incident(database, "b", EPOCH)
    incident(database, "c", None)

    assert DatabaseCounts(database).open_incidents() == 2


def test_notices_count_when_they_were_given_up_since_then(database: Database) -> None:
    notice(database, "before", EPOCH - timedelta(microseconds=1))
    notice(database, "at the moment", EPOCH)
    notice(database, "after", EPOCH + timedelta(days=1))
    notice(database, "on its way", None)

    assert DatabaseCounts(database).notices_given_up(EPOCH) == 2
