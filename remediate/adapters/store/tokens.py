"""The tokens on the database: only a hash of each secret is kept, and the trail knows who made and revoked one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, insert, or_, select, update

from remediate.adapters.store.connection import Database
from remediate.adapters.store.tables import tokens
from remediate.adapters.store.trail import append
from remediate.domain.identity import Token
from remediate.domain.token import token_made, token_revoked
from remediate.errors import UnknownToken


class DatabaseTokens:
    """Implements the port `Tokens` on any database that SQLAlchemy Core speaks to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, token: Token, secret_hash: str) -> None:
        """Record a new token, and in the trail who made it for whom."""
        row = {**token.model_dump(), "roles": [role.value for role in token.roles], "secret_hash": secret_hash}
        with self._database.writing() as connection:
            connection.execute(insert(tokens).values(row))
            append(connection, token_made(token))

    def find(self, token_id: str) -> tuple[Token, str] | None:
        """Return a token and the hash of its secret."""
        with self._database.reading() as connection:
            row = connection.execute(select(tokens).where(tokens.c.id == token_id)).mappings().first()
        return (_token(row), row["secret_hash"]) if row else None

    def tokens(self) -> tuple[Token, ...]:
        """Return all tokens, newest first."""
        query = select(tokens).order_by(tokens.c.created_at.desc(), tokens.c.id)
        with self._database.reading() as connection:
            return tuple(_token(row) for row in connection.execute(query).mappings())

    def revoke(self, token_id: str, by: str, now: datetime) -> Token:
        """Revoke a token from now on; one that is revoked already stays as it is. Raises UnknownToken."""
        claim = update(tokens).where(tokens.c.id == token_id, tokens.c.revoked_at.is_(None))
        with self._database.writing() as connection:
            claimed = connection.execute(claim.values(revoked_at=now, revoked_by=by)).rowcount == 1
            row = connection.execute(select(tokens).where(tokens.c.id == token_id)).mappings().first()
            if row is None:
                raise UnknownToken(f"There is no token {token_id!r}.", next_step="see `remediate token list`")
            token = _token(row)
            if claimed:
                append(connection, token_revoked(token, by, now))
        return token

    def used(self, token_id: str, now: datetime) -> None:
        """Remember when a token was last used; an earlier moment than the recorded one changes nothing."""
        earlier = or_(tokens.c.used_at.is_(None), tokens.c.used_at < now)
        with self._database.writing() as connection:
            connection.execute(update(tokens).where(tokens.c.id == token_id, earlier).values(used_at=now))


def _token(row: RowMapping) -> Token:
    values: dict[str, Any] = {name: row[name] for name in Token.model_fields}
    return Token.model_validate(values)
