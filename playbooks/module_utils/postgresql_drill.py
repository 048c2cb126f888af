"""One drill of a source's PostgreSQL: restored with pgBackRest, its log replayed, compared with what was counted.

The log is replayed to each position of which a manifest tells; there the server stands still and is compared. Then to
the end of what was shipped, where it begins to be written to, and every table, index and page is checked.
"""

from __future__ import annotations

import contextlib
from typing import Any

from ansible.module_utils import postgresql_content, postgresql_damage, restic_repository, scratch_place
from ansible.module_utils.backup_shelf import Stored
from ansible.module_utils.database_data import need_room
from ansible.module_utils.database_unpack import BadCopyError
from ansible.module_utils.host_step import StepError
from ansible.module_utils.log_chain import BrokenChainError
from ansible.module_utils.pgbackrest import version
from ansible.module_utils.postgresql_content import Content, ContentError
from ansible.module_utils.postgresql_damage import ROW
from ansible.module_utils.postgresql_rebuild import Chosen, major_of, rebuild, room_of, state_of
from ansible.module_utils.postgresql_scratch import (
    PROMOTE,
    USER,
    Goal,
    LogEndsError,
    ScratchPostgreSQL,
    see_tools,
)
from ansible.module_utils.postgresql_server import as_user
from ansible.module_utils.postgresql_state import State, part_name
from ansible.module_utils.postgresql_wal import gap, position
from ansible.module_utils.restore_trial import Trial, tried
from ansible.module_utils.scratch_server import ScratchError


def drill(source: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Try a restore of the PostgreSQL of a source and return the report; never raises."""
    return tried(part_name(source["name"]), source, settings, _Drill)


class _Drill(Trial):
    """The drill of one source."""

    COPY, OF = "copy", "PostgreSQL"
    _uncompared = ""

    @staticmethod
    def tools() -> dict[str, str]:
        """Return the versions of the tools that restore."""
        return {"restic": restic_repository.version(), "pgbackrest": version(as_user(USER))}

    def run(self, place: str) -> dict[str, Any]:
        """Restore the newest copy that can be restored; return the report."""
        if not self._source["postgresql"]["stanza"]:
            raise StepError(
                f"{self._shelf.source} has copies of PostgreSQL, and the inventory does not say how they are restored; "
                "nothing was done: name its stanza and the file of its passphrase (postgresql)"
            )
        self._note_unreadable()
        self._first_good(self._shelf.postgresql(), self._first_readable(self._shelf.wal()), place)
        exactly = self._record.compared
        return self._closed("restores exactly" if exactly else f"restores; {self._uncompared or 'there is no table'}")

    def _restore(self, copy: Stored, log: Stored | None, place: str, *, newest: bool) -> None:
        """Restore one copy and compare; raises what is wrong with it."""
        chosen = _chosen(copy, log, newest=newest)
        scratch_place.refuse_source([chosen.copy.manifest.machine, chosen.log.manifest.machine])
        see_tools(major_of(chosen.copy))
        need_room(place, room_of(chosen))
        server = rebuild(self._shelf, chosen, place, self._source, self._record, self._mutation)
        self._note(chosen)
        try:
            self._replay_and_compare(server, chosen)
        except LogEndsError as error:
            raise BrokenChainError(f"PostgreSQL's log does not lead to where it was shipped to: {error}") from error

    def _note(self, chosen: Chosen) -> None:
        """Note what is being restored, and until when everything is in it."""
        record = self._record
        self._note_copy(chosen.copy)
        record.tools["postgresql"] = major_of(chosen.copy)
        record.covered_until = chosen.log.manifest.covered_until
        record.position = chosen.end.place
        record.tables = sum({one.database: one.of for one in _contents(chosen)}.values())
        self._uncompared = chosen.end.note or chosen.base.note

    def _replay_and_compare(self, server: ScratchPostgreSQL, chosen: Chosen) -> None:
        record, end = self._record, chosen.end
        contents = _contents(chosen)
        if self._mutation.kind == ROW:
            self._damage_and_compare(server, contents, end)
            return
        for content in contents:
            with contextlib.ExitStack() as running:
                with record.phase("replay"):
                    running.enter_context(server.running(Goal(content.lsn, end.timeline)))
                self._compare(server, content)
        with contextlib.ExitStack() as running:
            with record.phase("replay") as replayed:
                running.enter_context(server.running(Goal(end.lsn, end.timeline, PROMOTE)))
                replayed["bytes"] += end.segments.bytes
            with record.phase("checks"):
                if said := server.check_tables():
                    raise BadCopyError(f"tables are damaged: {'; '.join(said[:3])}")
                # That it ends well is a part of being well.
                running.close()
                server.check_pages()

    def _damage_and_compare(self, server: ScratchPostgreSQL, contents: list[Content], end: State) -> None:
        """Take a row away where the server no longer stands still, and so can go no further."""
        if not contents:
            raise StepError("no table was counted, so none can be damaged: choose another mutation")
        with server.running(Goal(contents[0].lsn, end.timeline, PROMOTE)):
            postgresql_damage.take_row(server, contents[0])
            self._compare(server, contents[0])

    def _compare(self, server: ScratchPostgreSQL, content: Content) -> None:
        record = self._record
        with record.phase("checks"):
            try:
                seconds = float(self._settings["content_seconds"])
                found = postgresql_content.of_tables(server.rows, content, seconds)
            except (ScratchError, ContentError) as error:
                raise BadCopyError(f"the tables cannot be read: {error}") from error
        record.compared.update(one.label for one in content.tables)
        self._see_same(content.lsn, content, found)


def _chosen(copy: Stored, log: Stored | None, *, newest: bool) -> Chosen:
    """Return the copy with the newest log, where that goes on from it.

    The log that an older copy needs may have gone with it: then that copy is tried with what was stored beside it. The
    newest one always has the newest log, whatever is missing there: that is what is to be found out.
    """
    if log is None or log.manifest.covered_until < copy.manifest.covered_until:
        return Chosen(copy, copy)
    chosen = Chosen(copy, log)
    if newest or not gap(chosen.wal, log.archive):
        return chosen
    return Chosen(copy, copy)


def _contents(chosen: Chosen) -> list[Content]:
    """Return what the manifests tell of tables, in the order of positions, from where the copy is consistent on."""
    both = {one: None for stored in (chosen.copy, chosen.log) for one in state_of(stored).contents}
    begin, end = position(chosen.base.consistent), position(chosen.end.lsn)
    there = [one for one in both if one.tables and begin <= position(one.lsn) <= end]
    return sorted(there, key=lambda one: position(one.lsn))
