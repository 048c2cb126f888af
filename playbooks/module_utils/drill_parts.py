"""What a drill tries besides the database: Redis, and the application itself on what came back."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.backup_manifest import DUMP, FILE, part_of
from ansible.module_utils.backup_shelf import Shelf
from ansible.module_utils.database_unpack import BadCopyError
from ansible.module_utils.drill_mutation import Mutation
from ansible.module_utils.host_step import StepError
from ansible.module_utils.scratch_server import ScratchServer
from ansible.module_utils.stack_program import plain, run_program

_SECONDS = 600.0
_NAME = "DB_SOCKET"


class ProbeError(StepError):
    """The application does not work with what was restored."""


def check_redis(shelf: Shelf, place: str, mutation: Mutation) -> None:
    """Get the newest copy of Redis out and have Redis's own tool look at it; raises BadCopyError."""
    snapshots = shelf.redis()
    if not snapshots:
        return
    stored = shelf.read(snapshots[0])
    target = os.path.join(place, "redis")
    shelf.repository.restore(stored.snapshot.id, target)
    path = target + stored.paths[DUMP]
    if part_of(path) not in stored.manifest.files:
        raise BadCopyError(f"the copy {stored.manifest.id} is not what was stored")
    mutation.redis(path)
    done = run_program(["redis-check-rdb", path], _SECONDS)
    if done.code != 0:
        told = [line for line in done.output.splitlines() if "error" in line.lower()] or [done.last_line]
        raise BadCopyError(f"the copy of Redis {stored.manifest.id} is damaged: {plain(told[-1])[:200]}")


@dataclass(frozen=True)
class Files:
    """The files of a source that were put into a directory, and what they are called on the source."""

    root: str
    paths: tuple[str, ...]


def fetch_files(shelf: Shelf, place: str) -> Files:
    """Put the newest copy of the files into the place; there are none when none were stored."""
    snapshots = shelf.files()
    if not snapshots:
        return Files("", ())
    target = os.path.join(place, "files")
    os.mkdir(target, 0o700)
    shelf.repository.restore(snapshots[0].id, target)
    os.chmod(target, 0o711)  # noqa: S103 - the probe's user comes through to what it may read
    return Files(target, tuple(path for path in snapshots[0].paths if os.path.basename(path) != FILE))


def probe(source: dict[str, Any], files: Files, server: ScratchServer) -> None:
    """Run the application's own probe on the clone; raises ProbeError.

    Around it the restored files have the names that they have on the source, there is no network, and it finds the
    restored database by DB_SOCKET. Workers and jobs are not started; mail and the like are turned off by the
    environment that the inventory gives.
    """
    if not source["probe"]:
        return
    if not files.root:
        raise ProbeError(f"no files of {source['name']} are stored, so its application cannot be tried")
    binds = [f"BindPaths={files.root}{path}:{path}" for path in files.paths if os.path.isdir(files.root + path)]
    settings = ["PrivateNetwork=yes", "PrivateTmp=yes", f"RuntimeMaxSec={_SECONDS:.0f}", *binds]
    settings += [f"User={source['probe_user']}", f"WorkingDirectory={source['probe_dir'] or '/'}"]
    environment = {**source["probe_environment"], _NAME: server.socket}
    argv = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect"]
    argv += [f"--property={one}" for one in settings]
    argv += [f"--setenv={name}={value}" for name, value in environment.items()]
    done = run_program([*argv, "--", *source["probe"]], _SECONDS + 60)
    if done.code != 0:
        raise ProbeError(f"the application's probe ended with {done.code} on what was restored: {done.last_line}")
