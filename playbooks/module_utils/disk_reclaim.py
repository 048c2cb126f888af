"""Does the actions of a manifest one by one, so that a kill at any moment loses nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.container_actions import remove_container, remove_image
from ansible.module_utils.disk_candidate import Candidate, File, from_record
from ansible.module_utils.disk_measure import FileSystem, file_systems
from ansible.module_utils.disk_plan import MARGIN
from ansible.module_utils.engine_room import take_back
from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.hold import Changed, Pack
from ansible.module_utils.log_emptying import empty
from ansible.module_utils.remediate_engine import ContainerEngine, EngineError
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.run_state import RunState, StateError, make_private
from ansible.module_utils.safe_files import Directory, split


@dataclass
class Context:
    """What all actions of one run need."""

    state: RunState
    settings: dict[str, Any]
    stack: dict[str, Any]
    manifest: dict[str, Any]
    warn: Callable[[str], None]

    def pack(self, item: int) -> Pack:
        """Return where what an item takes away is held on this host."""
        return Pack(os.path.join(hold_directory(self.state, self.manifest), f"{item:05d}"))

    @property
    def holds_here(self) -> bool:
        """What is taken away is held on this host."""
        return bool(self.manifest["hold"]["where"] == "host")

    @property
    def tail(self) -> int | None:
        """How much of a log is kept: all of it where there is a hold."""
        return None if self.holds_here else int(self.settings["log_tail"])


def hold_directory(state: RunState, manifest: dict[str, Any]) -> str:
    """Return the directory of what a run holds: without a hold, only the ends of logs, beside the manifest."""
    if manifest["hold"]["where"] == "host":
        return os.path.join(manifest["hold"]["path"], str(manifest["run_id"]))
    return os.path.join(state.directory, "hold")


def candidates_of(manifest: dict[str, Any]) -> list[Candidate]:
    """Return what a run may do, in order."""
    return [from_record(record) for record in manifest["actions"]]


def done_candidates(state: RunState) -> list[Candidate]:
    """Return what a run has done so far, as its journal and the files tell."""
    done = state.by_item("done")
    begun = {**state.by_item("begun"), **state.by_item("held")}
    return [
        candidate
        for item, candidate in enumerate(candidates_of(state.manifest))
        if item in done or (item in begun and candidate.verb == "delete" and _is_gone(candidate))
    ]


def _is_gone(candidate: Candidate) -> bool:
    """Return whether an action that a kill cut short had taken effect."""
    return not any(os.path.lexists(file.path) for file in candidate.files)


def target_is_met(settings: dict[str, Any], goals: list[dict[str, Any]]) -> bool:
    """Return whether every file system that was full has room again, and some more."""
    now = {seen.device: seen for seen in goal_systems(goals)}
    return all(_has_room(now.get(goal["device"]), goal, settings["target_free"]) for goal in goals)


def goal_systems(goals: list[dict[str, Any]]) -> list[FileSystem]:
    """Return the file systems that a run is to make room on, as they are now."""
    devices = {goal["device"] for goal in goals}
    return [seen for seen in file_systems([]) if seen.device in devices]


def _has_room(seen: FileSystem | None, goal: dict[str, Any], wanted: float) -> bool:
    if seen is None:
        return False
    beyond = wanted + MARGIN
    return seen.free_percent >= (beyond if goal["bytes"] else wanted) and seen.free_inodes_percent >= (
        beyond if goal["inodes"] else wanted
    )


def reclaim(context: Context) -> tuple[bool, str]:
    """Do what is left to do; return whether anything was changed, and why it stopped."""
    state, manifest = context.state, context.manifest
    if state.rolled_back:
        raise StateError(f"run {manifest['run_id']} was rolled back; nothing was changed: start a new run")
    take_back()
    if context.holds_here:
        make_private(hold_directory(state, manifest))
    begun = state.by_item("held")
    finished = {**state.by_item("done"), **state.by_item("skipped")}
    changed, met = False, target_is_met(context.settings, manifest["goals"])
    for item, candidate in enumerate(candidates_of(manifest)):
        if item in finished or (met and candidate.verb != "start" and item not in begun):
            continue
        changed = _one(context, item, candidate) or changed
        met = met or target_is_met(context.settings, manifest["goals"])
    return changed, "target_met" if met else "all_done"


def _one(context: Context, item: int, candidate: Candidate) -> bool:
    try:
        _VERBS[candidate.verb](context, item, candidate)
    except (Changed, OSError, EngineError, StackError) as error:
        reason = f"{candidate.target} was left as it is: {_words(error)}"
        context.state.append(event="skipped", item=item, reason=reason)
        context.warn(reason)
        return False
    context.state.append(event="done", item=item)
    return True


def _words(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _delete(context: Context, item: int, candidate: Candidate) -> None:
    """Hold the files of an action, then remove them; after a kill the rest is removed."""
    files, each = candidate.files, bool(candidate.details.get("each"))
    if context.holds_here:
        pack = context.pack(item)
        if item not in context.state.by_item("held"):
            pack.keep(files, each=each)
            context.state.append(event="held", item=item)
        held = {entry.path for entry in pack.entries()}
        files = tuple(file for file in files if file.path in held)
    else:
        context.state.append(event="begun", item=item)
    for path in _remove_all(files, each=each):
        context.state.append(event="left", item=item, path=path)


def _remove_all(files: tuple[File, ...], *, each: bool) -> list[str]:
    """Remove files and return those that were left because they have changed; without `each` one stops it all."""
    left: list[str] = []
    directory: Directory | None = None
    try:
        for file in files:
            path, name = split(file.path)
            if directory is None or directory.path != path:
                if directory is not None:
                    directory.close()
                directory = Directory(path)
            if not _remove(directory, name, file):
                if not each:
                    raise Changed("it has changed since the snapshot")
                left.append(file.path)
    finally:
        if directory is not None:
            directory.sync()
            directory.close()
    return left


def _remove(directory: Directory, name: str, file: File) -> bool:
    """Remove a file and return True; return False when it is not the file that the snapshot saw."""
    try:
        status = directory.status(name)
    except FileNotFoundError:
        return True  # already gone, by us before a kill or by its owner
    if not file.is_same(status):
        return False
    directory.unlink(name)
    return True


def _truncate(context: Context, item: int, candidate: Candidate) -> None:
    make_private(os.path.dirname(context.pack(item).path))
    name = candidate.details.get("name", candidate.target)
    empty(
        candidate.files[0],
        context.pack(item),
        name,
        context.tail,
        lambda: context.state.append(event="held", item=item),
    )


def _start(context: Context, item: int, candidate: Candidate) -> None:
    del item
    stack_of(context.stack).start([candidate.target])


def _remove_from_engine(context: Context, item: int, candidate: Candidate) -> None:
    context.state.append(event="begun", item=item)
    kind = candidate.details["kind"]
    pack = context.pack(item)
    make_private(os.path.dirname(pack.path))
    if kind == "container":
        remove_container(context.settings["engine_socket"], candidate, pack)
    else:
        remove_image(context.settings["engine_socket"], candidate, pack if context.holds_here else None)


def _prune(context: Context, item: int, candidate: Candidate) -> None:
    context.state.append(event="begun", item=item)
    del candidate
    ContainerEngine(context.settings["engine_socket"]).prune_build_cache()


_VERBS: dict[str, Callable[[Context, int, Candidate], None]] = {
    "delete": _delete,
    "truncate": _truncate,
    "remove": _remove_from_engine,
    "prune": _prune,
    "start": _start,
}
