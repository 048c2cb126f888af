"""What a restore of files would bring: the snapshot, what differs on the disk, room and time. It changes nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ansible.module_utils import file_tree
from ansible.module_utils.backup_shelf import Shelf, stored_files
from ansible.module_utils.file_tree import FILE, Differences, Entry
from ansible.module_utils.host_step import StepError
from ansible.module_utils.moments import moment_of, stamp
from ansible.module_utils.restic_repository import Repository, RepositoryError, Snapshot, seconds_of
from ansible.module_utils.run_state import make_private, write_whole

_FIRST = 5
#: Laying out reads what the listing has read, writes it, and reads it back.
_TIMES = 2.5


class NoFilesError(StepError):
    """What was asked for cannot be restored; the message says what can."""


@dataclass(frozen=True)
class Listing:
    """Everything at and below one path of a snapshot, and in how many seconds it could be read."""

    entries: dict[str, Entry]
    seconds: float

    @property
    def bytes(self) -> int:
        """How much the files have in them."""
        return sum(entry.size for entry in self.entries.values())


@dataclass(frozen=True)
class FilesPlan:
    """One restore of files: from which snapshot, and for each path what is in it and what differs on the disk."""

    shelf: Shelf
    snapshot: Snapshot
    listings: dict[str, Listing]
    differences: dict[str, Differences]

    @property
    def id(self) -> str:
        """The name of the backup."""
        return self.snapshot.tag("id") or self.snapshot.id[:8]

    @property
    def bytes(self) -> int:
        """How much is laid out beside what is there."""
        return sum(one.bytes for one in self.listings.values())

    @property
    def seconds(self) -> float:
        """How long it takes until it can be switched, as far as reading it tells."""
        return _TIMES * sum(one.seconds for one in self.listings.values())


def plan(settings: dict[str, Any], wanted: str, *, fresh: bool = False) -> FilesPlan:
    """Return what a restore would bring; raises NoFilesError, or what the last repository said.

    A fresh host has nothing to compare with: then every path is restored.
    """
    troubles = []
    for one in settings["repositories"]:
        try:
            shelf = Shelf(Repository(one["name"], one["address_file"], one["password_file"]), settings["source"])
            snapshot = chosen(shelf.files(), wanted)
            return _of(shelf, snapshot, settings, fresh=fresh)
        except (RepositoryError, NoFilesError) as error:
            troubles.append(str(error))
    raise NoFilesError(f"{'; '.join(troubles) or 'no repository is named'}; nothing was done")


def _of(shelf: Shelf, snapshot: Snapshot, settings: dict[str, Any], *, fresh: bool) -> FilesPlan:
    paths = settings["paths"] or stored_files(snapshot)
    listings = {path: listing(shelf.repository, snapshot, path, settings["stage_dir"]) for path in paths}
    if fresh:
        return FilesPlan(shelf, snapshot, listings, {})
    keep = settings["keep"]
    found = {path: file_tree.compare(one.entries, path, kept_below(path, keep)) for path, one in listings.items()}
    return FilesPlan(shelf, snapshot, listings, found)


def chosen(snapshots: list[Snapshot], wanted: str) -> Snapshot:
    """Return the snapshot that a time or an id means, of the newest first; raises NoFilesError saying what there is."""
    wanted = wanted.strip()
    if not snapshots:
        raise NoFilesError("there is no backup of the files")
    if not wanted:
        return snapshots[0]
    for one in snapshots:
        if wanted == one.tag("id") or (len(wanted) >= 8 and one.id.startswith(wanted)):
            return one
    until = _moment(wanted)
    if found := next((one for one in snapshots if one.made <= until), None):
        return found
    raise NoFilesError(f"the oldest backup of the files, of {stamp(snapshots[-1].made)}, is later than {wanted}")


def _moment(text: str) -> float:
    moment = moment_of(text)
    if moment is None:
        raise NoFilesError(
            f"{text!r} is neither a time with its zone (2026-11-28T03:10:00Z) nor the id of a backup of the files"
        )
    return moment


def kept_below(path: str, keep: Iterable[str]) -> list[str]:
    """Return the parts of a path that stay as they are, as paths below it."""
    return [one.rstrip("/")[len(path) + 1 :] for one in keep if one.rstrip("/").startswith(f"{path}/")]


def listing(repository: Repository, snapshot: Snapshot, path: str, stage: str) -> Listing:
    """Return what a snapshot has at a path, every content read; it is kept, for snapshots never change."""
    kept = os.path.join(stage, "listings", f"{snapshot.id}-{path.strip('/').replace('/', '~')}"[:250])
    if (found := _kept(kept)) is not None:
        return found
    began = time.monotonic()
    nodes = [one for one in repository.nodes(snapshot.id) if file_tree.is_within(str(one["path"]), [path])]
    if not nodes:
        raise NoFilesError(
            f"the backup {snapshot.tag('id')} of the files has no {path}: it has {', '.join(stored_files(snapshot))}"
        )
    top = next((one for one in nodes if one["path"] == path), None)
    with repository.stream(snapshot.id, path) as source:
        told = {path: file_tree.digest_of(source)} if top and top["type"] == FILE else file_tree.told_of_archive(source)
        while source.read(1 << 20):
            pass
    entries = {}
    for node in nodes:
        name, mtime = str(node["path"]), nanoseconds_of(str(node["mtime"]))
        if entry := file_tree.from_node(node, mtime, told.get(name, "")):
            entries[name[len(path) + 1 :]] = entry
    made = Listing(entries, time.monotonic() - began)
    make_private(os.path.dirname(kept))
    write_whole(kept, json.dumps([made.seconds, {name: asdict(one) for name, one in entries.items()}]).encode("ascii"))
    return made


def _kept(path: str) -> Listing | None:
    try:
        with open(path, encoding="ascii") as source:
            seconds, entries = json.load(source)
        return Listing({str(name): Entry(**one) for name, one in entries.items()}, float(seconds))
    except (OSError, ValueError, TypeError, AttributeError):
        return None  # it is made anew


def nanoseconds_of(moment: str) -> int:
    """Return a moment as restic writes it in nanoseconds since 1970, exactly."""
    whole, _, rest = moment.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(digits) :] if rest else moment[19:]
    return round(seconds_of(whole[:19] + zone)) * 10**9 + int((digits or "0").ljust(9, "0")[:9])


def words(found: FilesPlan) -> list[str]:
    """Return the plan as evidence for people."""
    files = sum(len(one.entries) for one in found.listings.values())
    where = f"{found.id} of {stamp(found.snapshot.made)} in {found.shelf.repository.name}"
    said = [f"from {where}, {files} files and directories, {_size(found.bytes)}"]
    for path, one in found.differences.items():
        said += _of_path(path, one)
    said.append(f"{_size(found.bytes)} are laid out beside first; about {found.seconds:.0f} s until it can be switched")
    return said


def _of_path(path: str, found: Differences) -> list[str]:
    kinds = {
        "are missing and come back": found.missing,
        "are damaged and come back": found.damaged,
        "were changed and become what they were": found.changed,
        "are not in the backup and go": found.added,
    }
    return [f"{path}: {len(names)} {what}: {_first(names)}" for what, names in kinds.items() if names]


def _first(names: list[str]) -> str:
    shown = [name or "itself" for name in sorted(names)[:_FIRST]]
    return ", ".join(shown) + (f" and {len(names) - _FIRST} more" if len(names) > _FIRST else "")


def _size(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
