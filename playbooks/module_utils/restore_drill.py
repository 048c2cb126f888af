"""One drill: the newest backup of a source restored into a scratch server, replayed, and compared with its manifest."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from ansible.module_utils import database_content, restic_repository, scratch_place
from ansible.module_utils.backup_shelf import Shelf, Stored
from ansible.module_utils.database_content import Content, TableChangedError
from ansible.module_utils.database_data import need_room
from ansible.module_utils.database_rebuild import Chosen, rebuild, room_of
from ansible.module_utils.database_unpack import BadCopyError
from ansible.module_utils.drill_parts import Files, check_redis, fetch_files, probe
from ansible.module_utils.drill_report import Record
from ansible.module_utils.log_chain import BrokenChainError, Chain
from ansible.module_utils.log_replay import ClientReplay, Replay, ServerCrashError
from ansible.module_utils.mariadb_server import ServerError
from ansible.module_utils.restore_trial import Trial, tried
from ansible.module_utils.scratch_server import ScratchError, ScratchServer
from ansible.module_utils.stack_program import run_program

_CHECK_SECONDS = 2 * 3600.0


def drill(source: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Try a restore of one source and return the report; never raises."""
    return tried(source["name"], source, settings, _Drill)


class _Drill(Trial):
    """The drill of one source."""

    COPY, OF = "full copy", "database"

    def __init__(self, shelf: Shelf, source: dict[str, Any], settings: dict[str, Any], record: Record) -> None:
        super().__init__(shelf, source, settings, record)
        self._files = Files("", ())
        self._stream = os.path.join(settings["stream_dir"], source["name"]) if settings["stream_dir"] else ""

    @staticmethod
    def tools() -> dict[str, str]:
        """Return the versions of the tools that restore."""
        server = run_program(["mariadbd", "--version"], 30.0).output.split()
        return {"restic": restic_repository.version(), "mariadb": server[2] if len(server) > 2 else "unknown"}

    def run(self, place: str) -> dict[str, Any]:
        """Restore the newest copy that can be restored; return the report."""
        self._note_unreadable()
        logs = self._first_readable(self._shelf.logs())
        with self._record.phase("fetch"):
            check_redis(self._shelf, place, self._mutation)
            self._files = fetch_files(self._shelf, place)
        self._first_good(self._shelf.databases(), logs, place)
        return self._closed(_how(self._record))

    def _restore(self, copy: Stored, log: Stored | None, place: str, *, newest: bool) -> None:
        """Restore one copy and compare; raises what is wrong with it."""
        chosen = Chosen(copy, _going_on_from(copy, log), self._stream)
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
        record, manifest = self._record, self._note_copy(chosen.copy)
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
        self._see_same(f"{content.file}:{content.offset}", content, found)


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
