"""What is in the tables of a database at one position of its binary log: counts and checksums, exactly comparable.

Taken in a consistent snapshot: nothing is locked, and writers go on. The checksums tell damage and loss, not forgery.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible.module_utils.mariadb_server import ServerError, literal, name

#: A statement goes in, rows come out: a server, wherever it is.
Ask = Callable[[str, float], "list[list[str]]"]

_SYSTEM = ("information_schema", "performance_schema", "sys", "mysql")
_TRIES = 3
#: The server's answer to a table that was altered after the snapshot began, and to one that is gone.
_ALTERED = {1412, 1146}


class TableChangedError(Exception):
    """Tables were altered again and again while they were looked at."""


@dataclass(frozen=True)
class Table:
    """One table: rows, and a checksum over them that does not depend on their order."""

    schema: str
    table: str
    rows: int
    checksum: int

    @property
    def label(self) -> str:
        """The name of the table with its schema."""
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True)
class Content:
    """Tables at a position of the binary log (empty for a server without one), out of so many."""

    file: str
    offset: int
    tables: tuple[Table, ...]
    of: int

    def record(self) -> dict[str, Any]:
        """Return it as it is written down."""
        return {**asdict(self), "tables": [asdict(one) for one in self.tables]}


def from_record(record: dict[str, Any]) -> Content:
    """Return it from what was written down.

    Tables of which another kind of sums was noted, as it was done before, cannot be compared any more: left out.
    """
    tables = tuple(Table(**one) for one in record["tables"] if "xor" not in one)
    return Content(record["file"], record["offset"], tables, record["of"])


def look(ask: Ask, seconds: float, wanted: Sequence[str] = (), most: int = 0) -> Content:
    """Count and sum tables at one position: those named (`schema.table`), or all of them.

    With `most` only so many of all, after which the next ones come another time: those behind the last of `wanted`.
    Raises ServerError, or TableChangedError.
    """
    for _ in range(_TRIES):
        columns = columns_of(ask, seconds)
        chosen = _chosen(columns, wanted, most)
        try:
            return _looked_at(ask, seconds, columns, chosen)
        except ServerError as error:
            if error.code not in _ALTERED:
                raise
    raise TableChangedError("tables were altered while they were looked at, three times in a row")


def columns_of(ask: Ask, seconds: float) -> dict[tuple[str, str], list[str]]:
    """Return the columns of each table that is not the server's own, in the order of their names."""
    without = ", ".join(map(literal, _SYSTEM))
    found = ask(
        "SELECT c.table_schema, c.table_name, c.column_name FROM information_schema.columns c"  # noqa: S608 - literals made here
        " JOIN information_schema.tables t USING (table_schema, table_name)"
        f" WHERE t.table_type = 'BASE TABLE' AND c.table_schema NOT IN ({without})"
        " ORDER BY c.table_schema, c.table_name, c.ordinal_position;\n",
        seconds,
    )
    columns: dict[tuple[str, str], list[str]] = {}
    for schema, table, column in found:
        columns.setdefault((schema, table), []).append(column)
    return columns


def _chosen(columns: dict[tuple[str, str], list[str]], wanted: Sequence[str], most: int) -> list[tuple[str, str]]:
    tables = list(columns)
    if most and len(tables) > most:
        # Behind the last one that was looked at, round and round: every table comes by.
        after = next((place + 1 for place, one in enumerate(tables) if wanted and ".".join(one) == wanted[-1]), 0)
        return [tables[(after + number) % len(tables)] for number in range(most)]
    return [one for one in tables if not wanted or most or ".".join(one) in wanted]


def _looked_at(
    ask: Ask, seconds: float, columns: dict[tuple[str, str], list[str]], chosen: list[tuple[str, str]]
) -> Content:
    sums = [_sum_of(schema, table, columns[schema, table]) for schema, table in chosen]
    statements = [
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT",
        "SHOW STATUS LIKE 'binlog_snapshot_%'",
        *sums,
        "COMMIT",
    ]
    rows = ask(";\n".join([*statements, ""]), seconds)
    status = {row[0].lower(): row[1] for row in rows if len(row) == 2}
    tables = tuple(Table(row[0], row[1], *(int(cell) for cell in row[2:])) for row in rows if len(row) == 4)
    offset = status.get("binlog_snapshot_position", "0") or "0"
    return Content(status.get("binlog_snapshot_file", ""), int(offset), tables, len(columns))


def _sum_of(schema: str, table: str, columns: list[str]) -> str:
    # Of the bytes: what a column holds, whatever its type and character set; NULL is told from every text. Each
    # column by itself: what is made of a big one, or of several, is cut or dropped at the size of a packet.
    cells = ", ".join(f"COALESCE(CRC32(CAST({name(column)} AS BINARY)), '-')" for column in columns)
    return (
        f"SELECT {literal(schema)}, {literal(table)}, COUNT(*), COALESCE(SUM(CRC32(CONCAT_WS('/', {cells}))), 0)"  # noqa: S608 - names of SQL
        f" FROM {name(schema)}.{name(table)}"
    )
