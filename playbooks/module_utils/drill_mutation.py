"""Damage done on purpose to what a drill has restored: a drill that does not notice it proves nothing.

Only the copy in the scratch place is touched, never what is stored.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO

from ansible.module_utils.binlog_events import MAGIC
from ansible.module_utils.database_content import columns_of
from ansible.module_utils.host_step import StepError
from ansible.module_utils.mariadb_server import name
from ansible.module_utils.scratch_server import ScratchServer

#: What each mutation damages, and the verdict that must come of it.
KINDS = {
    "stream_cut": "BACKUP_BAD",
    "page_bit": "BACKUP_BAD",
    "log_bit": "CHAIN_GAP",
    "log_missing": "CHAIN_GAP",
    "log_cut": "CHAIN_GAP",
    "row_missing": "CONTENT_MISMATCH",
    "row_changed": "CONTENT_MISMATCH",
    "redis_bit": "BACKUP_BAD",
}
#: The same of a copy of PostgreSQL.
POSTGRESQL_KINDS = {
    "pgbackrest_bit": "BACKUP_BAD",
    "wal_bit": "CHAIN_GAP",
    "wal_missing": "CHAIN_GAP",
    "wal_cut": "CHAIN_GAP",
    "postgresql_row": "CONTENT_MISMATCH",
}
_PAGE = 16384
#: The first page of a table's rows: one that is free has nothing to lose, and is looked at by nobody.
_ROWS = 3
#: Into the data of a page, behind its head.
_INSIDE = 8192


class Mutation:
    """One kind of damage, or none."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    @property
    def wanted(self) -> str:
        """The verdict that must come of it."""
        return {**KINDS, **POSTGRESQL_KINDS}[self.kind]

    def stream(self, source: IO[bytes], size: int) -> IO[bytes]:
        """Return the stream of a copy, cut short where that is the damage."""
        return _Cut(source, size // 2) if self.kind == "stream_cut" else source  # type: ignore[return-value]  # it is only read from

    def pages(self, directory: str) -> None:
        """Flip a bit in a page of the biggest table of the application."""
        if self.kind != "page_bit":
            return
        path = max(_tables(directory), key=os.path.getsize)
        flip(path, _ROWS * _PAGE + _INSIDE)

    def logs(self, paths: list[str], first: str) -> list[str]:
        """Damage one of the logs from the first one on that the copy needs; return those that are left."""
        if not self.kind.startswith("log_"):
            return paths
        needed = sorted(path for path in paths if os.path.basename(path) >= first)
        if not needed:
            raise StepError("the copy has no log that could be damaged: ship logs first, or choose another mutation")
        middle = needed[len(needed) // 2]
        if self.kind == "log_missing":
            return [path for path in paths if path != middle]
        if self.kind == "log_bit":
            flip(middle, os.path.getsize(middle) // 2)
        else:
            _cut_at_event(middle)
        return paths

    def redis(self, path: str) -> None:
        """Flip a bit in what Redis has written."""
        if self.kind == "redis_bit":
            flip(path, os.path.getsize(path) - 3)

    def rows(self, server: ScratchServer, labels: Sequence[str]) -> None:
        """Take a row away, or change one, in the first of some tables (`schema.table`) that has any."""
        if not self.kind.startswith("row_"):
            return
        for (schema, table), columns in columns_of(server.rows, 60.0).items():
            if f"{schema}.{table}" not in labels:
                continue
            place = f"{name(schema)}.{name(table)}"
            removal = [f"DELETE FROM {place} LIMIT 1"]  # noqa: S608 - names of SQL
            # A column that is not changed by this had that value: another one has another.
            changes = [f"UPDATE IGNORE {place} SET {name(one)} = NULL LIMIT 1" for one in reversed(columns)]  # noqa: S608 - as above
            for statement in removal if self.kind == "row_missing" else changes:
                if server.rows(f"SET foreign_key_checks = 0; {statement}; SELECT ROW_COUNT();\n") != [["0"]]:
                    return
        raise StepError("no table has a row that could be damaged: choose another mutation")


class _Cut:
    """A stream that ends early."""

    def __init__(self, source: IO[bytes], left: int) -> None:
        self._source = source
        self._left = left

    def read(self, size: int) -> bytes:
        """Return the next bytes until the end that was set."""
        block = self._source.read(size)
        kept = block[: max(0, self._left)]
        self._left -= len(block)
        return kept


def _tables(directory: str) -> list[str]:
    found = [
        os.path.join(parent, one)
        for parent, _, files in os.walk(directory)
        for one in files
        if one.endswith(".ibd") and os.path.basename(parent) not in {"mysql", "sys"}
    ]
    if not found:
        raise StepError("the copy has no table that could be damaged: choose another mutation")
    return found


def flip(path: str, offset: int) -> None:
    """Turn one bit of a file over."""
    with open(path, "r+b") as target:
        target.seek(offset)
        byte = target.read(1)
        target.seek(offset)
        target.write(bytes([byte[0] ^ 1]))


def _cut_at_event(path: str) -> None:
    """Remove the last event of a log: nothing of what is left is wrong by itself."""
    with open(path, "r+b") as target:
        size, at, last = os.path.getsize(path), len(MAGIC), len(MAGIC)
        while at < size:
            target.seek(at + 9)
            last, at = at, at + int.from_bytes(target.read(4), "little")
        target.truncate(last)
