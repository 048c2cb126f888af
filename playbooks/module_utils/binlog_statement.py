"""What a statement does to which tables, read from its text: enough to find the one that destroyed something."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible.module_utils.disk_candidate import shown

#: Statements that are found, with the words that may stand between their name and their tables.
_KINDS = {
    "DROP TABLE": (("DROP", "TABLE"), ("DROP", "TEMPORARY", "TABLE"), ("DROP", "TABLES")),
    "TRUNCATE TABLE": (("TRUNCATE", "TABLE"), ("TRUNCATE",)),
    "ALTER TABLE": (("ALTER", "TABLE"), ("ALTER", "ONLINE", "TABLE"), ("ALTER", "IGNORE", "TABLE")),
    "RENAME TABLE": (("RENAME", "TABLE"), ("RENAME", "TABLES")),
    "CREATE TABLE": (("CREATE", "TABLE"), ("CREATE", "OR", "REPLACE", "TABLE")),
    "DROP DATABASE": (("DROP", "DATABASE"), ("DROP", "SCHEMA")),
    "DELETE FROM": (("DELETE", "FROM"),),
    "UPDATE": (("UPDATE",),),
}
KINDS = tuple(_KINDS)
#: These name tables one after the other, with commas or TO between them; the others name one.
_MANY = frozenset({"DROP TABLE", "RENAME TABLE"})
_SKIPPED = frozenset({"IF", "NOT", "EXISTS", "LOW_PRIORITY", "IGNORE"})
#: An executable comment is read as what it holds; other comments and whitespace stand for nothing.
_TOKEN = re.compile(
    r"""(?P<nothing>\s+|/\*(?!M?!).*?\*/|(?:--(?=\s|\Z)|\#)[^\n]*|/\*M?!\d*|\*/)
    |`(?P<back>(?:[^`]|``)*)`|"(?P<double>(?:[^"]|"")*)"|'(?P<text>(?:[^'\\]|''|\\.)*)'
    |(?P<word>[\w$@]+)|(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
#: Longer statements hold data, and what they do and to what stands at their begin.
_LONGEST_READ = 1 << 16
_LONGEST_SHOWN = 120


@dataclass(frozen=True)
class Token:
    """A word or a name of a statement."""

    text: str
    #: It stands in quotes, so it is a name, and no word of the language.
    quoted: bool = False

    @property
    def word(self) -> str:
        """The word of the language that it is, if any."""
        return "" if self.quoted else self.text.upper()


def tokens(text: str) -> list[Token]:
    """Return the words of a statement without comments and quotes."""
    found: list[Token] = []
    for one in _TOKEN.finditer(text[:_LONGEST_READ]):
        kind = one.lastgroup or ""
        if kind in ("back", "double"):
            quote = one[0][0]
            found.append(Token(one[kind].replace(quote * 2, quote), quoted=True))
        elif kind != "nothing":
            found.append(Token(one[0], quoted=kind == "text"))
    return found


def kind_of(text: str) -> str:
    """Return the kind of statement that words such as `drop table` name; empty for none that can be found."""
    given = tuple(one.word for one in tokens(text))
    return next((kind for kind, forms in _KINDS.items() if given in forms), "")


def does(text: str, schema: str, kind: str, table: str) -> bool:
    """Whether a statement is of this kind and about this table (schema.table, or a schema for DROP DATABASE).

    Names are compared without regard to case, as some servers do: finding too much shows at once, since the statement
    is shown; finding nothing does not.
    """
    wanted = [one.text.casefold() for one in tokens(table) if one.text != "."]
    found = tokens(text)
    for form in _KINDS[kind]:
        if tuple(one.word for one in found[: len(form)]) == form:
            return wanted in _named(found[len(form) :], "" if kind == "DROP DATABASE" else schema, kind)
    return False


def _named(found: list[Token], schema: str, kind: str) -> list[list[str]]:
    """Return the names that follow the words of a statement, each with its schema where it has one."""
    names: list[list[str]] = []
    place = 0
    while place < len(found):
        while place < len(found) and found[place].word in _SKIPPED:
            place += 1
        name = [one.text.casefold() for one in found[place : place + 3]]
        qualified = len(name) == 3 and name[1] == "."
        place += 3 if qualified else 1
        names.append([name[0], name[2]] if qualified else [*([schema.casefold()] if schema else []), *name[:1]])
        if kind not in _MANY or place >= len(found) or found[place].word not in (",", "TO"):
            break
        place += 1
    return names


def shortened(text: str) -> str:
    """Return a statement as it may be shown: on one line, harmless, and not long."""
    line = shown(" ".join(text[: _LONGEST_SHOWN * 4].split()))
    return line if len(line) <= _LONGEST_SHOWN else f"{line[: _LONGEST_SHOWN - 3]}..."
