"""A database put together from a full copy and the logs that go on from it, beside everything that runs."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ansible.module_utils import database_unpack, stream_files
from ansible.module_utils.backup_manifest import STREAM, part_of
from ansible.module_utils.backup_shelf import Shelf, Stored
from ansible.module_utils.drill_mutation import Mutation
from ansible.module_utils.drill_report import Record
from ansible.module_utils.log_chain import BrokenChainError, Chain, Log
from ansible.module_utils.log_position import Position
from ansible.module_utils.scratch_server import ScratchServer

#: How much room a restored copy takes, as a part of its size: with what the server writes.
ROOM = 1.3
NONE = Mutation("")


@dataclass(frozen=True)
class Chosen:
    """A full copy and the logs that go on from it (none where nothing was shipped)."""

    copy: Stored
    logs: Stored | None
    #: The directory of what was streamed of this source, which may lead on further; empty for none.
    stream: str = ""


def room_of(chosen: Chosen) -> int:
    """Return how many bytes a restore takes; logs are there twice, as they were stored and as they are replayed."""
    logs = chosen.logs.manifest.files if chosen.logs else ()
    return int(ROOM * sum(part.bytes for part in chosen.copy.manifest.files) + 2 * sum(part.bytes for part in logs))


def rebuild(
    shelf: Shelf, chosen: Chosen, place: str, record: Record, mutation: Mutation = NONE
) -> tuple[ScratchServer, Chain]:
    """Lay a copy and its logs out in an empty directory, each proven whole; return the server to be started on them.

    Raises BadCopyError, RepositoryError or BrokenChainError with what is wrong.
    """
    with record.phase("fetch"):
        logs = mutation.logs(_fetch_logs(shelf, chosen.logs, os.path.join(place, "logs")), _log_of(chosen.copy))
    server = rebuild_from(shelf, chosen.copy, place, record, mutation)
    with record.phase("chain") as read:
        base = Position(*database_unpack.place_in_log(server.data))
        streamed = _streamed(chosen, mutation)
        chain = Chain.begin(logs, base, streamed=streamed) if chosen.logs or streamed else Chain.none(base)
        if chosen.logs:
            _see_as_stored(chosen.logs, [log for log in chain.logs if log.path not in streamed])
        read["bytes"] += chain.bytes
    return server, chain


def rebuild_from(shelf: Shelf, copy: Stored, place: str, record: Record, mutation: Mutation = NONE) -> ScratchServer:
    """Lay a full copy out in an empty directory, made consistent and proven page by page; return the server for it."""
    server = ScratchServer(place)
    with record.phase("fetch") as fetched:
        fetched["bytes"] += _unpack(shelf, copy, server.data, mutation)
    with record.phase("prepare"):
        database_unpack.prepare(server.data)
        mutation.pages(server.data)
    with record.phase("checks"):
        database_unpack.check_pages(server.data)
    return server


def _log_of(copy: Stored) -> str:
    return copy.manifest.position.file if copy.manifest.position else ""


def _see_as_stored(logs: Stored, shipped: list[Log]) -> None:
    """See that the logs are those that were stored: the end of the last one is followed by none that would show it."""
    wanted = {part.name: part for part in logs.manifest.files}
    for log in shipped:
        if part_of(log.path) != wanted[log.name]:
            raise BrokenChainError(f"{log.name} is not the log that was stored in {logs.manifest.id}")


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
