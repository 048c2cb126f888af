"""Turns what people know (a time, a statement) into a position in binary logs, and shows what lies around it.

Replay stops at positions: MariaDB's own stop by time counts whole seconds, in the time zone of whoever asks.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ansible.module_utils.binlog_events import (
    GTID,
    MAGIC,
    NOT_UNDERSTOOD,
    QUERY,
    QUERY_COMPRESSED,
    ROWS,
    TABLE_MAP,
    BinlogError,
    DamageError,
    Group,
    Pieces,
    groups,
    gtid,
    query,
    query_compressed,
    read_format,
    table_map,
    when,
)
from ansible.module_utils.binlog_file import numbered
from ansible.module_utils.binlog_statement import KINDS, does, kind_of, shortened, tokens
from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.log_position import Position

_PIECES = frozenset({QUERY, QUERY_COMPRESSED, TABLE_MAP, *ROWS})
_AROUND = 3
_MOST_SAID = 6


class TargetError(BinlogError):
    """There is no such position; the message says what can be asked for instead. It is never an earlier one."""


@dataclass(frozen=True)
class Transaction:
    """A transaction as it is shown to people."""

    begin: Position
    end: Position
    gtid: str
    #: When it was committed: seconds since 1970.
    time: int
    #: The begin of its statement, or what it does to which tables.
    what: str


@dataclass(frozen=True)
class Target:
    """Where a replay stops, and the transactions around it."""

    position: Position
    before: tuple[Transaction, ...]
    after: tuple[Transaction, ...]
    #: Transactions behind it, in the same log, that the server's clock puts before the wanted time.
    late: int = 0


@dataclass(frozen=True)
class _Step:
    """What was read next: a transaction, or what stands outside of all."""

    file: str
    begin: int
    end: int
    time: int
    #: The transaction; None outside of one.
    group: Group | None
    #: It is in what was backed up.
    before_base: bool


class _Trail:
    """Where a walk through the logs is, where it is to stop, and what lies around that."""

    def __init__(self, base: Position) -> None:
        self.position = base
        self.end = base
        self.latest = 0
        self.stop: Position | None = None
        self._recent: deque[_Step] = deque(maxlen=_AROUND)
        self._before: list[_Step] = []
        self._after: list[_Step] = []

    def stop_at(self, position: Position) -> None:
        """Let the replay stop here, with what was passed before it and what will be passed from now on."""
        self.stop, self._before, self._after = position, list(self._recent), []

    def take(self, step: _Step) -> None:
        """Pass what was read."""
        self.latest = max(self.latest, step.time)
        self.end = Position(step.file, step.end)
        if step.group:
            self.position = self.end
            self._recent.append(step)
            if self.stop and len(self._after) < _AROUND:
                self._after.append(step)

    @property
    def enough(self) -> bool:
        """Whether all is known that is shown."""
        return self.stop is not None and len(self._after) == _AROUND

    def target(self, late: int = 0) -> Target:
        """Return what was found."""
        if self.stop is None:
            raise TargetError(f"nothing was found before the end of the logs at {self.end}")
        return Target(self.stop, tuple(map(_shown, self._before)), tuple(map(_shown, self._after)), late)

    def forgiving(self, steps: Iterator[_Step]) -> Iterator[_Step]:
        """Yield steps, and end at damage that lies behind where the replay stops."""
        try:
            yield from steps
        except TargetError:
            if self.stop is None:
                raise


def at_time(paths: Iterable[str], base: Position, moment: int) -> Target:
    """Return the end of the last transaction before the first event of this second (since 1970) or later.

    A statement that ran for long may carry an earlier time than those before it: what lies behind the position and is
    of an earlier time is counted as `late`, to the end of its log. Raises TargetError before the backup's position and
    behind the end of the logs.
    """
    trail, late, before_base = _Trail(base), 0, 0
    for step in trail.forgiving(_steps(paths, base)):
        if step.before_base:
            before_base = max(before_base, step.time)
            continue
        if before_base >= moment or (trail.enough and trail.end.file != step.file):
            break
        if trail.stop is None and step.time >= moment:
            trail.stop_at(trail.position)
        late += trail.stop is not None and step.group is not None and step.time < moment
        trail.take(step)
    if before_base >= moment:
        raise TargetError(
            f"{_clock(moment)} lies before the backup at {base}, which has what happened until {_clock(before_base)}: "
            "choose a later time, or an older backup"
        )
    if trail.stop is None:
        raise TargetError(
            f"{_clock(moment)} lies behind the end of the logs, which end at {trail.end} "
            f"({_clock(max(trail.latest, before_base))}): fetch those that follow, or choose a time until then"
        )
    return trail.target(late)


def before_statement(paths: Iterable[str], base: Position, kind: str, table: str) -> Target:
    """Return the end of the transaction before the last statement of a kind about a table: DROP TABLE, chom.orders.

    Raises TargetError when there is none behind the backup's position.
    """
    wanted = kind_of(kind)
    if not wanted:
        raise TargetError(f"{shown(kind)} is no statement that is found by its text: give one of {', '.join(KINDS)}")
    if wanted != "DROP DATABASE" and [one.text for one in tokens(table)][1:2] != ["."]:
        raise TargetError(f"{shown(table)} names no schema: give it as schema.table")
    trail = _Trail(base)
    for step in _steps(paths, base):
        if step.before_base:
            continue
        if step.group and any(does(text, schema, wanted, table) for schema, text in _statements(step.group.pieces)):
            trail.stop_at(trail.position)
        trail.take(step)
    if trail.stop is None:
        raise TargetError(f"there is no {wanted} {shown(table)} between {base} and the end of the logs at {trail.end}")
    return trail.target()


def at_position(paths: Iterable[str], base: Position, wanted: Position) -> Target:
    """Return a position with what lies around it; raises TargetError when it is no place between two transactions."""
    if _place(wanted) < _place(base):
        raise TargetError(f"{wanted} lies before the backup at {base}: choose a later position, or an older backup")
    trail = _Trail(base)
    if wanted.offset in (base.offset, len(MAGIC)) and wanted.file == base.file:
        trail.stop_at(wanted)
    for step in trail.forgiving(_steps(paths, base)):
        if step.before_base:
            continue
        if trail.enough:
            break
        if trail.stop is None and step.file == wanted.file and step.begin < wanted.offset < step.end:
            raise TargetError(
                f"{wanted} lies within a transaction: the nearest positions are {step.file}:{step.begin} before it and "
                f"{step.file}:{step.end} behind it"
            )
        if trail.stop is None and (step.file, step.begin) == (wanted.file, wanted.offset):
            trail.stop_at(wanted)
        trail.take(step)
        if trail.stop is None and (step.file, step.end) == (wanted.file, wanted.offset):
            trail.stop_at(wanted)
    if trail.stop is None:
        raise TargetError(f"{wanted} lies behind the end of the logs: they end at {trail.end}")
    return trail.target()


def _steps(paths: Iterable[str], base: Position) -> Iterator[_Step]:
    """Walk through the logs from the begin of the backup's log on."""
    first, due = numbered(base.file)[1], numbered(base.file)[1]
    for number, path in sorted((numbered(os.path.basename(one))[1], one) for one in paths):
        if number < first:
            continue
        if number != due:
            raise TargetError(f"a log is missing before {shown(os.path.basename(path))}: check the chain")
        due += 1
        yield from _steps_in(path, base)
    if due == first:
        raise TargetError(f"{base.file}, in which the backup was made, is missing: check the chain")


def _steps_in(path: str, base: Position) -> Iterator[_Step]:
    file = os.path.basename(path)
    bound = base.offset if file == base.file else 0
    try:
        with open(path, "rb") as source:
            form = read_format(source)
            yield _Step(file, len(MAGIC), form.end, form.made, None, file == base.file)
            for group in groups(source, form.end, _PIECES):
                transaction = group if group.kind == GTID else None
                yield _Step(file, group.begin, group.end, when(group.last), transaction, group.end <= bound)
    except DamageError as error:
        # What a crash tore off was never committed.
        if not error.damage.torn:
            raise TargetError(f"{file} is damaged {error}: check the chain") from error
    except NOT_UNDERSTOOD as error:
        raise TargetError(f"{file} cannot be understood ({shown(str(error))})") from error
    except OSError as error:
        raise TargetError(f"{shown(path)} cannot be read ({error.strerror}): make it readable") from error


def _place(position: Position) -> tuple[int, int]:
    return numbered(position.file)[1], position.offset


def _statements(pieces: Pieces) -> Iterator[tuple[str, str]]:
    """Yield schema and text of the statements of a transaction."""
    for kind, body in pieces:
        if kind in (QUERY, QUERY_COMPRESSED):
            yield query(body) if kind == QUERY else query_compressed(body)


def _shown(step: _Step) -> Transaction:
    begin, end = Position(step.file, step.begin), Position(step.file, step.end)
    if step.group is None:
        raise TargetError(f"{begin} is no transaction")
    return Transaction(begin, end, str(gtid(step.group.first)), step.time, _what(step.group.pieces))


def _what(pieces: Pieces) -> str:
    """Return in a few words what a transaction does."""
    said: dict[str, None] = {}
    tables = {number: f"{schema}.{name}" for number, schema, name in _tables(pieces)}
    for kind, body in pieces:
        if kind in ROWS:
            said[f"{ROWS[kind]} {shown(tables.get(body, 'an unknown table'))}"] = None
    for _, text in _statements(pieces):
        if text.strip().upper() not in ("BEGIN", "COMMIT", "ROLLBACK"):
            said[shortened(text)] = None
    parts = list(said)
    more = f"; and {len(parts) - _MOST_SAID} more" if len(parts) > _MOST_SAID else ""
    return "; ".join(parts[:_MOST_SAID]) + more


def _tables(pieces: Pieces) -> Iterator[tuple[bytes, str, str]]:
    for kind, body in pieces:
        if kind == TABLE_MAP:
            yield table_map(body)


def _clock(moment: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
