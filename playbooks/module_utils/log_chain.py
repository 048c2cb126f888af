"""The binary logs that lead on from a full copy: which of them are needed, and up to where they reach."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ansible.module_utils import binlog_chain, stream_log
from ansible.module_utils.binlog_events import BinlogError
from ansible.module_utils.binlog_file import LogSummary, read_log
from ansible.module_utils.host_step import StepError
from ansible.module_utils.log_position import Position


class BrokenChainError(StepError):
    """The logs do not lead on without a gap; the message says where, and what to do."""


@dataclass(frozen=True)
class Log:
    """One log of a chain, and how many of its bytes are to be replayed: what follows was torn by a crash."""

    path: str
    until: int

    @property
    def name(self) -> str:
        """Its name."""
        return os.path.basename(self.path)


@dataclass(frozen=True)
class Chain:
    """Logs without a gap; the first one has the position that a full copy is at. None where nothing was shipped."""

    base: Position
    logs: tuple[Log, ...]
    #: The position behind the last whole transaction, and when that was committed (seconds since 1970).
    end: Position
    end_time: int

    @classmethod
    def none(cls, base: Position) -> Chain:
        """Return the chain of a copy after which nothing was shipped."""
        return cls(base, (), base, 0)

    @classmethod
    def begin(
        cls, paths: Sequence[str], base: Position, wanted: Position | None = None, *, streamed: Sequence[str] = ()
    ) -> Chain:
        """Read the logs from a position on; raises BrokenChainError naming what is missing or damaged.

        What was streamed goes on from what was shipped as far as it does so without a gap.
        """
        if streamed and wanted is None and (longer := cls._with_stream(paths, base, streamed)):
            return longer
        try:
            found = binlog_chain.check(paths, base, wanted)
        except BinlogError as error:
            raise BrokenChainError(str(error)) from error
        if not found.unbroken:
            raise BrokenChainError(found.sentence)
        places = {os.path.basename(path): path for path in paths}
        return cls(base, _logs(found, places, base), found.reach, found.reach_time)

    @classmethod
    def _with_stream(cls, paths: Sequence[str], base: Position, streamed: Sequence[str]) -> Chain | None:
        shipped = {os.path.basename(path) for path in paths}
        tail = [path for path in streamed if os.path.basename(path) not in shipped]
        places = {os.path.basename(path): path for path in (*paths, *tail)}
        try:
            logs = [_read(path, base) for path in paths]
            logs += [log for path in tail if (log := stream_log.read(path, _marks(path, base)))]
            found = binlog_chain.judge(logs, base)
        except BinlogError:
            return None
        if not found.unbroken or found.reach.file not in {os.path.basename(path) for path in tail}:
            return None
        return cls(base, _logs(found, places, base), found.reach, found.reach_time)

    @property
    def bytes(self) -> int:
        """How many bytes there are to replay."""
        return sum(log.until for log in self.logs) - (self.base.offset if self.logs else 0)

    def reaches(self, file: str, offset: int) -> bool:
        """Return whether the logs lead to a position."""
        there = {log.name: log.until for log in self.logs} or {self.base.file: self.base.offset}
        return (file, offset) >= (self.base.file, self.base.offset) and offset <= there.get(file, -1)


def _logs(found: binlog_chain.Chain, places: dict[str, str], base: Position) -> tuple[Log, ...]:
    rows = [row for row in found.ledger if base.file <= row.name <= found.reach.file]
    return tuple(Log(places[row.name], row.replay_until) for row in rows)


def _marks(path: str, base: Position) -> list[int]:
    return [base.offset] if os.path.basename(path) == base.file else []


def _read(path: str, base: Position) -> LogSummary:
    return read_log(path, _marks(path, base))
