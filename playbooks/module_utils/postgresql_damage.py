"""Damage done on purpose to what a drill has restored of PostgreSQL; only the copy in the scratch place is touched."""

from __future__ import annotations

import os

from ansible.module_utils.drill_mutation import Mutation, flip
from ansible.module_utils.host_step import StepError
from ansible.module_utils.postgresql_content import Content, literal
from ansible.module_utils.postgresql_scratch import ScratchPostgreSQL
from ansible.module_utils.postgresql_state import State

ROW = "postgresql_row"
_BY_HAND = "choose another mutation"


def repository(mutation: Mutation, place: str, state: State, copy: str, segments: list[str]) -> None:
    """Damage a copy, or one of the segments in the middle of the log, in a restored repository."""
    if mutation.kind == "pgbackrest_bit":
        path = max(_files(os.path.join(place, "backup", state.stanza, copy)), key=os.path.getsize)
        flip(path, os.path.getsize(path) // 2)
    elif mutation.kind.startswith("wal_"):
        if not segments:
            raise StepError(f"there is no segment of the log that could be damaged: {_BY_HAND}")
        path = os.path.join(place, "archive", state.stanza, segments[len(segments) // 2])
        if mutation.kind == "wal_missing":
            os.unlink(path)
        elif mutation.kind == "wal_bit":
            flip(path, os.path.getsize(path) // 2)
        else:
            os.truncate(path, os.path.getsize(path) // 2)


def _files(directory: str) -> list[str]:
    found = [
        os.path.join(parent, name)
        for parent, _, names in os.walk(directory)
        for name in names
        if not name.startswith("backup.manifest")
    ]
    if not found:
        raise StepError(f"the copy has no file of its own that could be damaged: {_BY_HAND}")
    return found


def take_row(server: ScratchPostgreSQL, content: Content) -> None:
    """Take a row away from the first table that has any; the server must be one that can be written to."""
    for table in content.tables:
        if table.rows:
            # The server makes the statement, names and all.
            pair = f"{literal(table.schema)}, {literal(table.table)}"
            removal = "DELETE FROM %I.%I WHERE ctid = (SELECT ctid FROM %I.%I LIMIT 1)"
            making = f"SELECT pg_catalog.format('{removal}', {pair}, {pair})\n\\gexec\n"
            server.rows(content.database, f"SET session_replication_role = replica;\n{making}", 60.0)
            return
    raise StepError(f"no table has a row that could be damaged: {_BY_HAND}")
