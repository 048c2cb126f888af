"""A database put together from a full copy and the logs that go on from it, beside everything that runs."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ansible.module_utils import database_unpack, stream_files
from ansible.module_utils.backup_manifest import STREAM
from ansible.module_utils.backup_shelf import Shelf, Stored
from ansible.module_utils.binlog_chain import Position
from ansible.module_utils.drill_mutation import Mutation
from ansible.module_utils.drill_report import Record
from ansible.module_utils.log_chain import Chain
from ansible.module_utils.scratch_server import ScratchServer

#: How much room a restore takes, as a part of the copy's size: its logs, twice, and what the server writes.
ROOM = 1.3
NONE = Mutation("")


@dataclass(frozen=True)
class Chosen:
    """A full copy and the logs that go on from it (none where nothing was shipped)."""

    copy: Stored
    logs: Stored | None
    #: The directory of what was streamed of this source, which may lead on further; empty for none.
    stream: str = ""


def rebuild(
    shelf: Shelf, chosen: Chosen, place: str, record: Record, mutation: Mutation = NONE
) -> tuple[ScratchServer, Chain]:
    """Lay a copy and its logs out in an empty directory, each proven whole; return the server to be started on them.

    Raises BadCopyError, RepositoryError or BrokenChainError with what is wrong.
    """
    server = ScratchServer(place)
    with record.phase("fetch") as fetched:
        fetched["bytes"] += _unpack(shelf, chosen.copy, server.data, mutation)
        logs = mutation.logs(_fetch_logs(shelf, chosen.logs, os.path.join(place, "logs")))
    with record.phase("prepare"):
        database_unpack.prepare(server.data)
        mutation.pages(server.data)
    with record.phase("checks"):
        database_unpack.check_pages(server.data)
    with record.phase("chain") as read:
        base = Position(*database_unpack.place_in_log(server.data))
        chain = Chain.begin(logs, base, streamed=_streamed(chosen, mutation))
        read["bytes"] += chain.bytes
    return server, chain


def _streamed(chosen: Chosen, mutation: Mutation) -> list[str]:
    """Return what was streamed; not where logs were damaged on purpose: the stream would heal the damage."""
    if not chosen.stream or mutation.kind.startswith("log_"):
        return []
    return [one.path for one in stream_files.best(stream_files.look(chosen.stream))]


def _unpack(shelf: Shelf, copy: Stored, target: str, mutation: Mutation) -> int:
    path = copy.paths[STREAM]
    return database_unpack.unpack(shelf.repository, copy.snapshot.id, path, copy.manifest, target, mutation)


def _fetch_logs(shelf: Shelf, logs: Stored | None, place: str) -> list[str]:
    if logs is None:
        return []
    os.mkdir(place, 0o700)
    shelf.repository.restore(logs.snapshot.id, place)
    return [place + logs.paths[part.name] for part in logs.manifest.files]
