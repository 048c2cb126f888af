"""What a backup of PostgreSQL says of itself: where in the log it ends, which copy it begins with, what was in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible.module_utils.postgresql_content import Content, Table
from ansible.module_utils.postgresql_wal import Range, needed, position

#: What reports and the monitoring call the PostgreSQL of a source, apart from all else that it has.
_PART = ":postgresql"
#: Written beside a file before it gets its name.
UNFINISHED = "*.pgbackrest.tmp"


def part_name(source: str) -> str:
    """Return the name of a source's PostgreSQL in reports and metrics."""
    return f"{source}{_PART}"


def source_name(name: str) -> str:
    """Return the name of the source itself."""
    return name.removesuffix(_PART)


@dataclass(frozen=True)
class Listing:
    """Some files: how many, how big together, and a digest over the names and sizes of all."""

    files: int
    bytes: int
    digest: str


def listing(sizes: Mapping[str, int]) -> Listing:
    """Return the listing of files with their sizes by path."""
    digest = hashlib.sha256()
    for path in sorted(sizes):
        digest.update(f"{path}\0{sizes[path]}\n".encode("utf-8", "surrogateescape"))
    return Listing(len(sizes), sum(sizes.values()), digest.hexdigest())


@dataclass(frozen=True)
class State:
    """The state of a cluster and of pgBackRest's repository at the moment of a backup.

    Everything that was committed before `lsn` is in the copy `backup` and the segments that go on from it.
    """

    stanza: str
    #: Where pgBackRest's repository is on the source.
    repository: str
    #: Tells the cluster from every other one.
    system: str
    timeline: int
    lsn: str
    wal: Range
    #: The newest copy that is whole (pgBackRest's label), its type, and where in the log it is consistent.
    backup: str
    type: str
    consistent: str
    #: The files of all copies, and the segments of the range.
    copies: Listing
    segments: Listing
    contents: tuple[Content, ...] = ()
    #: Why no tables were counted, where none were.
    note: str = ""

    @property
    def place(self) -> str:
        """Timeline and position, for people."""
        return f"{self.timeline}:{self.lsn}"

    def record(self) -> dict[str, Any]:
        """Return it as it is written down."""
        return asdict(self)


def from_record(record: Mapping[str, Any]) -> State:
    """Return what was written down; raises ValueError, KeyError or TypeError for what was not written by us."""
    state = State(
        **{
            **record,
            "wal": Range(**record["wal"]),
            "copies": Listing(**record["copies"]),
            "segments": Listing(**record["segments"]),
            "contents": tuple(_content(one) for one in record["contents"]),
        }
    )
    for place in (state.lsn, state.consistent, *(one.lsn for one in state.contents)):
        position(place)
    return state


def _content(record: Mapping[str, Any]) -> Content:
    return Content(**{**record, "tables": tuple(Table(**one) for one in record["tables"])})


def below(sizes: Mapping[str, int], directory: str) -> dict[str, int]:
    """Return the files below a directory, by their paths from there."""
    start = directory.rstrip("/") + "/"
    return {path.removeprefix(start): size for path, size in sizes.items() if path.startswith(start)}


def copies_in(state: State, repository: Mapping[str, int]) -> dict[str, int]:
    """Return the files of copies in a repository, its files being given by their paths within it."""
    return _finished(below(repository, f"backup/{state.stanza}"))


def archive_in(state: State, repository: Mapping[str, int]) -> dict[str, int]:
    """Return the files of the log in a repository."""
    return _finished(below(repository, f"archive/{state.stanza}"))


def segments_in(state: State, repository: Mapping[str, int]) -> dict[str, int]:
    """Return the segments of the range in a repository."""
    found = archive_in(state, repository)
    return {path: found[path] for path in needed(state.wal, found)}


def _finished(sizes: Mapping[str, int]) -> dict[str, int]:
    return {path: size for path, size in sizes.items() if not path.endswith(UNFINISHED[1:])}


def lacking(state: State, repository: Mapping[str, int]) -> str:
    """Return what a repository lacks of what the state says of it, in words; nothing when all of it is there."""
    if listing(copies_in(state, repository)) != state.copies:
        return "the files of its copies are not those that were stored"
    if listing(segments_in(state, repository)) != state.segments:
        return "the segments of its log are not those that were stored"
    return ""


def labels(contents: Iterable[Content]) -> list[str]:
    """Return the names of the tables in some contents."""
    return [table.label for one in contents for table in one.tables]
