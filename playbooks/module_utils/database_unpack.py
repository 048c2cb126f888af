"""A full copy of a database, out of the repository and made ready: unpacked, proven page by page, prepared."""

from __future__ import annotations

import hashlib
import os
import subprocess
from typing import IO

from ansible.module_utils.backup_manifest import STREAM, Manifest, Part
from ansible.module_utils.controller_watch import die_with_parent
from ansible.module_utils.drill_mutation import Mutation
from ansible.module_utils.host_step import StepError
from ansible.module_utils.restic_repository import Repository
from ansible.module_utils.stack_program import plain, run_program

_BLOCK = 1 << 20
_SECONDS = 4 * 3600.0
_DONE = "completed OK!"
#: Files of the copy that say where it is in the log, by age of the tool.
_PLACES = ("mariadb_backup_binlog_info", "xtrabackup_binlog_info")


class BadCopyError(StepError):
    """The copy cannot be restored; the message says what is wrong with it."""


def unpack(
    repository: Repository, snapshot: str, path: str, manifest: Manifest, target: str, mutation: Mutation
) -> int:
    """Unpack the stream of a snapshot into a new directory; return how many bytes it had.

    Raises BadCopyError when the stream is not the one that the manifest names.
    """
    os.makedirs(target, 0o750)
    wanted = next((part for part in manifest.files if part.name == STREAM), None)
    if wanted is None:
        raise BadCopyError(f"the manifest of {manifest.id} names no {STREAM}")
    with repository.stream(snapshot, path) as source:
        found, code, said = _fed_to_unpacker(mutation.stream(source, wanted.bytes), target)
    if found != wanted:
        raise BadCopyError(
            f"the copy {manifest.id} is not what was stored: {found.bytes} bytes instead of {wanted.bytes}"
            if found.bytes != wanted.bytes
            else f"the copy {manifest.id} is not what was stored: its digest differs"
        )
    if code != 0:
        raise BadCopyError(f"the copy {manifest.id} cannot be unpacked: {said}")
    return found.bytes


def _fed_to_unpacker(source: IO[bytes], target: str) -> tuple[Part, int, str]:
    """Give everything to the unpacker; return size and digest of what came by, and how the unpacker ended."""
    digest, size = hashlib.sha256(), 0
    with subprocess.Popen(
        ["mbstream", "-x", "-C", target],  # noqa: S607 - wherever the package puts it
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - the kernel offers no other way to die with the parent
    ) as process:
        taking = process.stdin
        while block := source.read(_BLOCK):
            digest.update(block)
            size += len(block)
            taking = _give(taking, block)
        _, errors = process.communicate()
    return Part(STREAM, size, digest.hexdigest()), process.returncode, plain(errors.decode(errors="replace"))[-200:]


def _give(taking: IO[bytes] | None, block: bytes) -> IO[bytes] | None:
    """Hand a block on, unless the unpacker has given up: how it ended says why."""
    try:
        if taking is not None:
            taking.write(block)
    except BrokenPipeError:
        return None
    return taking


def check_pages(directory: str) -> None:
    """Look at every page of every table's file; raises BadCopyError naming the first file that is damaged."""
    for parent, _, names in os.walk(directory):
        for name in sorted(names):
            # Not the system's file: it has pages that are never written, which the tool takes for damage.
            if name.endswith(".ibd"):
                _check_file(os.path.join(parent, name), directory)


def _check_file(path: str, directory: str) -> None:
    done = run_program(["innochecksum", path], _SECONDS)
    if done.code != 0:
        raise BadCopyError(f"the copy has damaged pages in {os.path.relpath(path, directory)}: {done.last_line}")


def prepare(directory: str) -> None:
    """Make the copy consistent; raises BadCopyError unless the tool says that all is well."""
    done = run_program(["mariadb-backup", "--prepare", "--use-memory=256M", f"--target-dir={directory}"], _SECONDS)
    lines = [line for line in done.errors.splitlines() if line.strip()] or [done.last_line]
    if done.code != 0 or not lines[-1].rstrip().endswith(_DONE):
        raise BadCopyError(f"the copy cannot be prepared: {plain(lines[-1])[-300:]}")


def place_in_log(directory: str) -> tuple[str, int, str]:
    """Return file, offset and GTID state of the log that a copy says it is at; raises BadCopyError without one."""
    for name in _PLACES:
        try:
            with open(os.path.join(directory, name), encoding="ascii") as source:
                words = source.read().split()
            return words[0], int(words[1]), words[2] if len(words) > 2 else ""
        except FileNotFoundError:
            continue
        except (ValueError, IndexError) as error:
            raise BadCopyError(f"the copy does not say where it is in the binary log: {error}") from error
    raise BadCopyError("the copy does not say where it is in the binary log")
