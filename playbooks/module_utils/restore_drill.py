"""One drill: the newest backup of a source restored into a scratch server, replayed, and compared with its manifest.

A backup that cannot be restored is passed over for the one before, and that is said; what cannot be told of the backup,
because the drill itself does not work, is a verdict of its own.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from ansible.module_utils import database_content, drill_report, restic_repository, scratch_place
from ansible.module_utils.backup_manifest import BadManifestError
from ansible.module_utils.backup_shelf import Shelf, Stored
from ansible.module_utils.database_content import Content, TableChangedError
from ansible.module_utils.database_data import need_room
from ansible.module_utils.database_rebuild import Chosen, rebuild, room_of
from ansible.module_utils.database_unpack import BadCopyError
from ansible.module_utils.drill_mutation import Mutation
from ansible.module_utils.drill_parts import Files, ProbeError, check_redis, fetch_files, probe
from ansible.module_utils.drill_report import Record
from ansible.module_utils.host_step import StepError
from ansible.module_utils.log_chain import BrokenChainError, Chain
from ansible.module_utils.log_replay import ClientReplay, Replay, ReplayError, ServerCrashError
from ansible.module_utils.mariadb_server import ServerError
from ansible.module_utils.restic_repository import DamagedError, Repository, RepositoryError, Snapshot
from ansible.module_utils.scratch_server import ScratchError, ScratchServer
from ansible.module_utils.stack_program import StackError, run_program

_CHECK_SECONDS = 2 * 3600.0


class ContentMismatchError(StepError):
    """What came back is not what was there."""


#: What speaks against one backup, and lets the one before be tried.
_BAD = (BadCopyError, BadManifestError, RepositoryError, ScratchError, ReplayError)


def drill(source: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Try a restore of one source and return the report; never raises: what breaks the drill is a verdict, too.

    With a mutation it is the drill that is tried: it passes when it notices the damage.
    """
    report = {**_drill(source, settings), "mutation": settings["mutation"]}
    if not settings["mutation"] or report["verdict"] == drill_report.DRILL_BROKEN:
        return report
    wanted, told = Mutation(settings["mutation"]).wanted, f"{report['verdict']}: {report['reason']}"
    if report["verdict"] == wanted:
        return {**report, "verdict": drill_report.PASS, "reason": f"the damage was noticed: {told}"}
    said = f"the damage {settings['mutation']} came out as {told}; {wanted} was due"
    return {**report, "verdict": drill_report.DRILL_BROKEN, "reason": said}


def _drill(source: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    record = Record(source["name"], settings["rto_minutes"] * 60.0, settings["rpo_minutes"] * 60.0)
    # A copy of it kept on this host would hide what is missing or damaged in it.
    repository = Repository(source["name"], source["address_file"], source["password_file"], cached=False)
    try:
        with record.phase("fetch"):
            record.tools = _tools()
            repository.identity()
    except (StepError, StackError, OSError) as error:
        bad = isinstance(error, DamagedError)
        return record.close(drill_report.BACKUP_BAD if bad else drill_report.DRILL_BROKEN, str(error))
    try:
        with scratch_place.scratch(os.path.join(settings["scratch_dir"], source["name"])) as place:
            with record.phase("fetch"):
                shelf = Shelf(repository, source["name"])
            return _Drill(shelf, source, settings, record).run(place)
    except BrokenChainError as error:
        return record.close(drill_report.CHAIN_GAP, str(error))
    except (ContentMismatchError, ProbeError) as error:
        return record.close(drill_report.CONTENT_MISMATCH, str(error))
    except _BAD as error:
        return record.close(drill_report.BACKUP_BAD, str(error))
    except (StepError, StackError, OSError) as error:
        return record.close(drill_report.DRILL_BROKEN, str(error))


def _tools() -> dict[str, str]:
    server = run_program(["mariadbd", "--version"], 30.0).output.split()
    return {"restic": restic_repository.version(), "mariadb": server[2] if len(server) > 2 else "unknown"}


class _Drill:
    """The drill of one source."""

    def __init__(self, shelf: Shelf, source: dict[str, Any], settings: dict[str, Any], record: Record) -> None:
        self._shelf = shelf
        self._source = source
        self._settings = settings
        self._record = record
        self._mutation = Mutation(settings["mutation"])
        self._files = Files("", ())
        self._stream = os.path.join(settings["stream_dir"], source["name"]) if settings["stream_dir"] else ""

    def run(self, place: str) -> dict[str, Any]:
        """Restore the newest copy that can be restored; return the report."""
        record = self._record
        record.passed_over += [{"id": "a snapshot", "reason": said} for said in self._shelf.repository.unreadable]
        logs = self._newest_logs()
        with record.phase("fetch"):
            check_redis(self._shelf, place, self._mutation)
            self._files = fetch_files(self._shelf, place)
        self._first_good(place, logs)
        if record.passed_over:
            first = record.passed_over[0]
            said = f"{first['id']} cannot be restored ({first['reason']}); {record.backup['id']} can, and was"
            return record.close(drill_report.BACKUP_BAD, said)
        return record.close(drill_report.PASS, f"{record.backup['id']} {_how(record)}, up to {record.position}")

    def _first_good(self, place: str, logs: Stored | None) -> None:
        """Restore one copy after the other until one is good; raises what was wrong with the last one."""
        copies = self._candidates()
        if not copies:
            raise BadCopyError(f"the repository holds no full copy of the database of {self._shelf.source}")
        for number, snapshot in enumerate(copies):
            here = os.path.join(place, str(number))
            scratch_place.make(here)
            try:
                with self._record.phase("fetch"):
                    copy = self._shelf.read(snapshot)
                self._restore(Chosen(copy, _going_on_from(copy, logs), self._stream), here)
            except _BAD as error:
                self._pass_over(snapshot, error)
                scratch_place.clear(here)
                if number + 1 == len(copies):
                    raise
            else:
                return

    def _candidates(self) -> list[Snapshot]:
        """Return the copies to try in turn: the one that was asked for, or the newest ones."""
        copies = self._shelf.databases()
        if wanted := self._settings["backup"]:
            found = [one for one in copies if wanted in {one.tag("id"), one.id, one.id[:8]}]
            if not found:
                raise StepError(f"there is no full copy {wanted} of {self._shelf.source}: see its snapshots for ids")
            return found
        return copies[: 1 if self._mutation.kind else 1 + self._settings["fall_back"]]

    def _newest_logs(self) -> Stored | None:
        with self._record.phase("fetch"):
            for snapshot in self._shelf.logs():
                try:
                    return self._shelf.read(snapshot)
                except _BAD as error:
                    self._pass_over(snapshot, error)
        return None

    def _pass_over(self, snapshot: Snapshot, error: Exception) -> None:
        self._record.passed_over.append({"id": snapshot.tag("id") or snapshot.id[:8], "reason": str(error)})

    def _restore(self, chosen: Chosen, place: str) -> None:
        """Restore one copy and compare; raises what is wrong with it."""
        try:
            self._attempt(chosen, place, Replay)
        except ServerCrashError as error:
            self._record.tools["replay"] = f"by the client: {error}"
            scratch_place.clear(place)
            scratch_place.make(place)
            self._attempt(chosen, place, ClientReplay)

    def _attempt(self, chosen: Chosen, place: str, way: type[Replay | ClientReplay]) -> None:
        manifest = chosen.copy.manifest
        scratch_place.refuse_source([manifest.machine])
        need_room(place, room_of(chosen))
        server, chain = rebuild(self._shelf, chosen, place, self._record, self._mutation)
        self._note(chosen, chain)
        contents = _contents(chosen, chain)
        self._replay_and_compare(server, chain, way(server, chain.logs), contents)

    def _note(self, chosen: Chosen, chain: Chain) -> None:
        """Note what is being restored, and until when everything is in it."""
        record, manifest = self._record, chosen.copy.manifest
        record.backup = {
            "id": manifest.id,
            "snapshot": chosen.copy.snapshot.id[:8],
            "repository": self._shelf.repository.name,
            "made": manifest.made,
        }
        record.covered_until = manifest.covered_until
        record.position = str(manifest.position or "")
        record.tables = manifest.content.of if manifest.content else 0
        if chosen.logs and chain.logs:
            record.covered_until = chosen.logs.manifest.covered_until
            record.position = str(chain.end)
        if chain.logs and chosen.stream and chain.logs[-1].path.startswith(chosen.stream + os.sep):
            # What was streamed says when it was committed to the second.
            record.covered_until = max(record.covered_until, float(chain.end_time))

    def _replay_and_compare(
        self, server: ScratchServer, chain: Chain, replay: Replay | ClientReplay, contents: list[Content]
    ) -> None:
        record = self._record
        with contextlib.ExitStack() as running:
            with record.phase("prepare"):
                running.enter_context(server.running())
            if chain.logs:
                replay.begin(chain.base.offset)
            for content in contents:
                if chain.logs:
                    with record.phase("replay"):
                        replay.until(content.file, content.offset)
                self._mutation.rows(server, [one.label for one in content.tables])
                self._compare(server, content)
            if chain.logs:
                with record.phase("replay") as replayed:
                    replay.until(chain.end.file, chain.end.offset)
                    replayed["bytes"] += chain.bytes
            with record.phase("checks"):
                _check_tables(server)
            with record.phase("probe"):
                probe(self._source, self._files, server)
            # That it ends well is a part of being well.
            with record.phase("checks"):
                running.close()

    def _compare(self, server: ScratchServer, content: Content) -> None:
        record, labels = self._record, [one.label for one in content.tables]
        with record.phase("checks"):
            try:
                found = database_content.look(server.rows, float(self._settings["content_seconds"]), labels)
            except (ServerError, ScratchError, TableChangedError) as error:
                raise BadCopyError(f"the tables cannot be read: {error}") from error
        record.compared.update(labels)
        record.tables = max(record.tables, content.of)
        if said := database_content.differences(content, found):
            more = f" and {len(said) - 3} more" if len(said) > 3 else ""
            raise ContentMismatchError(f"at {content.file}:{content.offset} {'; '.join(said[:3])}{more}")


def _going_on_from(copy: Stored, logs: Stored | None) -> Stored | None:
    """Return the logs if they were shipped after the copy was made: older ones do not lead on from it."""
    return logs if logs and logs.manifest.covered_until >= copy.manifest.made else None


def _how(record: Record) -> str:
    if record.compared or not record.tables:
        return "restores exactly"
    return "restores; no table could be compared, because no log was shipped after it"


def _contents(chosen: Chosen, chain: Chain) -> list[Content]:
    """Return what the manifests say of tables, in the order of positions.

    Raises BrokenChainError when logs were shipped and do not lead there: what is missing is their end.
    """
    both = [chosen.copy.manifest.content, chosen.logs.manifest.content if chosen.logs else None]
    there = [one for one in both if one and chain.reaches(one.file, one.offset)]
    for one in both:
        if one and one not in there and chosen.logs:
            raise BrokenChainError(
                f"the logs end at {chain.end}, and their manifests tell of {one.file}:{one.offset}: the last ones are "
                "missing; take a new full backup now"
            )
    return sorted(there, key=lambda one: (one.file, one.offset))


def _check_tables(server: ScratchServer) -> None:
    _, bad = server.check_tables(_CHECK_SECONDS)
    if bad:
        raise BadCopyError(f"tables are damaged: {'; '.join(bad[:3])}")
