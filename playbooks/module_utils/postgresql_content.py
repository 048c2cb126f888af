"""What is in the tables of a PostgreSQL database at one position of its log: counts and checksums, exactly comparable.

On the source a temporary slot of logical decoding gives the position and a snapshot that has exactly the transactions
which the log commits before it; nothing is locked but against changes of the tables' form. The checksums tell damage
and loss, not forgery. Names go out in hexadecimal digits: they may hold whatever a client would take for a mark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: The database and statements go in, rows come out.
Ask = Callable[[str, str, float], "list[list[str]]"]

_LOCATION = re.compile(r"[0-9A-F]{1,8}/[0-9A-F]{1,8}")
#: How a client writes down what a row holds; both servers are told the same, whatever they are set to.
SETTINGS = {
    "bytea_output": "hex",
    "DateStyle": "ISO",
    "extra_float_digits": "1",
    "IntervalStyle": "postgres",
    "lc_monetary": "C",
    "row_security": "off",
    "search_path": "pg_catalog",
    "standard_conforming_strings": "on",
    "TimeZone": "UTC",
}
#: Ordinary tables and stored results of views that outlive a crash: what is unlogged is empty after a restore.
_TABLES = """
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p' AND c.relispopulated
    AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
"""
_HEX = "pg_catalog.encode(pg_catalog.convert_to({}, 'UTF8'), 'hex')"
_SUM = "COALESCE(pg_catalog.sum(pg_catalog.hashtextextended(line, {}))::pg_catalog.text, '0')"


class ContentError(Exception):
    """What was looked at cannot be told: tables were changed meanwhile, or the server answers something else."""


@dataclass(frozen=True)
class Table:
    """One table: rows, and two checksums over them that do not depend on their order."""

    database: str
    schema: str
    table: str
    rows: int
    first: str
    second: str

    @property
    def label(self) -> str:
        """The name of the table with its database and schema."""
        return f"{self.database}.{self.schema}.{self.table}"


@dataclass(frozen=True)
class Content:
    """Tables of one database at a position of the log, out of so many."""

    database: str
    lsn: str
    tables: tuple[Table, ...]
    of: int


def databases(ask: Ask) -> list[str]:
    """Return the databases that anything can be in."""
    rows = ask(
        "postgres",
        f"SELECT {_HEX.format('datname')} FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate "  # noqa: S608 - constants
        "ORDER BY datname;\n",
        60.0,
    )
    return [_text(row[0]) for row in rows]


def at_slot(ask: Ask, database: str, slot: str, seconds: float, after: str = "", most: int = 0) -> Content:
    """Look at the tables of a database through a connection for replication, at the position of a new temporary slot.

    With `most` only so many: those behind the table `after` (`schema.table`), round and round. Raises ContentError.
    """
    opening = f"CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput USE_SNAPSHOT;\n"
    order = f"(n.nspname || '.' || c.relname)::text COLLATE \"C\" <= {literal(after)}, " if most else ""
    limit = f" LIMIT {int(most)}" if most else ""
    rows = ask(database, _script(opening, "", order, limit), seconds)
    places = [row[1] for row in rows if len(row) == 4 and row[0] == slot and _LOCATION.fullmatch(row[1])]
    if len(places) != 1:
        raise ContentError("the server did not say at which position its tables were looked at")
    return _content(database, places[0], rows)


def of_tables(ask: Ask, wanted: Content, seconds: float) -> Content:
    """Look at the tables of a content once more, on a server that stands still at its position. Raises ContentError."""
    if not wanted.tables:
        return Content(wanted.database, wanted.lsn, (), wanted.of)
    pairs = ", ".join(f"({literal(one.schema)}, {literal(one.table)})" for one in wanted.tables)
    rows = ask(wanted.database, _script("", f" AND (n.nspname, c.relname) IN ({pairs})", "", ""), seconds)
    return _content(wanted.database, wanted.lsn, rows)


def _script(opening: str, only: str, order: str, limit: str) -> str:
    """Return statements that count and sum tables: the server itself makes those for each table, names and all."""
    columns = (
        "SELECT pg_catalog.string_agg(pg_catalog.format('t.%I', a.attname), ', ' ORDER BY a.attnum)"
        " FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    )
    # A table that was emptied or written anew after the snapshot looks empty in it; its file is another one then.
    same = "(SELECT c.relfilenode = pg_catalog.pg_relation_filenode(c.oid) FROM pg_catalog.pg_class c WHERE c.oid = %s)"
    statement = (
        f"SELECT 'table', %L, %L, pg_catalog.count(*), {_SUM.format(0)}, {_SUM.format(1)}, {same} FROM"  # noqa: S608 - names are the server's
        ' (SELECT ROW(%s)::pg_catalog.text COLLATE pg_catalog."C" AS line FROM ONLY %I.%I AS t) AS lines'
    )
    counted = f"SELECT 'of', pg_catalog.count(*) {_TABLES};\n"
    names = f"{_HEX.format('n.nspname')}, {_HEX.format('c.relname')}, c.oid, ({columns}), n.nspname, c.relname"
    label = "(n.nspname || '.' || c.relname)::text COLLATE \"C\""
    made = f"SELECT pg_catalog.format({literal(statement)}, {names}) {_TABLES}{only} ORDER BY {order}{label}{limit}"
    return f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n{opening}{counted}{made}\n\\gexec\nCOMMIT;\n"


def _content(database: str, lsn: str, rows: list[list[str]]) -> Content:
    try:
        of = next(int(row[1]) for row in rows if len(row) == 2 and row[0] == "of")
        found = [row for row in rows if len(row) == 7 and row[0] == "table"]
        # What was changed since is left out: it says nothing of this position.
        tables = tuple(
            Table(database, _text(row[1]), _text(row[2]), int(row[3]), row[4], row[5]) for row in found if row[6] == "t"
        )
    except (StopIteration, ValueError) as error:
        raise ContentError(f"the server's answer about its tables cannot be read: {error}") from error
    return Content(database, lsn, tables, of)


def _text(digits: str) -> str:
    return bytes.fromhex(digits).decode("utf-8", "backslashreplace")


def literal(text: str) -> str:
    """Return a text as a string of SQL; raises ContentError for what none can be."""
    if "\0" in text:
        raise ContentError("there is a name with a zero byte in it")
    return "'" + text.replace("'", "''") + "'"


def rotated(contents: Sequence[Content]) -> dict[str, str]:
    """Return the last table that was looked at in each database, as `schema.table`."""
    return {one.database: f"{one.tables[-1].schema}.{one.tables[-1].table}" for one in contents if one.tables}
