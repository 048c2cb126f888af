"""What is written down beside a backup: what it is of, what is in it, and what its content must be after a restore."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible.module_utils import database_content, postgresql_state
from ansible.module_utils.database_content import Content
from ansible.module_utils.host_step import StepError
from ansible.module_utils.log_position import Position
from ansible.module_utils.postgresql_state import State
from ansible.module_utils.run_state import write_whole

FILE = "manifest.json"
#: The directory in which it is made, with what else is stored beside files of the host.
STAGE = "stage"
#: The kinds of snapshots, as their tags.
DATABASE, LOGS, FILES, REDIS = "database-full", "database-logs", "files", "redis"
POSTGRESQL, WAL = "postgresql-copy", "postgresql-wal"
STREAM = "full.mbstream"
DUMP = "dump.rdb"
_VERSION = 1
_BLOCK = 1 << 20


class BadManifestError(StepError):
    """What stands beside a backup is not a manifest of ours."""


@dataclass(frozen=True)
class Part:
    """One file of a backup, in bytes, with its digest."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """One backup. Moments are seconds since 1970; everything that was committed before `covered_until` is in it."""

    id: str
    kind: str
    source: str
    #: A digest of the machine's identity: a drill refuses a machine that is a source.
    machine: str
    made: float
    covered_until: float
    server: dict[str, str] = field(default_factory=dict)
    position: Position | None = None
    content: Content | None = None
    files: tuple[Part, ...] = ()
    #: Of a backup of PostgreSQL only; others do not speak of it.
    postgresql: State | None = None

    def write(self, directory: str) -> str:
        """Write it into a directory and return its path."""
        path = os.path.join(directory, FILE)
        record = {"version": _VERSION, **asdict(self), "content": self.content.record() if self.content else None}
        if self.postgresql is None:
            del record["postgresql"]
        write_whole(path, json.dumps(record).encode("ascii"))
        return path


def read(text: str, where: str) -> Manifest:
    """Return a manifest; raises BadManifestError naming where it was read."""
    try:
        record: dict[str, Any] = json.loads(text)
        if record.pop("version") != _VERSION:
            raise BadManifestError(f"the manifest of {where} is of another version of remediate: use that one")
        position, content = record.pop("position"), record.pop("content")
        state = record.pop("postgresql", None)
        return Manifest(
            **{**record, "files": tuple(Part(**one) for one in record["files"])},
            position=Position(**position) if position else None,
            content=database_content.from_record(content) if content else None,
            postgresql=postgresql_state.from_record(state) if state else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadManifestError(f"the manifest of {where} cannot be read: {error}") from error


def part_of(path: str) -> Part:
    """Return size and digest of a file."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as source:
        while block := source.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return Part(os.path.basename(path), size, digest.hexdigest())


def this_machine() -> str:
    """Return a digest of this machine's identity; raises StepError for a machine without one."""
    try:
        with open("/etc/machine-id", encoding="ascii") as source:
            identity = source.read().strip()
    except OSError as error:
        raise StepError(f"this machine has no identity to be told by: {error}") from error
    return hashlib.sha256(f"remediate:{identity}".encode()).hexdigest()
