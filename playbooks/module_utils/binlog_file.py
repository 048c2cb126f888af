"""Reads one binary log of MariaDB from its begin to its end: whether it is whole, and what lies before and after it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO

from ansible.module_utils.binlog_events import (
    ENDS,
    GTID,
    GTID_LIST,
    INCIDENT,
    MAGIC,
    NOT_UNDERSTOOD,
    NUMBER,
    OUTSIDE,
    ROTATE,
    BinlogError,
    Damage,
    DamageError,
    EncryptedError,
    Format,
    Found,
    Gtid,
    blocks,
    groups,
    gtid,
    gtid_list,
    next_name,
    read_format,
    when,
)
from ansible.module_utils.disk_candidate import shown

_NAME = re.compile(r"(.+)\.(\d{6,10})")

State = tuple[Gtid, ...]


@dataclass(frozen=True)
class Mark:
    """What had been committed at an offset of a log."""

    offset: int
    state: State


@dataclass(frozen=True)
class LogSummary:
    """What a chain of logs needs to know about one of them. Times are seconds since 1970, 0 when there are none."""

    path: str
    name: str
    #: What its name is made of: mariadb-bin, 1.
    stem: str
    number: int
    size: int
    server_version: str = ""
    server_id: int = 0
    #: When it was begun: the time of its first event.
    made: int = 0
    at_startup: bool = False
    in_use: bool = False
    #: The last transaction of each domain and server before this log and after it: by domain, its newest one last.
    #: The former is None when the log is damaged before it says so.
    head: State | None = None
    state: State = ()
    last_time: int = 0
    first_gtid: Gtid | None = None
    last_gtid: Gtid | None = None
    transactions: int = 0
    #: "rotate", "stop", or "" for a log that the server has not closed.
    ending: str = ""
    #: The log that it says goes on after it.
    next_name: str = ""
    #: Where what is whole and right ends: after a transaction, or an event outside of one.
    sound_until: int = 0
    #: Of the offsets that were asked for, those between two transactions.
    marks: tuple[Mark, ...] = ()
    damage: Damage | None = None

    @property
    def unfinished(self) -> bool:
        """Whether it ends within a transaction."""
        return self.damage is None and self.sound_until < self.size

    def at(self, offset: int) -> State | None:
        """What had been committed at an offset that was asked for; None when it is no place between transactions."""
        return next((mark.state for mark in self.marks if mark.offset == offset), None)


def numbered(name: str) -> tuple[str, int]:
    """Return the stem and the number of the name of a log; raises BinlogError."""
    if not (found := _NAME.fullmatch(name)):
        raise BinlogError(f"{shown(name)} is no name of a binary log: they end with a dot and six digits")
    return found[1], int(found[2])


def read_log(path: str, marks: Iterable[int] = ()) -> LogSummary:
    """Read a log to its end, or to where it is damaged; raises BinlogError when it cannot be read at all.

    `marks` are offsets of which is told what had been committed there.
    """
    name = os.path.basename(path)
    stem, number = numbered(name)
    reading = _Reading(frozenset(marks))
    try:
        with open(path, "rb") as source:
            size = os.fstat(source.fileno()).st_size
            damage = reading.read(source, size)
    except OSError as error:
        raise BinlogError(f"{shown(path)} cannot be read ({error.strerror}): make it readable") from error
    except EncryptedError as error:
        raise EncryptedError(f"{shown(name)} cannot be checked: {error}") from error
    return LogSummary(path, name, stem, number, size, damage=damage, **reading.facts())


class _Reading:
    """What is known of a log while it is read."""

    def __init__(self, marks: frozenset[int]) -> None:
        self._asked = marks
        self._marks: list[Mark] = []
        self._format: Format | None = None
        self._head: State | None = None
        #: By domain and server, the one that was written to last at the end.
        self._state: dict[int, dict[int, int]] = {}
        self._count = 0
        self._first_gtid: Gtid | None = None
        self._last_gtid: Gtid | None = None
        self._last_time = 0
        self._ending = 0
        self._next_name = ""
        #: The transaction that begins at `_end`, until something that follows shows that it is whole.
        self._opened: Gtid | None = None
        self._end = 0

    def read(self, source: BinaryIO, size: int) -> Damage | None:
        """Read the whole log; return where it is damaged."""
        damage = None
        try:
            self._format = read_format(source)
            self._end, self._last_time = self._format.end, self._format.made
            for block, at, found in blocks(source, self._end, OUTSIDE | {GTID}):
                self._take(block, at, found)
        except DamageError as error:
            damage = error.damage
        except NOT_UNDERSTOOD as error:
            damage = Damage(self._end, f"an event cannot be understood ({shown(str(error))})")
        self._close_last(source)
        self._note(self._end)
        if damage is None and self._head is None:
            return Damage(self._end, "the log ends before it says what came before it", torn=True)
        return damage or (_goes_on(self._end) if self._ending and self._end < size else None)

    def _take(self, block: bytes, at: int, found: list[Found]) -> None:
        """Go through what begins in a block; a transaction that begins last stays open."""
        if not found:
            return
        if self._opened:
            self._commit(self._opened)
            self._opened = None
        kind, begin, end = found[-1]
        last = found.pop() if kind == GTID else None
        self._between(block, at, found)
        self._end, self._last_time = at + end, when(block, begin)
        if last:
            self._end = at + begin
            self._note(self._end)
            self._opened = gtid(block, begin)

    def _between(self, block: bytes, at: int, found: list[Found]) -> None:
        """Count whole transactions, and see what stands outside of them."""
        number, asked, recent = NUMBER.unpack_from, self._asked, (-1, -1)
        servers: dict[int, int] = {}
        count = 0
        for kind, begin, end in found:
            if asked:
                self._note(at + begin)
            if kind == GTID:
                server, seq, domain = number(block, begin)
                if recent != (domain, server):
                    servers, recent = self._turn(at + begin, Gtid(domain, server, seq)), (domain, server)
                servers[server] = seq
                count += 1
            else:
                self._outside(kind, at + begin, block[begin:end])
                recent = (-1, -1)
        self._count += count
        if count:
            self._last_gtid = Gtid(domain, server, seq)

    def _commit(self, one: Gtid) -> None:
        self._turn(self._end, one)[one.server] = one.seq
        self._count += 1
        self._last_gtid = one

    def _turn(self, offset: int, one: Gtid) -> dict[int, int]:
        """Make the server of a transaction the newest of its domain, and return the numbers of all its servers."""
        if self._head is None:
            raise DamageError(Damage(offset, "the log does not say which transactions came before it (GTID_LIST)"))
        if self._ending:
            raise DamageError(_goes_on(offset))
        self._first_gtid = self._first_gtid or one
        servers = self._state.setdefault(one.domain, {})
        servers[one.server] = servers.pop(one.server, one.seq)
        return servers

    def _outside(self, kind: int, offset: int, event: bytes) -> None:
        if self._ending:
            raise DamageError(_goes_on(offset))
        if kind == GTID_LIST and self._head is None:
            for one in gtid_list(event):
                self._state.setdefault(one.domain, {})[one.server] = one.seq
            self._head = self._now()
            # Some say 4 for the begin of a log, wherever its first event stands.
            self._note(len(MAGIC))
            self._note(offset)
        elif kind in ENDS:
            self._ending = kind
            self._next_name = next_name(event) if kind == ROTATE else ""
        elif kind == INCIDENT:
            raise DamageError(Damage(offset, "the server says that it could not log everything (an incident)"))

    def _note(self, offset: int) -> None:
        if offset in self._asked and self._head is not None:
            self._marks.append(Mark(offset, self._now()))

    def _close_last(self, source: BinaryIO) -> None:
        """Take the last transaction for whole when its own last event is there, and right."""
        if self._opened:
            source.seek(self._end)
            with contextlib.suppress(DamageError, *NOT_UNDERSTOOD):
                for group in groups(source, self._end):
                    self._commit(self._opened)
                    self._end, self._last_time = group.end, when(group.last)
                    break

    def _now(self) -> State:
        return tuple(
            Gtid(domain, server, servers[server])
            for domain, servers in sorted(self._state.items())
            for server in [*sorted(list(servers)[:-1]), list(servers)[-1]]
        )

    def facts(self) -> dict[str, Any]:
        """Return the fields of the summary that were read."""
        form = self._format
        return {
            "server_version": form.server_version if form else "",
            "server_id": form.server_id if form else 0,
            "made": form.made if form else 0,
            "at_startup": bool(form and form.at_startup),
            "in_use": bool(form and form.in_use),
            "head": self._head,
            "state": self._now(),
            "last_time": self._last_time,
            "first_gtid": self._first_gtid,
            "last_gtid": self._last_gtid,
            "transactions": self._count,
            "ending": ENDS.get(self._ending, ""),
            "next_name": self._next_name,
            "sound_until": self._end,
            "marks": tuple(self._marks),
        }


def _goes_on(offset: int) -> Damage:
    return Damage(offset, "the log goes on after its end")
