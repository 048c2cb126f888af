"""Whether the newest full copy, the logs shipped after it and the stream lead on without a gap, and how far."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from typing import Any

from ansible.module_utils import binlog_chain, stream_files, stream_log
from ansible.module_utils.backup_manifest import BadManifestError, part_of
from ansible.module_utils.backup_shelf import Shelf, Stored
from ansible.module_utils.binlog_chain import Chain, LedgerRow
from ansible.module_utils.binlog_events import BinlogError, Damage, Gtid
from ansible.module_utils.binlog_file import LogSummary, Mark, State, numbered, read_log
from ansible.module_utils.restic_repository import RepositoryError
from ansible.module_utils.run_state import make_private, write_whole
from ansible.module_utils.stream_files import Streamed

_ROOM = "logs"


@dataclass(frozen=True)
class ChainFacts:
    """What was found. Moments are seconds since 1970."""

    #: What is wrong, and what to do; or nothing.
    trouble: str
    since: float
    #: All that was committed before this can be restored from the repository.
    shipped_until: float
    #: Until there the stream leads on, by its last transaction; 0 where it does not go on from what was shipped.
    streamed_until: float = 0.0
    position: str = ""
    ledger: tuple[LedgerRow, ...] = ()

    @property
    def joined(self) -> bool:
        """Whether the stream goes on from what was shipped without a gap."""
        return not self.trouble and self.streamed_until > 0


def look(shelf: Shelf, streamed: list[Streamed], directory: str) -> ChainFacts:
    """Read the newest chain; the ledger and what was found is kept in the directory as evidence.

    What was shipped is fetched and read again only when it is another chain than that of the last look.
    """
    copies, shipments = shelf.databases(), shelf.logs()
    if not copies:
        return ChainFacts("there is no full copy of the database: take one now", 0.0, 0.0)
    try:
        copy = shelf.read(copies[0])
        logs = shelf.read(shipments[0]) if shipments else None
        facts = _Chain(shelf, copy, logs, directory).look(streamed)
    except (RepositoryError, BadManifestError, BinlogError) as error:
        return ChainFacts(f"the chain cannot be read: {error}", copies[0].made, copies[0].made)
    make_private(directory)
    write_whole(os.path.join(directory, "ledger.json"), json.dumps(asdict(facts), indent=1).encode("ascii"))
    return facts


class _Chain:
    """A full copy, and the newest shipment of logs."""

    def __init__(self, shelf: Shelf, copy: Stored, logs: Stored | None, directory: str) -> None:
        self._shelf = shelf
        self._copy = copy
        self._logs = logs
        self._room = os.path.join(directory, _ROOM)
        self._memory = os.path.join(directory, "shipped.json")
        position = copy.manifest.position
        if position is None:
            raise BadManifestError(f"the full copy {copy.manifest.id} does not say where it is in the log")
        self._base = position

    def look(self, streamed: list[Streamed]) -> ChainFacts:
        """Read logs and stream."""
        made = self._copy.manifest.made
        if self._logs is None:
            return ChainFacts("", made, self._copy.manifest.covered_until, position=str(self._base))
        shipped = self._shipped(self._logs)
        # A copy that is newer than the newest shipment has nothing after it yet.
        covered = self._copy.manifest.covered_until
        chain = Chain(True, "", (), self._base, int(covered))
        if shipped or self._logs.manifest.made > made:
            chain = binlog_chain.judge(shipped, self._base)
            covered = max(covered, self._logs.manifest.covered_until)
        if not chain.unbroken:
            return self._facts(chain, made, min(covered, max(made, float(chain.reach_time))))
        last = max((log.number for log in shipped), default=0)
        tail = [log for one in streamed if one.number > last for log in [self._streamed(one)] if log]
        if not tail:
            return self._facts(chain, made, covered)
        longer = binlog_chain.judge([*shipped, *tail], self._base)
        if not longer.unbroken:
            # What was shipped is whole: it is the stream that does not go on from it.
            return self._facts(chain, made, covered)
        return replace(self._facts(longer, made, covered), streamed_until=float(longer.reach_time))

    def _facts(self, chain: Chain, made: float, covered: float) -> ChainFacts:
        trouble = "" if chain.unbroken else chain.sentence
        return ChainFacts(trouble, made, covered, position=str(chain.reach), ledger=chain.ledger)

    def _shipped(self, logs: Stored) -> list[LogSummary]:
        """Fetch the logs from the copy's on, and read them; raises RepositoryError when one is not what was stored."""
        stem, first = numbered(self._base.file)
        wanted = [part for part in logs.manifest.files if _follows(part.name, stem, first)]
        if (before := self._read_before()) is not None:
            return before
        shutil.rmtree(self._room, ignore_errors=True)
        make_private(self._room)
        try:
            if wanted:
                paths = [logs.paths[part.name] for part in wanted]
                self._shelf.repository.restore(logs.snapshot.id, self._room, paths)
            different = [part.name for part in wanted if part_of(self._room + logs.paths[part.name]) != part]
            if different:
                raise RepositoryError(f"{', '.join(different)} of {logs.manifest.id} is not what was stored")
            found = [self._read(self._room + logs.paths[part.name]) for part in wanted]
        finally:
            shutil.rmtree(self._room, ignore_errors=True)
        record = {"of": self._key(), "logs": [asdict(log) for log in found]}
        write_whole(self._memory, json.dumps(record).encode("ascii"))
        return found

    def _key(self) -> list[str]:
        return [self._copy.snapshot.id, self._logs.snapshot.id if self._logs else ""]

    def _read_before(self) -> list[LogSummary] | None:
        """Return what was read of the same copy and shipment: what a snapshot holds does not change."""
        try:
            with open(self._memory, encoding="ascii") as source:
                record = json.load(source)
            if record["of"] == self._key():
                return [_log_of(one) for one in record["logs"]]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def _read(self, path: str) -> LogSummary:
        return read_log(path, [self._base.offset] if os.path.basename(path) == self._base.file else [])

    def _streamed(self, one: Streamed) -> LogSummary | None:
        return stream_log.read(one.path, [self._base.offset] if one.name == self._base.file else [])


def _log_of(record: dict[str, Any]) -> LogSummary:
    """Return what was read of a log as it was written down."""
    marks = tuple(Mark(one["offset"], _state_of(one["state"])) for one in record["marks"])
    return LogSummary(
        **{
            **record,
            "head": None if record["head"] is None else _state_of(record["head"]),
            "state": _state_of(record["state"]),
            "first_gtid": Gtid(*record["first_gtid"]) if record["first_gtid"] else None,
            "last_gtid": Gtid(*record["last_gtid"]) if record["last_gtid"] else None,
            "marks": marks,
            "damage": Damage(**record["damage"]) if record["damage"] else None,
        }
    )


def _state_of(record: list[list[int]]) -> State:
    return tuple(Gtid(*one) for one in record)


def _follows(name: str, stem: str, first: int) -> bool:
    return stream_files.is_log(name) and numbered(name)[0] == stem and numbered(name)[1] >= first


def kept(directory: str) -> dict[str, Any]:
    """Return the ledger as the last look has written it."""
    with open(os.path.join(directory, "ledger.json"), encoding="ascii") as source:
        found: dict[str, Any] = json.load(source)
    return found
