"""What is not the same in the tables that were restored as in those that were counted, of whichever database. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Counted(Protocol):
    """A table of which rows and checksums are known; what is equal is the same."""

    @property
    def label(self) -> str:
        """Its name, with all that it is in."""

    @property
    def rows(self) -> int:
        """How many rows it has."""


class Tables(Protocol):
    """Tables at one position of a log."""

    @property
    def tables(self) -> Sequence[Counted]:
        """All of them."""


def differences(wanted: Tables, found: Tables) -> list[str]:
    """Return in words what is not the same, one per table; nothing when all that was wanted is there exactly."""
    there = {one.label: one for one in found.tables}
    said = []
    for table in wanted.tables:
        other = there.get(table.label)
        if other is None:
            said.append(f"{table.label} is not there (it had {table.rows} rows)")
        elif other.rows != table.rows:
            said.append(f"{table.label} has {other.rows} rows instead of {table.rows}")
        elif other != table:
            said.append(f"{table.label} has the right number of rows ({table.rows}) and another content")
    return said
