"""A PostgreSQL server whose log pgBackRest archives into a directory of this host: what it is, and where its log is."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible.module_utils import postgresql_content
from ansible.module_utils.host_step import StepError
from ansible.module_utils.mariadb_server import in_time
from ansible.module_utils.postgresql_content import Content, ContentError
from ansible.module_utils.postgresql_server import PostgresError, PostgreSQL
from ansible.module_utils.postgresql_state import below
from ansible.module_utils.postgresql_wal import holding, position, stored_as
from ansible.module_utils.stack_program import StackError

#: What has to be the same, or more, where the log is replayed and looked at meanwhile.
SHARED = (
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
)
_ASKED = ("server_version_num", "wal_level", "archive_mode", "data_checksums", "wal_segment_size", *SHARED)
_TRIES = 3


@dataclass(frozen=True)
class Mark:
    """A place in the log that was just written to: all that was committed before `moment` is before it."""

    timeline: int
    lsn: str
    moment: float
    segment: str
    segment_bytes: int


class PostgresSource:
    """The server and the archive of its log."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._server = PostgreSQL(settings["postgresql_user"], settings["postgresql_port"])
        self._archive = os.path.join(settings["postgresql_repository"], "archive", settings["postgresql_stanza"])
        self._archive_seconds = float(settings["postgresql_archive_seconds"])
        self._content_seconds = float(settings["content_seconds"])

    def identity(self) -> dict[str, str]:
        """Return what tells the server, and how it is set up; raises StepError where its log cannot be counted on."""
        names = ", ".join(f"'{name}'" for name in _ASKED)
        rows = self._server.rows(
            f"SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN ({names});\n"  # noqa: S608 - constants
            "SELECT 'in_recovery', pg_catalog.pg_is_in_recovery();\n"
            "SELECT 'system', system_identifier FROM pg_catalog.pg_control_system();\n"
        )
        found = {row[0]: row[1] for row in rows if len(row) == 2}
        if missing := {*_ASKED, "in_recovery", "system"} - found.keys():
            raise StepError(f"the PostgreSQL server does not tell its {', '.join(sorted(missing))}; nothing was stored")
        if found.pop("in_recovery") != "f":
            raise StepError("the PostgreSQL server is a replica; nothing was stored: make backups of its primary")
        if found["archive_mode"] == "off":
            raise StepError(
                "the PostgreSQL server archives no log (archive_mode is off), so nothing after a copy could be "
                "restored; nothing was stored: set archive_mode and archive_command as the README says"
            )
        return found

    def content(self, identity: Mapping[str, str], after: Mapping[str, str], most: int) -> tuple[list[Content], str]:
        """Return what is in tables of each database, and why it cannot be told where it cannot.

        Of each database all tables, or the next ones behind the last time's (`schema.table` by database).
        """
        if identity["wal_level"] != "logical":
            return [], f"no table was counted: wal_level is {identity['wal_level']}, and only logical gives a position"
        try:
            names = postgresql_content.databases(self._server.ask)
            return [self._of_database(name, after.get(name, ""), most) for name in names], ""
        except (PostgresError, StackError, ContentError) as error:
            return [], f"no table was counted: {error}"

    def _of_database(self, name: str, after: str, most: int) -> Content:
        for last in range(1, _TRIES + 1):
            slot = f"remediate_{os.getpid()}_{last}"
            try:
                ask = self._server.ask_at_slot
                return postgresql_content.at_slot(ask, name, slot, self._content_seconds, after, most)
            except PostgresError:
                # A table that was removed meanwhile is not there the next time.
                if last == _TRIES:
                    raise
        raise ContentError("never tried")

    def mark(self, name: str, identity: Mapping[str, str]) -> Mark:
        """Write a mark into the log, so that there is something to archive and to stop at, and close its segment."""
        moment = time.time()
        rows = self._server.rows(
            "SELECT lsn, pg_catalog.pg_walfile_name(lsn)"  # noqa: S608 - a name of ours
            f" FROM pg_catalog.pg_create_restore_point({postgresql_content.literal(name)}) AS lsn;\n"
            "SELECT pg_catalog.pg_switch_wal();\n"
        )
        lsn, timeline, size = rows[0][0], int(rows[0][1][:8], 16), int(identity["wal_segment_size"])
        return Mark(timeline, lsn, moment, holding(timeline, position(lsn), size), size)

    def wait_until_archived(self, mark: Mark, archive: str) -> None:
        """Wait until the segment with the mark is in the archive; raises StepError when it does not come in time."""
        if not in_time(lambda: self._is_archived(mark.segment, archive), self._archive_seconds):
            row = self._server.rows(
                "SELECT COALESCE(last_failed_wal, ''), COALESCE(last_failed_time::text, '')"
                " FROM pg_catalog.pg_stat_archiver;\n"
            )[0]
            failed = f"; the last that failed was {row[0]} at {row[1]}" if row[0] else ""
            raise StepError(
                f"the segment {mark.segment} did not come into the archive within {self._archive_seconds:.0f} s"
                f"{failed}; nothing was stored: see what the server logs of its archive_command"
            )

    def _is_archived(self, segment: str, archive: str) -> bool:
        directory = os.path.join(self._archive, archive, segment[:16])
        try:
            names = os.listdir(directory)
        except FileNotFoundError:
            return False
        return any(stored_as(f"{archive}/{segment[:16]}/{name}") == (archive, segment) for name in names)


def files_of(repository: str, stanza: str) -> dict[str, int]:
    """Return the files of a stanza in a repository of pgBackRest, by their paths within it, with their sizes."""
    sizes = {}
    for part in ("archive", "backup"):
        for parent, _, names in os.walk(os.path.join(repository, part, stanza)):
            for name in names:
                path = os.path.join(parent, name)
                try:
                    entry = os.lstat(path)
                except FileNotFoundError:
                    continue  # it has got its name, or its time was over
                if not os.path.islink(path):
                    sizes[path] = entry.st_size
    return below(sizes, repository)


def notes(settings: Mapping[str, Any]) -> list[str]:
    """Return what a person should know of the server before a backup of it is made; asks it, and changes nothing."""
    if not settings["postgresql_stanza"]:
        return []
    try:
        identity = PostgresSource(settings).identity()
    except (StepError, StackError) as error:
        return [str(error)]
    said = []
    if identity["wal_level"] != "logical":
        said.append(
            f"PostgreSQL: wal_level is {identity['wal_level']}, so tables are not counted, and a trial of the restore "
            "cannot compare them: set it to logical"
        )
    if identity["data_checksums"] != "on":
        said.append("PostgreSQL: data checksums are off, so damaged pages are not noticed: turn them on (pg_checksums)")
    return said
