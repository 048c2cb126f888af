"""Which migrations of the database belong to a release, and what taking them back would do to the data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ansible.module_utils.releases import ReleaseError

#: A name of Laravel's: letters, digits and underscores. Anything else never gets near a command.
MIGRATION = re.compile(r"[A-Za-z0-9_]{1,190}")
#: A name of a table or column that a statement is made of.
_WORD = r"[`\"]?([A-Za-z0-9_$]{1,64})[`\"]?"
_TABLE = re.compile(rf"\bdrop\s+table\s+(?:if\s+exists\s+)?{_WORD}", re.IGNORECASE)
_ALTER = re.compile(rf"\balter\s+table\s+{_WORD}\s+(.*)", re.IGNORECASE | re.DOTALL)
_COLUMN = re.compile(
    rf"\bdrop\s+(?:column\s+)?(?:if\s+exists\s+)?(?!if\b|column\b|index\b|key\b|primary\b|foreign\b|constraint\b){_WORD}",
    re.IGNORECASE,
)
_DESTRUCTIVE = re.compile(
    r"\b(?:delete\s+from|truncate|update|replace\s+into|drop\s+(?:view|database))\b", re.IGNORECASE
)

#: Asks the database one question and returns the lines of the answer.
Ask = Callable[[str], list[str]]


@dataclass(frozen=True)
class Migrations:
    """What has to be taken back so that the database is as an older release left it, the last first."""

    names: tuple[str, ...] = ()
    #: What is lost by taking them back, apart from the copy that is kept; empty when nothing is.
    losses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drop:
    """A table, or one column of it, that taking migrations back would drop."""

    table: str
    column: str = ""

    @property
    def shown(self) -> str:
        """Its name for people."""
        return f"column {self.table}.{self.column}" if self.column else f"table {self.table}"


def applied(ask: Ask) -> list[str]:
    """Return the migrations that the database has seen, the last first."""
    lines = ask("SELECT migration FROM migrations ORDER BY batch DESC, migration DESC")
    return [line for line in lines if line]


def to_take_back(newer: Iterable[str], older: Iterable[str], seen: Sequence[str]) -> tuple[str, ...]:
    """Return the applied migrations that the newer release has and the older one has not, the last first.

    Raises ReleaseError when they are not the last that were applied: those between would have to go as well.
    """
    own = set(newer) - set(older)
    names = tuple(name for name in seen if name in own)
    if bad := next((name for name in names if not MIGRATION.fullmatch(name)), ""):
        raise ReleaseError(f"{bad!r} is no name of a migration; nothing was done: look at the table migrations")
    if names != tuple(seen[: len(names)]):
        between = [name for name in seen[: seen.index(names[-1])] if name not in own]
        raise ReleaseError(
            f"the migrations of the newer release are not the last that were applied ({', '.join(between)[:300]} came "
            "later): take them back by hand"
        )
    return names


def drops(statements: str) -> tuple[list[Drop], bool]:
    """Return what statements would drop, and whether all of them are understood well enough to tell."""
    found: list[Drop] = []
    for line in statements.splitlines():
        found += [Drop(name) for name in _TABLE.findall(line)]
        altered = _ALTER.search(line)
        if altered:
            found += [Drop(altered.group(1), column) for column in _COLUMN.findall(altered.group(2))]
    return list(dict.fromkeys(found)), not _DESTRUCTIVE.search(statements)


def losses(pretended: tuple[int, str], ask: Ask) -> tuple[str, ...]:
    """Return which data would be dropped; where that cannot be told, say so: it counts as a loss."""
    code, statements = pretended
    if code != 0:
        return ("what taking the migrations back would drop cannot be told before it is done",)
    dropped, understood = drops(statements)
    lost = tuple(f"{one.shown} holds data" for one in dropped if _holds_data(one, ask))
    return lost if understood else (*lost, "taking the migrations back changes rows")


def _holds_data(drop: Drop, ask: Ask) -> bool:
    where = f" WHERE `{drop.column}` IS NOT NULL" if drop.column else ""
    # Both names are made of nothing but letters, digits, underscores and dollars: see _WORD.
    return ask(f"SELECT EXISTS(SELECT 1 FROM `{drop.table}`{where})")[:1] != ["0"]  # noqa: S608 - as said above
