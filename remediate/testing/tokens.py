"""The twin of the tokens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from threading import RLock

from remediate.domain.audit import AuditEntry
from remediate.domain.identity import Token
from remediate.domain.token import token_made, token_revoked
from remediate.errors import UnknownToken


class MemoryTokens:
    """Implements the port `Tokens` in memory; `note` is given what the trail would say."""

    def __init__(self, note: Callable[[AuditEntry], object] = lambda _entry: None) -> None:
        self._lock = RLock()
        self._note = note
        self._tokens: dict[str, tuple[Token, str]] = {}

    def add(self, token: Token, secret_hash: str) -> None:
        """Record a new token."""
        with self._lock:
            self._tokens[token.id] = (token, secret_hash)
            self._note(token_made(token))

    def find(self, token_id: str) -> tuple[Token, str] | None:
        """Return a token and the hash of its secret."""
        return self._tokens.get(token_id)

    def tokens(self) -> tuple[Token, ...]:
        """Return all tokens, newest first."""
        with self._lock:
            by_id = sorted((token for token, _ in self._tokens.values()), key=lambda token: token.id)
        return tuple(sorted(by_id, key=lambda token: token.created_at, reverse=True))

    def revoke(self, token_id: str, by: str, now: datetime) -> Token:
        """Revoke a token from now on; one that is revoked already stays as it is."""
        with self._lock:
            if token_id not in self._tokens:
                raise UnknownToken(f"There is no token {token_id!r}.", next_step="see `remediate token list`")
            token, secret_hash = self._tokens[token_id]
            if token.revoked_at is None:
                token = token.model_copy(update={"revoked_at": now, "revoked_by": by})
                self._tokens[token_id] = (token, secret_hash)
                self._note(token_revoked(token, by, now))
            return token

    def used(self, token_id: str, now: datetime) -> None:
        """Remember when a token was last used; an earlier moment than the recorded one changes nothing."""
        with self._lock:
            if token_id in self._tokens:
                token, secret_hash = self._tokens[token_id]
                if token.used_at is None or token.used_at < now:
                    self._tokens[token_id] = (token.model_copy(update={"used_at": now}), secret_hash)
