"""Text as every database can keep it."""

from __future__ import annotations

from sqlalchemy import Dialect
from sqlalchemy import Text as DatabaseText
from sqlalchemy.types import TypeDecorator


class Text(TypeDecorator[str]):
    """Text of any origin: what PostgreSQL or UTF-8 cannot hold (NUL, lone surrogates) is written as an escape.

    Otherwise a host could keep its own run out of the record by what it answers.
    """

    impl = DatabaseText
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Escape what cannot be kept."""
        del dialect
        if value is None:
            return None
        return value.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
