"""One restore that is tried, of whichever database: the newest copy that can be restored, and what came of it.

A backup that cannot be restored is passed over for the one before, and that is said; what cannot be told of the backup,
because the trial itself does not work, is a verdict of its own.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from ansible.module_utils import drill_report, scratch_place
from ansible.module_utils.backup_manifest import BadManifestError, Manifest
from ansible.module_utils.backup_shelf import Shelf, Stored
from ansible.module_utils.content_difference import Tables, differences
from ansible.module_utils.database_unpack import BadCopyError
from ansible.module_utils.drill_mutation import Mutation
from ansible.module_utils.drill_parts import ProbeError
from ansible.module_utils.drill_report import Record
from ansible.module_utils.host_step import StepError
from ansible.module_utils.log_chain import BrokenChainError
from ansible.module_utils.log_replay import ReplayError
from ansible.module_utils.restic_repository import DamagedError, Repository, RepositoryError, Snapshot
from ansible.module_utils.scratch_server import ScratchError
from ansible.module_utils.stack_program import StackError


class ContentMismatchError(StepError):
    """What came back is not what was there."""


#: What speaks against one backup, and lets the one before be tried.
BAD = (BadCopyError, BadManifestError, RepositoryError, ScratchError, ReplayError)


class Trial(ABC):
    """What is tried once a repository can be read."""

    #: What a copy is called, and what it is of.
    COPY, OF = "copy", "database"

    def __init__(self, shelf: Shelf, source: dict[str, Any], settings: dict[str, Any], record: Record) -> None:
        self._shelf = shelf
        self._source = source
        self._settings = settings
        self._record = record
        self._mutation = Mutation(settings["mutation"])

    @staticmethod
    @abstractmethod
    def tools() -> dict[str, str]:
        """Return the versions of the tools that restore."""

    @abstractmethod
    def run(self, place: str) -> dict[str, Any]:
        """Restore into an empty place and return the report; what it raises becomes the verdict."""

    @abstractmethod
    def _restore(self, copy: Stored, log: Stored | None, place: str, *, newest: bool) -> None:
        """Restore one copy with the newest log, and compare; raises what is wrong with it."""

    def _first_good(self, copies: Sequence[Snapshot], log: Stored | None, place: str) -> None:
        """Restore one copy after the other until one is good; raises what was wrong with the last one."""
        chosen = self._candidates(copies)
        if not chosen:
            raise BadCopyError(f"the repository holds no {self.COPY} of the {self.OF} of {self._shelf.source}")
        for number, snapshot in enumerate(chosen):
            here = os.path.join(place, str(number))
            scratch_place.make(here)
            try:
                with self._record.phase("fetch"):
                    copy = self._shelf.read(snapshot)
                self._restore(copy, log, here, newest=number == 0)
            except BAD as error:
                self._pass_over(snapshot, error)
                scratch_place.clear(here)
                if number + 1 == len(chosen):
                    raise
            else:
                return

    def _candidates(self, copies: Sequence[Snapshot]) -> Sequence[Snapshot]:
        """Return the copies to try in turn: the one that was asked for, or the newest ones."""
        if wanted := self._settings["backup"]:
            found = [one for one in copies if wanted in {one.tag("id"), one.id, one.id[:8]}]
            if not found:
                raise StepError(f"there is no {self.COPY} {wanted} of {self._shelf.source}: see its snapshots for ids")
            return found
        return copies[: 1 if self._mutation.kind else 1 + self._settings["fall_back"]]

    def _first_readable(self, snapshots: Iterable[Snapshot]) -> Stored | None:
        """Return the newest of some backups that is whole."""
        with self._record.phase("fetch"):
            for snapshot in snapshots:
                try:
                    return self._shelf.read(snapshot)
                except BAD as error:
                    self._pass_over(snapshot, error)
        return None

    def _pass_over(self, snapshot: Snapshot, error: Exception) -> None:
        name = snapshot.tag("id") or snapshot.id[:8]
        # A copy of PostgreSQL is looked at for its log as well.
        if name not in {one["id"] for one in self._record.passed_over}:
            self._record.passed_over.append({"id": name, "reason": str(error)})

    def _note_unreadable(self) -> None:
        self._record.passed_over += [{"id": "a snapshot", "reason": said} for said in self._shelf.repository.unreadable]

    def _note_copy(self, copy: Stored) -> Manifest:
        """Note which copy is being restored, and return its manifest."""
        manifest = copy.manifest
        self._record.backup = {
            "id": manifest.id,
            "snapshot": copy.snapshot.id[:8],
            "repository": self._shelf.repository.name,
            "made": manifest.made,
        }
        return manifest

    def _see_same(self, place: str, wanted: Tables, found: Tables) -> None:
        """Raise ContentMismatchError unless tables are what they were at a place of the log."""
        if said := differences(wanted, found):
            more = f" and {len(said) - 3} more" if len(said) > 3 else ""
            raise ContentMismatchError(f"at {place} {'; '.join(said[:3])}{more}")

    def _closed(self, how: str) -> dict[str, Any]:
        """Return the report of a restore that came to a good end."""
        record = self._record
        if record.passed_over:
            first = record.passed_over[0]
            said = f"{first['id']} cannot be restored ({first['reason']}); {record.backup['id']} can, and was"
            return record.close(drill_report.BACKUP_BAD, said)
        return record.close(drill_report.PASS, f"{record.backup['id']} {how}, up to {record.position}")


def tried(name: str, source: dict[str, Any], settings: dict[str, Any], trial: type[Trial]) -> dict[str, Any]:
    """Try a restore of a part of a source, under the name that its reports have, and return the report.

    Never raises: what breaks the trial is a verdict, too. With a mutation it is the trial that is tried: it passes when
    it notices the damage.
    """
    record = Record(name, settings["rto_minutes"] * 60.0, settings["rpo_minutes"] * 60.0)
    report = {**_tried(record, source, settings, trial), "mutation": settings["mutation"]}
    if not settings["mutation"] or report["verdict"] == drill_report.DRILL_BROKEN:
        return report
    wanted, told = Mutation(settings["mutation"]).wanted, f"{report['verdict']}: {report['reason']}"
    if report["verdict"] == wanted:
        return {**report, "verdict": drill_report.PASS, "reason": f"the damage was noticed: {told}"}
    said = f"the damage {settings['mutation']} came out as {told}; {wanted} was due"
    return {**report, "verdict": drill_report.DRILL_BROKEN, "reason": said}


def _tried(record: Record, source: dict[str, Any], settings: dict[str, Any], trial: type[Trial]) -> dict[str, Any]:
    # A copy of it kept on this host would hide what is missing or damaged in it.
    repository = Repository(source["name"], source["address_file"], source["password_file"], cached=False)
    try:
        with record.phase("fetch"):
            record.tools = trial.tools()
            repository.identity()
    except (StepError, StackError, OSError) as error:
        bad = isinstance(error, DamagedError)
        return record.close(drill_report.BACKUP_BAD if bad else drill_report.DRILL_BROKEN, str(error))
    try:
        with scratch_place.scratch(os.path.join(settings["scratch_dir"], source["name"])) as place:
            with record.phase("fetch"):
                shelf = Shelf(repository, source["name"])
            return trial(shelf, source, settings, record).run(place)
    except BrokenChainError as error:
        return record.close(drill_report.CHAIN_GAP, str(error))
    except (ContentMismatchError, ProbeError) as error:
        return record.close(drill_report.CONTENT_MISMATCH, str(error))
    except BAD as error:
        return record.close(drill_report.BACKUP_BAD, str(error))
    except (StepError, StackError, OSError) as error:
        return record.close(drill_report.DRILL_BROKEN, str(error))
