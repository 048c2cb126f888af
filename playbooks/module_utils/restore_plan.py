"""What a restore of the database would take and bring: base, logs, position, room and time. It changes nothing."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils import binlog_target, restore_mark, restore_rates
from ansible.module_utils.backup_manifest import STREAM, BadManifestError
from ansible.module_utils.backup_shelf import Shelf, Stored, first_readable
from ansible.module_utils.binlog_events import BinlogError
from ansible.module_utils.binlog_target import Target
from ansible.module_utils.host_step import StepError
from ansible.module_utils.log_chain import BrokenChainError, Chain
from ansible.module_utils.log_directory import logs_in
from ansible.module_utils.log_position import Position
from ansible.module_utils.moments import moment_of, stamp
from ansible.module_utils.restic_repository import RepositoryError
from ansible.module_utils.run_state import make_private

_POSITION = re.compile(r"([\w.-]+\.\d{6,}):(\d+)")
_STATEMENT = re.compile(r"before (.+) (\S+)", re.IGNORECASE)
_RUN = re.compile(r"run:(.+)")


class NoPlanError(StepError):
    """What was asked for cannot be restored; the message says what can."""


@dataclass(frozen=True)
class Plan:
    """One restore: the repository, the full copy, the logs after it, and where the replay stops."""

    shelf: Shelf
    copy: Stored
    chain: Chain
    target: Target | None
    seconds: float

    @property
    def stop(self) -> Position:
        """Where the replay stops."""
        return self.target.position if self.target else self.chain.end

    @property
    def bytes(self) -> int:
        """How big the full copy is."""
        return next(part.bytes for part in self.copy.manifest.files if part.name == STREAM)


class Planner:
    """Makes the plan of a restore on this host."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._cache = os.path.join(settings["stage_dir"], "logs")

    def plan(self) -> Plan:
        """Return the plan; raises NoPlanError, or what a repository says."""
        shelf = first_readable(self._settings["repositories"], self._settings["source"])
        paths = self._logs(shelf)
        trouble: Exception = NoPlanError(f"{shelf.repository.name} has no full copy of the database of {shelf.source}")
        for snapshot in shelf.databases():
            if (wanted := self._settings["backup"]) and wanted not in {snapshot.tag("id"), snapshot.id[:8]}:
                continue
            try:
                return self._from(shelf, shelf.read(snapshot), paths)
            except (BinlogError, BrokenChainError, BadManifestError, RepositoryError) as error:
                # An older copy may have the moment between itself and the next one; the newest one's reason is shown.
                trouble = error if isinstance(trouble, NoPlanError) else trouble
        raise NoPlanError(f"{trouble}; nothing was done")

    def _from(self, shelf: Shelf, copy: Stored, paths: Sequence[str]) -> Plan:
        place = copy.manifest.position
        if place is None:
            raise BadManifestError(f"the manifest of {copy.manifest.id} has no position")
        target = self._target(paths, place)
        chain = Chain.begin(paths, place, target.position if target else None) if paths else Chain.none(place)
        return Plan(shelf, copy, chain, target, self._predicted(copy, chain))

    def _target(self, paths: Sequence[str], base: Position) -> Target | None:
        wanted = self._settings["to"].strip()
        if not wanted:
            return None
        if found := _POSITION.fullmatch(wanted):
            return binlog_target.at_position(paths, base, Position(found[1], int(found[2])))
        if found := _RUN.fullmatch(wanted):
            mark = restore_mark.found(self._settings["state_dirs"], found[1])
            restore_mark.see_in(mark, paths)
            return binlog_target.at_position(paths, base, mark.position)
        if found := _STATEMENT.fullmatch(wanted):
            return binlog_target.before_statement(paths, base, found[1], found[2])
        return binlog_target.at_time(paths, base, _moment(wanted))

    def _predicted(self, copy: Stored, chain: Chain) -> float:
        size = sum(part.bytes for part in copy.manifest.files)
        return restore_rates.predicted(self._settings["stage_dir"], size, chain.bytes)

    def _logs(self, shelf: Shelf) -> list[str]:
        """Return the logs, oldest first: those of the newest shipment, and what the server has written since."""
        shipped = self._shipped(shelf)
        own = logs_in(self._settings["data_dir"], self._settings["log_dir"])
        return [*shipped.values(), *(path for name, path in own.items() if name not in shipped)]

    def _shipped(self, shelf: Shelf) -> dict[str, str]:
        snapshots = shelf.logs()
        if not snapshots:
            return {}
        stored = shelf.read(snapshots[0])
        place = os.path.join(self._cache, stored.snapshot.id)
        if not os.path.isdir(place):
            shutil.rmtree(self._cache, ignore_errors=True)
            make_private(self._cache)
            partial = f"{place}.partial"
            shelf.repository.restore(stored.snapshot.id, partial)
            os.rename(partial, place)
        return {part.name: place + stored.paths[part.name] for part in stored.manifest.files}


def _moment(text: str) -> int:
    """Return a moment in seconds since 1970; raises NoPlanError."""
    moment = moment_of(text)
    if moment is None:
        raise NoPlanError(
            f"{text!r} is neither a time with its zone (2026-11-28T03:10:00Z), nor a position "
            "(mariadb-bin.000002:1234), nor a statement (before DROP TABLE shop.orders), nor a run (run:ID); nothing "
            "was done"
        )
    return int(moment)


def words(plan: Plan) -> list[str]:
    """Return the plan as evidence for people."""
    manifest = plan.copy.manifest
    said = [
        f"from {manifest.id} of {stamp(manifest.made)} in {plan.shelf.repository.name}, {plan.bytes >> 20} MiB",
        f"then {plan.chain.bytes >> 10} KiB of {len(plan.chain.logs)} binary logs up to {plan.stop}",
        f"about {plan.seconds / 60:.1f} min until it can be switched",
    ]
    if plan.target:
        said += [f"kept:  {_one(one)}" for one in plan.target.before]
        said += [f"lost:  {_one(one)}" for one in plan.target.after]
        if plan.target.late:
            said.append(f"{plan.target.late} transactions of an earlier time come later in the log, and are lost")
    return said


def _one(transaction: binlog_target.Transaction) -> str:
    when = time.strftime("%H:%M:%S", time.gmtime(transaction.time))
    return f"{transaction.end} {when} UTC {transaction.what}"
