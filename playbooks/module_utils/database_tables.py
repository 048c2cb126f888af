"""Looks for tables of a database server that are damaged, and whether their rows can still be read."""

from __future__ import annotations

from dataclasses import dataclass

from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.mariadb_server import MariaDB, ServerError, name

_LIST = """
SELECT TABLE_SCHEMA, TABLE_NAME, COALESCE(ENGINE, ''), COALESCE(DATA_LENGTH + INDEX_LENGTH, 0)
FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE'
AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'sys')
"""
_PATIENCE = "SET SESSION lock_wait_timeout = 5, innodb_lock_wait_timeout = 5, max_statement_time = 60;"
_SECONDS = 240.0
#: Engines whose tables can be checked. Of a table that cannot be opened the engine is not known.
_ENGINES = ("InnoDB", "Aria", "MyISAM", "")
_MARK = "=table="


@dataclass(frozen=True)
class Table:
    """A table and how big it is."""

    schema: str
    name: str
    engine: str
    size: int

    @property
    def title(self) -> str:
        """The table as it is shown."""
        return f"{shown(self.schema)}.{shown(self.name)}"

    @property
    def sql(self) -> str:
        """The table as SQL names it."""
        return f"{name(self.schema)}.{name(self.name)}"


@dataclass(frozen=True)
class Broken:
    """A damaged table, what the server says about it, and whether all its rows can be read."""

    table: Table
    said: str
    readable: bool


def tables_of(server: MariaDB) -> list[Table]:
    """Return every table that can be checked."""
    return [Table(row[0], row[1], row[2], int(row[3])) for row in server.rows(_LIST) if row[2] in _ENGINES]


def to_check(tables: list[Table], named: list[tuple[str, str]], megabytes: int) -> tuple[list[Table], str]:
    """Return which tables to check: all, or where that is too much those that the log names, and a word about that."""
    if sum(table.size for table in tables) <= megabytes << 20:
        return tables, ""
    chosen = [table for table in tables if (table.schema, table.name) in named]
    return chosen, (
        f"all tables together have more than {megabytes} MiB, so only the {len(chosen)} that the error log names were "
        "checked (database_failure_check_megabytes)"
    )


def broken(server: MariaDB, tables: list[Table]) -> list[Broken]:
    """Check tables and return those that are damaged. Reads them whole, and nothing else."""
    if not tables:
        return []
    statements = [f"SELECT '{_MARK}', {number}; CHECK TABLE {table.sql};" for number, table in enumerate(tables)]
    said = verdicts(server.rows(_PATIENCE + "\n".join(statements), _SECONDS))
    return [Broken(tables[number], text, _is_readable(server, tables[number])) for number, text in said.items()]


def verdicts(rows: list[list[str]]) -> dict[int, str]:
    """Return what the server says against tables, by their number."""
    bad: dict[int, str] = {}
    number, told = -1, ""
    for row in rows:
        if row[0] == _MARK:
            number, told = int(row[1]), ""
        elif len(row) == 4 and row[2].lower() == "warning":
            told = told or row[3]
        elif len(row) == 4 and row[2].lower() == "error":
            bad.setdefault(number, shown(told or row[3])[:200])
    return bad


def _is_readable(server: MariaDB, table: Table) -> bool:
    try:
        # Without an index all rows themselves are read.
        server.rows(f"{_PATIENCE} SELECT COUNT(*) FROM {table.sql} USE INDEX ()", _SECONDS)  # noqa: S608 - a name
    except ServerError:
        return False
    return True
