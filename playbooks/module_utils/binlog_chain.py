"""Whether binary logs go on from a full backup without a gap, and how far: MariaDB's own tools do not notice one.

Each log begins with the list of all transactions before it (GTID_LIST). That must be what the log before it ends with;
then nothing is missing between them, whatever happened to the server.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible.module_utils.binlog_events import BinlogError, Gtid
from ansible.module_utils.binlog_file import LogSummary, State, numbered, read_log
from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.log_position import Position

_REMEDY = "take a new full backup now"


@dataclass(frozen=True)
class LedgerRow:
    """One log in a chain. Times are seconds since 1970."""

    name: str
    bytes: int
    first_time: int
    last_time: int
    first_gtid: str
    last_gtid: str
    verdict: str
    #: So much of the file is to be replayed: what follows is torn by a crash, or another log's.
    replay_until: int


@dataclass(frozen=True)
class Chain:
    """What was found about a chain of logs."""

    unbroken: bool
    #: What is wrong, where, and what to do; or that it is whole.
    sentence: str
    ledger: tuple[LedgerRow, ...]
    #: How far a restore can go, whether or not that is as far as wanted.
    reach: Position
    #: All that was committed before this second can be restored.
    reach_time: int


@dataclass(frozen=True)
class Window:
    """From when to when a restore can go, in seconds since 1970."""

    since: float
    until: float

    def behind(self, now: float) -> float:
        """How many seconds of work would be lost if all but the backups were lost now."""
        return max(0.0, now - self.until)


class _Broken(Exception):
    """The chain ends here; the message says why and what to do."""


def check(paths: Iterable[str], base: Position, wanted: Position | None = None) -> Chain:
    """Read logs and say whether they go on from a full backup's position to the wanted one, or to their end.

    Raises BinlogError when a log cannot be read at all.
    """
    asked = [base] if wanted is None else [base, wanted]
    logs = [read_log(one, [at.offset for at in asked if at.file == os.path.basename(one)]) for one in paths]
    return judge(logs, base, wanted)


def judge(logs: Sequence[LogSummary], base: Position, wanted: Position | None = None) -> Chain:
    """Say the same of logs that were read with the offsets of both positions as marks."""
    return _Judge(logs, base, wanted).chain()


def recoverable_window(chain: Chain, made: float) -> Window:
    """Return from when to when a restore can go, with a full backup that was made at this second."""
    return Window(made, max(made, float(chain.reach_time)))


class _Judge:
    """Goes through a chain from its begin until it breaks."""

    def __init__(self, logs: Sequence[LogSummary], base: Position, wanted: Position | None) -> None:
        self._logs = sorted(logs, key=lambda log: log.number)
        self._base = base
        self._wanted = wanted
        self._verdicts: dict[str, str] = {}
        self._reach = base
        self._reach_time = 0

    def chain(self) -> Chain:
        """Return what was found."""
        try:
            self._go()
            unbroken, sentence = True, f"the logs go on without a gap from {self._base} to {self._reach}"
        except _Broken as broken:
            unbroken, sentence = False, str(broken)
        ledger = tuple(self._row(log) for log in self._logs)
        return Chain(unbroken, sentence, ledger, self._reach, self._reach_time)

    def _go(self) -> None:
        chain = self._from_base()
        self._start(chain[0])
        for place, log in enumerate(chain):
            last = self._wanted is not None and log.name == self._wanted.file
            following = chain[place + 1] if place + 1 < len(chain) and not last else None
            self._whole(log, following, last)
            if last:
                return
            self._reached(log.name, log.sound_until, log.last_time)
            if following:
                self._joined(log, following)
        if self._wanted:
            raise self._broken(
                chain[-1].name,
                f"the logs end at {self._reach}, before the wanted {self._wanted}: fetch the logs that follow",
            )

    def _from_base(self) -> list[LogSummary]:
        """Return the logs from that of the backup on, after looking at their names."""
        if not self._logs:
            raise _Broken(f"there is no log at all: fetch {self._base.file} and those that follow")
        stem, number = numbered(self._base.file)
        seen: set[int] = set()
        for log in self._logs:
            if log.stem != stem:
                raise self._broken(log.name, f"{log.name} is of another series than {self._base.file}: leave it out")
            if log.number in seen:
                raise self._broken(
                    log.name,
                    f"there are two logs named {log.name}: numbering began anew (RESET MASTER); keep those of one "
                    f"series, or {_REMEDY}",
                )
            seen.add(log.number)
        chain = [log for log in self._logs if log.number >= number]
        for log in self._logs[: len(self._logs) - len(chain)]:
            self._verdicts[log.name] = "before the backup"
        if not chain or chain[0].number != number:
            there = f"the first log is {chain[0].name}" if chain else f"the last log is {self._logs[-1].name}"
            raise _Broken(f"{self._base.file}, in which the backup was made, is missing ({there}): {_REMEDY}")
        return self._before_wanted(chain)

    def _before_wanted(self, chain: list[LogSummary]) -> list[LogSummary]:
        wanted = self._wanted
        if wanted is None:
            return chain
        stem, number = numbered(wanted.file)
        if stem != chain[0].stem or (number, wanted.offset) < (chain[0].number, self._base.offset):
            raise _Broken(f"the wanted {wanted} lies before the backup at {self._base}: choose an older backup")
        for log in chain:
            if log.number > number:
                self._verdicts[log.name] = "after the wanted position"
        return [log for log in chain if log.number <= number]

    def _start(self, log: LogSummary) -> None:
        """See that the backup's position is one of this log, and not of another one with the same name."""
        base, state = self._base, log.at(self._base.offset)
        if state is None:
            self._sound(log, base.offset)
            raise self._broken(log.name, f"{base} is no place between two transactions: {_REMEDY}")
        self._reached(base.file, base.offset, log.made)
        if base.gtid and (other := _differs(base.gtid, state)):
            raise self._broken(
                log.name,
                f"the backup at {base} says {shown(base.gtid)}, but the log has {other} there: it is another log of "
                f"the same name (RESET MASTER); {_REMEDY}",
            )

    def _whole(self, log: LogSummary, following: LogSummary | None, last: bool) -> None:
        """See that a log is right as far as it is needed, and has an end when another one follows."""
        if last and self._wanted:
            self._sound(log, self._wanted.offset)
            if log.at(self._wanted.offset) is None:
                raise self._broken(log.name, f"the wanted {self._wanted} is no place between two transactions")
            self._reached(log.name, self._wanted.offset, log.last_time)
            self._verdicts[log.name] = "right as far as wanted"
        elif following is None or following.number != log.number + 1:
            self._sound(log, log.size)
            self._verdicts[log.name] = "right" if log.ending else "right, and open"
        elif log.ending or not (log.in_use and following.at_startup):
            self._sound(log, log.size)
            if not log.ending:
                self._reached(log.name, log.sound_until, log.last_time)
                raise self._broken(
                    log.name,
                    f"{log.name} was cut at {log.sound_until}: the server closed it, but its end is not there; fetch "
                    f"it again, or {_REMEDY}",
                )
            self._verdicts[log.name] = "right"
        else:
            self._crashed(log)

    def _crashed(self, log: LogSummary) -> None:
        """A crash may tear what it was writing; the next log's list shows that nothing that counts is missing."""
        if log.damage and not log.damage.torn:
            self._sound(log, log.size)
        torn = f", torn at {log.sound_until}" if log.sound_until < log.size else ""
        self._verdicts[log.name] = f"right, ended by a crash{torn}"

    def _sound(self, log: LogSummary, until: int) -> None:
        """See that a log is right up to an offset."""
        if log.sound_until >= until:
            return
        if log.sound_until > (self._base.offset if log.name == self._base.file else 0):
            self._reached(log.name, log.sound_until, log.last_time)
        if log.damage:
            words = f"{log.name} is damaged at offset {log.damage.offset}: {log.damage.words}"
        elif log.unfinished:
            words = f"{log.name} ends within a transaction that begins at {log.sound_until}"
        else:
            words = f"{log.name} ends at {log.sound_until}, before {until}"
        raise self._broken(log.name, f"{words}; fetch it again, or {_REMEDY}")

    def _joined(self, log: LogSummary, following: LogSummary) -> None:
        """See that nothing is missing between a log and the next one that is there."""
        if following.number != log.number + 1:
            gap = f"{log.stem}.{log.number + 1:0{len(log.name) - len(log.stem) - 1}}"
            more = f" to number {following.number - 1}" if following.number > log.number + 2 else ""
            raise self._broken(
                following.name, f"{gap}{more} is missing before {following.name}: fetch it, or {_REMEDY}"
            )
        if following.head is None:
            self._sound(following, following.size)
        if log.next_name and log.next_name != following.name:
            raise self._broken(
                following.name, f"{log.name} goes on in {log.next_name}, not in {following.name}: {_REMEDY}"
            )
        if following.made < log.made:
            raise self._broken(
                following.name,
                f"{following.name} is older than {log.name}: numbering began anew (RESET MASTER) or the clock was set "
                f"back; {_REMEDY}",
            )
        if following.head != log.state and not _forgot_domains(log, following):
            raise self._broken(
                following.name,
                f"transactions are missing between {log.name} and {following.name}: the one ends with "
                f"{_listed(log.state)}, the other follows {_listed(following.head or ())}; fetch both again, or "
                f"{_REMEDY}",
            )

    def _reached(self, file: str, offset: int, time: int) -> None:
        self._reach, self._reach_time = Position(file, offset), max(self._reach_time, time)

    def _broken(self, name: str, sentence: str) -> _Broken:
        self._verdicts[name] = f"broken: {sentence}"
        return _Broken(sentence)

    def _row(self, log: LogSummary) -> LedgerRow:
        return LedgerRow(
            log.name,
            log.size,
            log.made,
            log.last_time,
            str(log.first_gtid or ""),
            str(log.last_gtid or ""),
            self._verdicts.get(log.name, "not checked: the chain is broken before it"),
            log.sound_until,
        )


def newest(state: State) -> tuple[Gtid, ...]:
    """Return the last transaction of each domain."""
    return tuple({one.domain: one for one in state}.values())


def _listed(state: State) -> str:
    return ",".join(str(one) for one in newest(state)) or "nothing"


def _differs(text: str, state: State) -> str:
    """Return what had been committed when it is something else than what a text says, else nothing.

    The text may name more domains: those of a replica that does not log what it takes over.
    """
    try:
        said = {one.domain: one for one in (_parsed(part) for part in text.split(",") if part.strip())}
    except ValueError as error:
        raise BinlogError(f"{shown(text)} is no list of transactions such as 0-1-5,1-2-7") from error
    return "" if all(said.get(one.domain) == one for one in newest(state)) else _listed(state)


def _parsed(text: str) -> Gtid:
    domain, server, seq = text.strip().split("-")
    return Gtid(int(domain), int(server), int(seq))


def _forgot_domains(log: LogSummary, following: LogSummary) -> bool:
    """Whether the next list only lacks domains that were not written to (FLUSH BINARY LOGS DELETE_DOMAIN_ID)."""
    before, after = log.head or (), following.head or ()
    kept = {one.domain for one in after}
    gone = [one for one in log.state if one.domain not in kept]
    return (
        bool(kept)
        and gone == [one for one in before if one.domain not in kept]
        and set(after) == {*(one for one in log.state if one.domain in kept)}
    )
