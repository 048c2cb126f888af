"""The steps of `backup-create` about PostgreSQL: pgBackRest makes a copy, or the log is shipped, and both are stored.

What is stored is the directory of pgBackRest's repository: its files get their names when they are whole and are not
changed any more, and nothing but these steps makes copies in it.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.module_utils import postgresql_state
from ansible.module_utils.backup_kinds import Backup
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.pgbackrest import PgBackRest, version
from ansible.module_utils.pgbackrest_report import NO_COPY, OK, Copy, Info
from ansible.module_utils.postgresql_content import Content, rotated
from ansible.module_utils.postgresql_server import as_user
from ansible.module_utils.postgresql_source import Mark, PostgresSource, files_of
from ansible.module_utils.postgresql_state import UNFINISHED, State, listing
from ansible.module_utils.postgresql_wal import Range, gap
from ansible.module_utils.run_state import make_private, write_whole

_ROTATION = "postgresql-tables.json"
_DAY = 86400.0


class _OfPostgreSQL(Backup):
    """A step about the cluster of one stanza."""

    def _tool(self) -> PgBackRest:
        settings = self._settings
        user = as_user(settings["postgresql_user"])
        return PgBackRest(user, settings["postgresql_config"], settings["postgresql_stanza"])

    def _ship(self, step: Step, tool: PgBackRest, most: int) -> None:
        """Note what is in tables, see that the log up to now is archived, and store the repository."""
        source = PostgresSource(self._settings)
        identity = source.identity()
        info = usable(tool.info(), identity["system"])
        copy = info.newest
        if copy is None:
            raise StepError("pgBackRest's repository holds no copy that is whole; nothing was stored: make one first")
        contents, note = source.content(identity, self._rotation(), most)
        mark = source.mark(f"remediate {step.data['kind']}", identity)
        source.wait_until_archived(mark, info.archive)
        state = self._state(tool.stanza, info, copy, mark, contents, note)
        with self._staged(0) as directory:
            server = {**identity, "pgbackrest": version(as_user(self._settings["postgresql_user"]))}
            manifest = self._manifest(step, mark.moment, server=server, postgresql=state)
            self._store(step, manifest, directory, [state.repository], leave_out=[UNFINISHED])
        if most:
            self._rotate(contents)

    def _state(self, stanza: str, info: Info, copy: Copy, mark: Mark, contents: list[Content], note: str) -> State:
        repository = self._settings["postgresql_repository"]
        wal = Range(info.archive, copy.first_segment, mark.segment, mark.segment_bytes)
        files = files_of(repository, stanza)
        found = postgresql_state.below(files, f"archive/{stanza}")
        if said := gap(wal, found):
            raise StepError(
                f"PostgreSQL's log does not lead on from the copy {copy.label}: {said}; nothing was stored: make a new "
                "copy now (postgresql_hours=0)"
            )
        nothing = listing({})
        state = State(
            stanza,
            repository,
            info.system,
            mark.timeline,
            mark.lsn,
            wal,
            copy.label,
            copy.type,
            copy.stop,
            nothing,
            nothing,
            tuple(contents),
            note,
        )
        copies, segments = postgresql_state.copies_in(state, files), postgresql_state.segments_in(state, files)
        return State(**{**vars(state), "copies": listing(copies), "segments": listing(segments)})

    def _rotation(self) -> dict[str, str]:
        try:
            with open(os.path.join(self._settings["stage_dir"], _ROTATION), encoding="utf-8") as source:
                return {str(name): str(table) for name, table in json.load(source).items()}
        except (OSError, ValueError, AttributeError):
            return {}  # then it begins with the first table

    def _rotate(self, contents: list[Content]) -> None:
        make_private(self._settings["stage_dir"])
        known = {**self._rotation(), **rotated(contents)}
        write_whole(os.path.join(self._settings["stage_dir"], _ROTATION), json.dumps(known).encode("ascii"))


class CopyPostgreSQL(_OfPostgreSQL):
    """Has pgBackRest make a copy, and the copy proven whole."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Make it, prove it, and store the repository with it."""
        tool = self._tool()
        info = usable(tool.info(), PostgresSource(self._settings).identity()["system"])
        recent = info.full_since(time.time() - self._settings["postgresql_full_days"] * _DAY)
        # What a full copy has lost, every one that builds on it has lost, too.
        troubles = []
        for kind in ["diff", "full"] if recent else ["full"]:
            trouble = _copied(tool, kind)
            if not trouble:
                self._ship(step, tool, 0)
                return True
            troubles.append(trouble)
        raise StepError(f"pgBackRest made no copy that is whole: {'; '.join(troubles)}; nothing was stored")


class ShipWal(_OfPostgreSQL):
    """Closes the segment of the log that is written to, and stores the repository once it is there."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Note what some tables hold, close the segment, and store."""
        self._ship(step, self._tool(), self._settings["tables"])
        return True


def usable(info: Info, system: str) -> Info:
    """Return what is known of a repository that can be worked with; raises StepError for any other."""
    if info.code not in {OK, NO_COPY}:
        raise StepError(f"pgBackRest's repository is not well: {info.message}; nothing was stored")
    if info.locked:
        raise StepError(
            "somebody else makes a copy with pgBackRest at this moment; nothing was stored: try again later"
        )
    if info.system != system:
        raise StepError(
            f"the stanza is of the cluster {info.system}, and the server is {system}; nothing was stored: correct "
            "backup_create_postgresql_stanza or _port, or run `pgbackrest stanza-upgrade` after an upgrade"
        )
    return info


def _copied(tool: PgBackRest, kind: str) -> str:
    """Make a copy and have everything in the repository read; return what is wrong with the copy, or nothing."""
    before = {one.label for one in tool.info().copies}
    tool.backup(kind)
    made = [one for one in tool.info().copies if one.label not in before]
    if len(made) != 1:
        return f"there are {len(made)} new copies after a {kind} one was made"
    (copy,) = made
    if copy.bad_pages:
        return f"the copy {copy.label} has pages whose checksums are wrong: the server's own data are damaged"
    return tool.verify().wrong_with([copy.label, *copy.builds_on])
