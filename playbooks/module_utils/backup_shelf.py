"""What a repository holds of one source, each with its manifest: the backups that a restore chooses from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ansible.module_utils import backup_manifest, postgresql_state
from ansible.module_utils.backup_manifest import (
    DATABASE,
    FILE,
    FILES,
    LOGS,
    POSTGRESQL,
    REDIS,
    STAGE,
    WAL,
    BadManifestError,
    Manifest,
)
from ansible.module_utils.restic_repository import Repository, RepositoryError, Snapshot


@dataclass(frozen=True)
class Stored:
    """One backup: its snapshot, its manifest, and the path of each of its files in the snapshot by name."""

    snapshot: Snapshot
    manifest: Manifest
    paths: dict[str, str]
    #: Of a backup of PostgreSQL: the files of its log.
    archive: tuple[str, ...] = ()


class Shelf:
    """The backups of one source in one repository, the newest first."""

    def __init__(self, repository: Repository, source: str) -> None:
        self.repository = repository
        self.source = source
        self._snapshots = [one for one in reversed(repository.snapshots()) if one.source == source]

    def databases(self) -> list[Snapshot]:
        """Return the full copies of the database."""
        return self._of(DATABASE)

    def logs(self) -> list[Snapshot]:
        """Return the shipments of binary logs."""
        return self._of(LOGS)

    def postgresql(self) -> list[Snapshot]:
        """Return the copies of PostgreSQL."""
        return self._of(POSTGRESQL)

    def wal(self) -> list[Snapshot]:
        """Return everything that has PostgreSQL's log in it: each copy, and each shipment."""
        return self._of(POSTGRESQL, WAL)

    def redis(self) -> list[Snapshot]:
        """Return the copies of Redis."""
        return self._of(REDIS)

    def files(self) -> list[Snapshot]:
        """Return the copies of files."""
        return self._of(FILES)

    def read(self, snapshot: Snapshot) -> Stored:
        """Return a backup with its manifest; raises RepositoryError or BadManifestError when either is not whole."""
        content = self.repository.content(snapshot.id)
        # Only what was stored by its own path: an application may have files of the same names.
        stored = {os.path.basename(path): path for path in snapshot.paths}
        path = manifest_of(snapshot)
        if path not in content:
            raise BadManifestError(f"the backup {snapshot.tag('id') or snapshot.id[:8]} has no manifest")
        manifest = backup_manifest.read(self.repository.read(snapshot.id, path), snapshot.tag("id"))
        if manifest.source != self.source:
            raise BadManifestError(f"the manifest of {manifest.id} is of {manifest.source}, not of {self.source}")
        if {POSTGRESQL, WAL} & set(snapshot.tags):
            return Stored(snapshot, manifest, {}, _archive(manifest, content))
        paths = {part.name: stored[part.name] for part in manifest.files if part.name in stored}
        short = [part.name for part in manifest.files if content.get(paths.get(part.name, "")) != part.bytes]
        if short:
            raise RepositoryError(f"the backup {manifest.id} has not the whole of {', '.join(short)}")
        return Stored(snapshot, manifest, paths)

    def _of(self, *kinds: str) -> list[Snapshot]:
        return [one for one in self._snapshots if set(kinds) & set(one.tags)]


def _archive(manifest: Manifest, content: dict[str, int]) -> tuple[str, ...]:
    """Return the files of PostgreSQL's log in a snapshot; raises RepositoryError unless all of it is there."""
    state = manifest.postgresql
    if state is None:
        raise BadManifestError(f"the manifest of {manifest.id} does not speak of PostgreSQL")
    files = postgresql_state.below(content, state.repository)
    if said := postgresql_state.lacking(state, files):
        raise RepositoryError(f"the backup {manifest.id} is not whole: {said}")
    return tuple(postgresql_state.archive_in(state, files))


def first_readable(repositories: list[dict[str, Any]], source: str) -> Shelf:
    """Return the backups of a source in the first repository that can be read; raises RepositoryError with all reasons.

    Each repository is named as in the inventory: `name`, `address_file`, `password_file`.
    """
    troubles = []
    for one in repositories:
        try:
            return Shelf(Repository(one["name"], one["address_file"], one["password_file"]), source)
        except RepositoryError as error:
            troubles.append(str(error))
    raise RepositoryError(f"no repository can be read: {'; '.join(troubles) or 'none is named'}; nothing was done")


def manifest_of(snapshot: Snapshot) -> str:
    """Return the path of the manifest in a snapshot; nothing when it has none."""
    found = [path for path in snapshot.paths if os.path.basename(path) == FILE]
    return next((path for path in found if os.path.basename(os.path.dirname(path)) == STAGE), found[0] if found else "")


def stored_files(snapshot: Snapshot) -> list[str]:
    """Return the files and directories of a host that a snapshot is of, without what stands beside them."""
    beside = os.path.dirname(manifest_of(snapshot))
    return [path for path in snapshot.paths if os.path.dirname(path) != beside]
