"""What a repository holds of one source, each with its manifest: the backups that a restore chooses from."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ansible.module_utils import backup_manifest
from ansible.module_utils.backup_manifest import DATABASE, FILE, FILES, LOGS, REDIS, BadManifestError, Manifest
from ansible.module_utils.restic_repository import Repository, RepositoryError, Snapshot


@dataclass(frozen=True)
class Stored:
    """One backup: its snapshot, its manifest, and the path of each of its files in the snapshot by name."""

    snapshot: Snapshot
    manifest: Manifest
    paths: dict[str, str]


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

    def redis(self) -> list[Snapshot]:
        """Return the copies of Redis."""
        return self._of(REDIS)

    def files(self) -> list[Snapshot]:
        """Return the copies of files."""
        return self._of(FILES)

    def read(self, snapshot: Snapshot) -> Stored:
        """Return a backup with its manifest; raises RepositoryError or BadManifestError when either is not whole."""
        content = self.repository.content(snapshot.id)
        path = next((one for one in content if os.path.basename(one) == FILE), "")
        if not path:
            raise BadManifestError(f"the backup {snapshot.tag('id') or snapshot.id[:8]} has no manifest")
        manifest = backup_manifest.read(self.repository.read(snapshot.id, path), snapshot.tag("id"))
        if manifest.source != self.source:
            raise BadManifestError(f"the manifest of {manifest.id} is of {manifest.source}, not of {self.source}")
        wanted = {part.name for part in manifest.files}
        paths = {os.path.basename(one): one for one in content if os.path.basename(one) in wanted}
        short = [part.name for part in manifest.files if content.get(paths.get(part.name, "")) != part.bytes]
        if short:
            raise RepositoryError(f"the backup {manifest.id} has not the whole of {', '.join(short)}")
        return Stored(snapshot, manifest, paths)

    def _of(self, kind: str) -> list[Snapshot]:
        return [one for one in self._snapshots if kind in one.tags]
