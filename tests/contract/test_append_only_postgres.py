"""The audit table refuses to be changed on PostgreSQL as well."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from remediate.adapters.store.audit import DatabaseTrail
from remediate.adapters.store.connection import open_database
from remediate.catalog.database import DatabaseSettings
from remediate.domain.audit_check import Flaw, verify
from remediate.testing import PlainKeys
from tests.builders import entry
from tests.postgres import PASSWORD

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET body = '{}'",
        "UPDATE audit SET sequence = 9 WHERE sequence = 3",
        "DELETE FROM audit WHERE sequence = 3",
        "TRUNCATE audit",
        "INSERT INTO audit VALUES (3, '{}', 'x') ON CONFLICT (sequence) DO UPDATE SET body = excluded.body",
    ],
)
def test_the_database_refuses_every_statement_that_changes_the_trail(
    tmp_path: Path, postgres: DatabaseSettings, statement: str
) -> None:
    database = open_database(tmp_path / "state", postgres)
    trail = DatabaseTrail(database, PlainKeys())
    for number in range(3):
        trail.note(entry(f"run-{number}"))
    refused = pytest.raises(psycopg.errors.RaiseException, match="the audit trail is append-only")
    with psycopg.connect(postgres.url or "", password=PASSWORD) as raw, refused:
        raw.execute(statement.encode())
    assert verify(trail.stored()).checked == 3
    database.dispose()


def test_what_its_owner_changes_all_the_same_is_found(tmp_path: Path, postgres: DatabaseSettings) -> None:
    database = open_database(tmp_path / "state", postgres)
    trail = DatabaseTrail(database, PlainKeys())
    for number in range(3):
        trail.note(entry(f"run-{number}"))
    with psycopg.connect(postgres.url or "", password=PASSWORD) as raw:
        raw.execute("ALTER TABLE audit DISABLE TRIGGER USER")
        raw.execute("UPDATE audit SET body = replace(body, 'nadia', 'omar') WHERE sequence = 2")
        raw.execute("ALTER TABLE audit ENABLE TRIGGER USER")
    verdict = verify(trail.stored())
    assert (verdict.flaw, verdict.first_bad) == (Flaw.EDITED, 2)
    database.dispose()
