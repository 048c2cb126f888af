"""Puts back what a run has taken away: everything, or nothing when that would harm something newer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

from ansible.module_utils.container_actions import load_image
from ansible.module_utils.disk_candidate import Candidate, File, shown
from ansible.module_utils.disk_measure import nearest_existing
from ansible.module_utils.disk_reclaim import Context, candidates_of
from ansible.module_utils.engine_room import take_back
from ansible.module_utils.hold import Entry, Pack, copy, digest_of_part
from ansible.module_utils.remediate_engine import ContainerEngine
from ansible.module_utils.rename import rename_without_replacing
from ansible.module_utils.safe_files import Directory, split

_PARTIAL = ".remediate-partial"


@dataclass
class Restoration:
    """One thing to put back."""

    candidate: Candidate
    pack: Pack
    entry: Entry
    placed_at: str
    is_there: bool = False

    @property
    def is_image(self) -> bool:
        """It is an image, not a file."""
        return self.candidate.verb == "remove"

    def placed(self) -> File:
        """Return the file that was put back, as it is now: a later run may take it away again."""
        return File.seen(self.placed_at, os.stat(self.placed_at, follow_symlinks=False))

    def report(self) -> dict[str, str]:
        """Return it in the form in which the phase reports."""
        return {
            "target": shown(self.entry.path),
            "placed_at": shown(self.placed_at),
            "sha256": self.entry.sha256,
        }


@dataclass
class Outcome:
    """What came of a rollback."""

    restored: list[Restoration] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    changed: bool = False

    def report(self) -> dict[str, Any]:
        """Return it in the form in which the phase reports."""
        return {
            "restored": [one.report() for one in self.restored],
            "refused": self.refused,
            "complete": not self.refused,
        }

    def message(self) -> str:
        """Return what stands in the way, in one line."""
        if not self.refused:
            return "everything is back"
        reasons = "; ".join(f"{one['target']}: {one['reason']}" for one in self.refused)
        return f"nothing was put back ({reasons}); move away what is in the way, then roll back again"

    def refuse(self, target: str, reason: str) -> None:
        """Remember why something cannot be put back."""
        self.refused.append({"target": shown(target), "reason": shown(reason)})


def restore(context: Context, *, dry: bool) -> Outcome:
    """Put everything back, once it is certain that nothing newer is harmed and that there is room."""
    outcome = Outcome()
    if not dry:
        take_back()
    wanted = list(_held(context, outcome))
    for one in wanted:
        _examine(context, one, outcome)
    missing = [one for one in wanted if not one.is_there]
    _examine_room(missing, outcome)
    if outcome.refused:
        return outcome
    outcome.restored, outcome.changed = wanted, bool(missing)
    if not dry:
        for one in missing:
            _put_back(context, one)
            if one.candidate.verb == "truncate":
                context.state.append(event="placed", file=asdict(one.placed()))
        if not context.state.rolled_back:
            context.state.append(event="rolled_back")
    return outcome


def _held(context: Context, outcome: Outcome) -> Iterator[Restoration]:
    """Yield everything of which the journal says that it is held."""
    candidates = candidates_of(context.manifest)
    done, skipped = context.state.by_item("done"), context.state.by_item("skipped")
    left = {record["path"] for record in context.state.journal() if record["event"] == "left"}
    saved = {item for item, one in enumerate(candidates) if one.verb == "remove" and one.undo == "held"}
    held = {*context.state.by_item("held"), *(saved & {*context.state.by_item("begun")})}
    for item in sorted(held):
        candidate, pack = candidates[item], context.pack(item)
        if candidate.undo != "held" and candidate.verb != "truncate":
            continue
        try:
            entries = pack.entries()
        except FileNotFoundError:
            if item not in saved:
                outcome.refuse(candidate.target, f"{pack.index} is gone: it was held there")
            continue
        if candidate.verb == "truncate" and item not in done and not _was_emptied(candidate, entries[0]):
            continue  # copied, but a kill came before it was emptied
        for entry in entries:
            if entry.path in left or (item in skipped and os.path.lexists(entry.path)):
                continue  # held, but then not taken: it had changed
            yield Restoration(candidate, pack, entry, _place(candidate, entry, pack, context.manifest["run_id"]))


def _was_emptied(candidate: Candidate, entry: Entry) -> bool:
    try:
        status = os.stat(candidate.files[0].path, follow_symlinks=candidate.cause == "deleted_open_files")
    except OSError:
        return True
    return (status.st_dev, status.st_ino) != (entry.device, entry.inode) or status.st_size < entry.size


def _place(candidate: Candidate, entry: Entry, pack: Pack, run_id: str) -> str:
    """Return where something is put back: a log whose writer writes on comes back beside the living one."""
    if candidate.verb != "truncate":
        return entry.path
    if candidate.cause == "deleted_open_files" and not os.path.isdir(os.path.dirname(entry.path)):
        return pack.data  # its directory is gone, or is a container's own: it stays in the hold
    return f"{entry.path}.{run_id}"


def _examine(context: Context, one: Restoration, outcome: Outcome) -> None:
    """Find out whether something is there already, is in the way of nothing, and is held whole."""
    try:
        if one.is_image:
            one.is_there = ContainerEngine(context.settings["engine_socket"]).image_exists(one.entry.path)
        else:
            one.is_there = _is_there(one)
        if not one.is_there:
            _prove(one)
    except OSError as error:
        outcome.refuse(one.placed_at, error.strerror or str(error))


def _prove(one: Restoration) -> None:
    with open(one.pack.data, "rb") as source:
        if digest_of_part(source, one.entry) != one.entry.sha256:
            raise OSError(f"what is held in {one.pack.data} is damaged")


def _is_there(one: Restoration) -> bool:
    """Return whether the very same content is in its place; raises when something else is."""
    directory_path, name = split(one.placed_at)
    with Directory(directory_path) as directory:
        if not directory.exists(name):
            return False
        status = directory.status(name)
        same_file = (status.st_dev, status.st_ino) == (one.entry.device, one.entry.inode)
        if same_file and (status.st_size, status.st_mtime_ns) == (one.entry.size, one.entry.changed):
            return True  # never removed
        if status.st_size == one.entry.size:
            with os.fdopen(directory.open(name), "rb") as source:
                if digest_of_part(source, _whole(one.entry)) == one.entry.sha256:
                    return True
    raise FileExistsError(f"there is something newer at {one.placed_at}, which would be overwritten")


def _whole(entry: Entry) -> Entry:
    return Entry(**{**entry.__dict__, "offset": 0})


def _examine_room(missing: list[Restoration], outcome: Outcome) -> None:
    """Refuse when what is put back does not fit."""
    wanted: dict[int, list[Restoration]] = {}
    for one in missing:
        if not one.is_image:
            wanted.setdefault(os.stat(nearest_existing(os.path.dirname(one.placed_at))).st_dev, []).append(one)
    for many in wanted.values():
        room = os.statvfs(nearest_existing(os.path.dirname(many[0].placed_at)))
        block = room.f_frsize
        size = sum(-(-one.entry.size // block) * block for one in many)
        if size > room.f_bavail * block or (room.f_files and len(many) > room.f_favail):
            outcome.refuse(
                os.path.dirname(many[0].placed_at),
                f"{len(many)} files with {size} bytes do not fit: {room.f_bavail * block} bytes are free",
            )


def _put_back(context: Context, one: Restoration) -> None:
    if one.is_image:
        load_image(context.settings["engine_socket"], one.pack)
        return
    directory_path, name = split(one.placed_at)
    with Directory(directory_path) as directory:
        partial = f"{name[:200]}{_PARTIAL}"
        if directory.exists(partial):
            directory.unlink(partial)  # of a rollback that was killed
        descriptor = directory.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with os.fdopen(descriptor, "wb") as target:
            _fill(one, target)
        rename_without_replacing(directory.descriptor, partial, name)
        directory.sync()


def _fill(one: Restoration, target: BinaryIO) -> None:
    """Write the content, then make owner, mode and time the old ones."""
    with open(one.pack.data, "rb") as source:
        source.seek(one.entry.offset)
        _, digest = copy(source, target, one.entry.size)
    if digest != one.entry.sha256:
        raise OSError(f"what is held in {one.pack.data} is damaged")
    target.flush()
    os.fchown(target.fileno(), one.entry.owner, one.entry.group)
    os.fchmod(target.fileno(), one.entry.mode)
    os.utime(target.fileno(), ns=(one.entry.changed, one.entry.changed))
    os.fsync(target.fileno())
