"""Whether the newest copy of PostgreSQL and the log shipped after it lead on without a gap, and how far."""

from __future__ import annotations

from dataclasses import dataclass

from ansible.module_utils.backup_manifest import BadManifestError
from ansible.module_utils.backup_shelf import Shelf, Stored
from ansible.module_utils.postgresql_wal import BadNameError, gap
from ansible.module_utils.restic_repository import RepositoryError


@dataclass(frozen=True)
class WalFacts:
    """What was found. Moments are seconds since 1970."""

    #: What is wrong, and what to do; or nothing.
    trouble: str
    #: When the copy was made.
    since: float
    #: All that was committed before this can be restored from the repository.
    until: float
    position: str = ""
    #: How many segments there are from the copy on.
    segments: int = 0


def look(shelf: Shelf, *, wanted: bool) -> WalFacts | None:
    """Read what the newest snapshots say, and look for each segment by its name; None where there is no PostgreSQL.

    `wanted` says that there has to be one. What is in the segments is looked at by `restore-test`.
    """
    copies, logs = shelf.postgresql(), shelf.wal()
    if not copies:
        return WalFacts("there is no copy of PostgreSQL: take one now", 0.0, 0.0) if wanted or logs else None
    try:
        return _found(shelf.read(copies[0]), shelf.read(logs[0]))
    except (RepositoryError, BadManifestError, BadNameError) as error:
        return WalFacts(f"PostgreSQL's log cannot be read: {error}", copies[0].made, copies[0].made)


def _found(copy: Stored, log: Stored) -> WalFacts:
    state = log.manifest.postgresql
    if state is None:  # a shelf gives out none
        raise BadManifestError(f"the manifest of {log.manifest.id} does not speak of PostgreSQL")
    since, until = copy.manifest.made, max(copy.manifest.covered_until, log.manifest.covered_until)
    if said := gap(state.wal, log.archive):
        trouble = f"PostgreSQL's log does not lead on from {state.backup}: {said}; take a new copy now"
        return WalFacts(trouble, since, since, state.place)
    return WalFacts("", since, until, state.place, state.segments.files)
