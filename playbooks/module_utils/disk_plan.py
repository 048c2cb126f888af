"""What is wrong with the disks of a host, and what a fix would do about it: used by diagnosis, snapshot and dry run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ansible.module_utils.biggest_consumers import biggest_consumers
from ansible.module_utils.container_consumers import container_candidates
from ansible.module_utils.disk_candidate import Candidate, readable_size, shown
from ansible.module_utils.disk_measure import FileSystem, file_systems, narrowed, nearest_existing
from ansible.module_utils.disk_selection import Need, Selection, select
from ansible.module_utils.fallen_services import fallen
from ansible.module_utils.file_consumers import FILE_CONSUMERS, Look

#: The fix goes this many points beyond the target, so that it is still met a minute later.
MARGIN = 1.0
#: The hold must leave this part of its own file system free.
_HOLD_LEAVES = 0.10
#: More deletions than this below one directory are reported as one action with their number.
_SINGLE_ACTIONS = 500


@dataclass(frozen=True)
class Plan:
    """Everything that one look at the host has shown."""

    considered: tuple[FileSystem, ...]
    full: dict[int, FileSystem]
    candidates: tuple[Candidate, ...]
    selection: Selection
    chosen: tuple[Candidate, ...]
    hold: dict[str, Any]
    notes: tuple[str, ...]

    def goals(self, wanted: float) -> list[dict[str, Any]]:
        """Return what the fix works towards, for the manifest: where, and which of the two is short there."""
        return [
            {
                "device": seen.device,
                "point": seen.point,
                "bytes": seen.free_percent < wanted,
                "inodes": seen.free_inodes_percent < wanted,
            }
            for seen in self.full.values()
        ]


def considered(settings: dict[str, Any]) -> list[FileSystem]:
    """Return the file systems that this run is about."""
    return narrowed(file_systems(settings["exclude_mounts"]), settings["mount"])


def make_plan(settings: dict[str, Any], stack: dict[str, Any], unfinished: bool = False) -> Plan:
    """Look at the host and decide what a fix would do."""
    systems = considered(settings)
    full = {seen.device: seen for seen in systems if seen.is_full(settings["target_free"])}
    look = Look(parameters=settings, full=full)
    candidates = _candidates(look)
    selection = select(candidates, [need_of(seen, settings) for seen in full.values()])
    hold = choose_hold(settings, full, selection.chosen)
    chosen = [_with_hold(one, hold, settings) for one in grouped(selection.chosen, settings["cache_dirs"])]
    starts = _starts(stack, look) if full or unfinished else []
    _say_what_is_left(look, candidates, hold)
    causes = selection.causes + (("fallen_services",) if starts else ())
    return Plan(
        considered=tuple(systems),
        full=full,
        candidates=(*candidates, *starts),
        selection=replace(selection, causes=causes),
        chosen=(*chosen, *starts),
        hold=hold,
        notes=tuple(look.notes),
    )


def _candidates(look: Look) -> list[Candidate]:
    if not look.full:
        return []
    files = [candidate for consumer in FILE_CONSUMERS for candidate in consumer(look)]
    return files + container_candidates(look)


def need_of(seen: FileSystem, settings: dict[str, Any]) -> Need:
    """Return what one full file system lacks: only what is short is worked on."""
    wanted, part = settings["target_free"], settings["material_percent"] / 100
    return Need(
        device=seen.device,
        bytes=seen.missing_bytes(wanted + MARGIN) if seen.free_percent < wanted else 0,
        inodes=seen.missing_inodes(wanted + MARGIN) if seen.free_inodes_percent < wanted else 0,
        material_bytes=int(seen.size * part),
        material_inodes=int(seen.inodes * part),
    )


def choose_hold(settings: dict[str, Any], full: Iterable[int], chosen: Iterable[Candidate]) -> dict[str, Any]:
    """Decide where what is taken away is kept."""
    wanted = settings["hold"]
    size = sum(one.details.get("size", sum(file.size for file in one.files)) for one in chosen if one.undo == "held")
    if wanted == "auto":
        existing = nearest_existing(settings["hold_dir"])
        room = os.statvfs(existing)
        left = (room.f_bavail * room.f_frsize) - size
        if os.stat(existing).st_dev not in full and left >= room.f_blocks * room.f_frsize * _HOLD_LEAVES:
            return {"where": "host", "path": settings["hold_dir"], "bytes": size}
    return {"where": "none", "path": "", "bytes": 0}


def _with_hold(candidate: Candidate, hold: dict[str, Any], settings: dict[str, Any]) -> Candidate:
    """Return the candidate with a true answer to whether it can be undone."""
    if candidate.undo != "held" or hold["where"] == "host":
        return candidate
    if candidate.verb == "truncate":
        return candidate.with_undo("none", f"only its last {readable_size(settings['log_tail'])} are kept")
    return candidate.with_undo("none", "nowhere to hold it")


def grouped(chosen: Iterable[Candidate], cache_dirs: list[str]) -> list[Candidate]:
    """Return the actions with thousands of small deletions below one directory made one."""
    groups: dict[tuple[str, str], list[Candidate]] = {}
    for one in chosen:
        single = one.target if one.verb != "delete" else ""
        where = single or _group_of(one, cache_dirs)
        groups.setdefault((one.cause, where), []).append(one)
    found: list[Candidate] = []
    for (_, where), members in groups.items():
        found.extend(members if len(members) <= _SINGLE_ACTIONS else [_together(where, members)])
    return found


def _group_of(candidate: Candidate, cache_dirs: list[str]) -> str:
    inside = (directory for directory in cache_dirs if candidate.target.startswith(directory.rstrip("/") + "/"))
    return next(inside, os.path.dirname(candidate.target))


def _together(where: str, members: list[Candidate]) -> Candidate:
    files = tuple(file for one in members for file in one.files)
    return replace(
        members[0],
        target=where,
        bytes=sum(one.bytes for one in members),
        inodes=sum(one.inodes for one in members),
        files=files,
        note=f"{len(files)} files, the oldest first",
        details={"each": True},
    )


def _starts(stack: dict[str, Any], look: Look) -> list[Candidate]:
    down, trouble = fallen(stack)
    if trouble:
        look.note(trouble)
    return [
        Candidate(
            cause="fallen_services",
            verb="start",
            target=service,
            device=0,
            bytes=0,
            inodes=0,
            undo="not_needed",
            note=state,
            age_key=position,
        )
        for position, (service, state) in enumerate(down.items())
    ]


def _say_what_is_left(look: Look, candidates: list[Candidate], hold: dict[str, Any]) -> None:
    for seen in look.full.values():
        known = {(file.device, file.inode) for one in candidates for file in one.files}
        look.notes.extend(biggest_consumers(seen, known, look.engine_root))
    if candidates and hold["where"] == "none":
        look.note(
            "nothing that is deleted can be put back: there is no other file system with room to hold it "
            f"at {look.parameters['hold_dir']}, or it was not wanted"
        )


def finding(plan: Plan, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the plan in the form in which diagnosis reports."""
    return {
        "applies": bool(plan.full or plan.chosen),
        "summary": _summary(plan, settings),
        "causes": [{"id": cause, "evidence": _evidence(plan, cause)} for cause in plan.selection.causes],
        "actions": [one.action() for one in plan.chosen],
        "measures": [row for seen in plan.considered for row in seen.measures(settings["target_free"])],
        "notes": list(plan.notes),
        "enough": plan.selection.enough,
    }


def _summary(plan: Plan, settings: dict[str, Any]) -> str:
    if not plan.full:
        down = ", ".join(one.target for one in plan.chosen)
        if down:
            return f"there is room, but services did not come back after an earlier run: {down}"
        return f"every file system has at least {settings['target_free']} % free"
    parts = []
    for seen in plan.full.values():
        short = [f"{seen.free_percent:.1f} % of its space"] * (seen.free_percent < settings["target_free"])
        short += [f"{seen.free_inodes_percent:.1f} % of its inodes"] * (
            seen.free_inodes_percent < settings["target_free"]
        )
        parts.append(f"{seen.point} has only {' and '.join(short)} free")
    gain = readable_size(sum(one.bytes for one in plan.chosen))
    outlook = "enough" if plan.selection.enough else "not enough to reach the target"
    return f"{'; '.join(parts)}; {gain} can be freed, which is {outlook}"


def _evidence(plan: Plan, cause: str) -> list[str]:
    members = [one for one in plan.candidates if one.cause == cause]
    if cause == "fallen_services":
        return [f"{shown(one.target)}: {shown(one.note)}" for one in members]
    size, inodes = sum(one.bytes for one in members), sum(one.inodes for one in members)
    whole = sum(seen.size for seen in plan.full.values()) or 1
    lines = [f"{len(members)} found with {readable_size(size)} ({100 * size / whole:.1f} %) and {inodes} inodes"]
    largest = sorted(members, key=lambda one: (-one.bytes, one.target))[:3]
    lines += [f"{shown(one.target)}: {readable_size(one.bytes)}" for one in largest]
    if not any(one.cause == cause for one in plan.chosen):
        lines.append("not needed: the target is reached without it")
    return lines


def diff(chosen: Iterable[Candidate]) -> dict[str, str]:
    """Return the actions as Ansible shows differences: every file that would go, by its name.

    No sizes: an approval is bound to this text, and a log that grows while it waits is still the same log.
    """
    lines = []
    for one in chosen:
        kept = {"held": "held", "none": "cannot be undone", "not_needed": "nothing is lost"}[one.undo]
        lines.append(f"{one.verb} {shown(one.target)} ({kept})")
        if len(one.files) > 1:
            lines += [f"  {shown(file.path)}" for file in one.files]
    return {"before_header": "what is there", "after_header": "after the fix", "before": "\n".join(lines), "after": ""}
