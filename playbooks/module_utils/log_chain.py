"""The binary logs that lead on from a full copy: which of them are needed, and up to where they reach."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ansible.module_utils import binlog_chain
from ansible.module_utils.binlog_chain import Position
from ansible.module_utils.binlog_events import BinlogError
from ansible.module_utils.host_step import StepError


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
    def begin(cls, paths: Sequence[str], base: Position, wanted: Position | None = None) -> Chain:
        """Read the logs from a position on; raises BrokenChainError naming what is missing or damaged."""
        try:
            found = binlog_chain.check(paths, base, wanted)
        except BinlogError as error:
            raise BrokenChainError(str(error)) from error
        if not found.unbroken:
            raise BrokenChainError(found.sentence)
        places = {os.path.basename(path): path for path in paths}
        rows = [row for row in found.ledger if base.file <= row.name <= found.reach.file]
        logs = tuple(Log(places[row.name], row.replay_until) for row in rows)
        return cls(base, logs, found.reach, found.reach_time)

    @property
    def bytes(self) -> int:
        """How many bytes there are to replay."""
        return sum(log.until for log in self.logs) - (self.base.offset if self.logs else 0)

    def reaches(self, file: str, offset: int) -> bool:
        """Return whether the logs lead to a position."""
        there = {log.name: log.until for log in self.logs} or {self.base.file: self.base.offset}
        return (file, offset) >= (self.base.file, self.base.offset) and offset <= there.get(file, -1)
