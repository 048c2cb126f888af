"""What all keepers of tokens do: the database and its twin in memory. And what only the database can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from remediate.adapters.store import tokens as on_database
from remediate.adapters.store.connection import Database, open_database
from remediate.adapters.store.tables import audit
from remediate.adapters.store.tokens import DatabaseTokens
from remediate.domain.audit import AuditEntry, read_event
from remediate.domain.people import Role
from remediate.domain.token import secret_hash
from remediate.engine.ports import Tokens
from remediate.errors import UnknownToken
from remediate.testing import EPOCH, MemoryTokens
from tests.identities import token

LATER = EPOCH + timedelta(seconds=90, microseconds=123456)
HASH = secret_hash("secret")


class Kept:
    """Some tokens, and what the trail says about them."""

    def __init__(self, tokens: Tokens, trail: Callable[[], list[AuditEntry]]) -> None:
        self.tokens = tokens
        self.trail = trail


def trail_of(database: Database) -> list[AuditEntry]:
    with database.reading() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.sequence)).all()
    return [read_event((row.sequence, row.body, row.hash)).entry for row in rows]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "state")
    yield opened
    opened.dispose()


@pytest.fixture(params=["database", "memory"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    if request.param == "memory":
        entries: list[AuditEntry] = []
        return Kept(MemoryTokens(entries.append), lambda: entries)
    database = request.getfixturevalue("database")
    return Kept(DatabaseTokens(database), lambda: trail_of(database))


def test_a_token_comes_back_as_it_was_recorded_with_its_hash(kept: Kept) -> None:
    recorded = token(roles=(Role.VIEWER, Role.APPROVER), label="ü {{ x }}'\n")
    kept.tokens.add(recorded, HASH)

    assert kept.tokens.find(recorded.id) == (recorded, HASH)


@pytest.mark.parametrize("unknown", ["", "nothing", "%", "' or '1'='1", "BCDFGHJKMN", "bcdfghjkm"])
def test_an_unknown_token_is_not_found(kept: Kept, unknown: str) -> None:
    kept.tokens.add(token(), HASH)

    assert kept.tokens.find(unknown) is None


def test_tokens_are_listed_newest_first(kept: Kept) -> None:
    for token_id, made in [("bbbbbbbbbb", EPOCH), ("dddddddddd", LATER), ("cccccccccc", LATER)]:
        kept.tokens.add(token(token_id, created_at=made), HASH)

    assert [entry.id for entry in kept.tokens.tokens()] == ["cccccccccc", "dddddddddd", "bbbbbbbbbb"]


def test_a_token_is_revoked_once_and_stays_as_it_was_revoked_first(kept: Kept) -> None:
    kept.tokens.add(token(), HASH)
    revoked = kept.tokens.revoke(token().id, "omar", LATER)
    again = kept.tokens.revoke(token().id, "theo", LATER + timedelta(days=1))

    assert revoked == again == token(revoked_at=LATER, revoked_by="omar")
    assert kept.tokens.find(token().id) == (revoked, HASH)
    assert [entry.action for entry in kept.trail()] == ["token.made", "token.revoked"]


def test_an_unknown_token_cannot_be_revoked_and_nothing_is_said_about_it(kept: Kept) -> None:
    with pytest.raises(UnknownToken, match="There is no token 'nothing'"):
        kept.tokens.revoke("nothing", "omar", LATER)
    assert kept.trail() == []


def test_the_trail_tells_who_made_and_revoked_a_token_and_nothing_of_its_secret(kept: Kept) -> None:
    kept.tokens.add(token(roles=(Role.VIEWER,)), HASH)
    kept.tokens.revoke(token().id, "theo", LATER)

    assert kept.trail() == [
        AuditEntry(
            at=EPOCH,
            actor="omar",
            action="token.made",
            subject="bcdfghjkmn",
            details={"person": "nadia", "label": "laptop", "roles": ["viewer"], "expires_at": "2026-04-05T03:00:00Z"},
        ),
        AuditEntry(
            at=LATER,
            actor="theo",
            action="token.revoked",
            subject="bcdfghjkmn",
            details={"person": "nadia", "label": "laptop"},
        ),
    ]
    assert HASH not in str(kept.trail())


def test_the_last_use_is_remembered_and_an_earlier_one_changes_nothing(kept: Kept) -> None:
    kept.tokens.add(token(), HASH)
    kept.tokens.used(token().id, LATER)
    kept.tokens.used(token().id, EPOCH)
    kept.tokens.used("nothing", LATER)

    assert kept.tokens.tokens() == (token(used_at=LATER),)


def test_a_use_is_no_matter_for_the_trail(kept: Kept) -> None:
    kept.tokens.used(token().id, LATER)

    assert kept.trail() == []


def test_a_token_that_the_trail_cannot_tell_about_is_not_made_and_not_revoked(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = DatabaseTokens(database)
    tokens.add(token("cccccccccc"), HASH)

    def fails(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(on_database, "append", fails)
    with pytest.raises(OSError, match="disk is full"):
        tokens.add(token("dddddddddd"), HASH)
    with pytest.raises(OSError, match="disk is full"):
        tokens.revoke("cccccccccc", "omar", LATER)

    assert tokens.tokens() == (token("cccccccccc"),)
