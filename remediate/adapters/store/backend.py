"""What differs between the databases that a record may be kept in."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from sqlalchemy import Connection, Engine

#: How long somebody else may keep the record locked before that is an error.
BUSY_SECONDS = 30


class Trouble(NamedTuple):
    """What is wrong with a database, and what to do about it."""

    what: str
    next_step: str


class Backend(Protocol):
    """One kind of database: how it is opened, how one writer keeps the others out, what its errors mean."""

    @property
    def name(self) -> str:
        """What a person calls this database: its file, or its address without secrets."""
        ...

    def engine(self) -> Engine:
        """Return the way to it; raises StateUnusable when something is missing for that here."""
        ...

    def prepare(self, connection: Connection) -> None:
        """Check that this database can hold the record; raises StateUnusable saying why it cannot."""
        ...

    def begin_writing(self, connection: Connection) -> None:
        """Be the only writer of the site until the transaction that is open on the connection ends."""
        ...

    def explain(self, error: Exception) -> Trouble:
        """Return what an error of the database means to a person."""
        ...
