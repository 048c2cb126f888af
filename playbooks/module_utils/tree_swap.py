"""A tree, or one file, in the place of another in one step, with parts that stay; it can be taken back, byte for byte.

Both are exchanged by one rename, so that at every moment the old or the new one is there. What cannot be renamed itself
(a mount point; a directory of an overlay) is gone into, and its entries are exchanged one after the other. What is done
already is told by what is where, not by a note: killed at any moment, the next call goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Iterable
from typing import Any

from ansible.module_utils.file_tree import DIRECTORY, entry_of, is_within
from ansible.module_utils.host_step import StepError
from ansible.module_utils.rename import exchange, move
from ansible.module_utils.run_state import make_private, sync_directory, write_whole

_PLAN = "swap.json"


class TreeSwap:
    """The swap of one run at one path: what is new is laid out in `staged`, where the old content is afterwards."""

    def __init__(self, place: str, run: str, keep: Iterable[str] = ()) -> None:
        self.place = place
        self._keep = tuple(keep)
        parent = place if os.path.ismount(place) else os.path.dirname(place)
        self.room = os.path.join(parent, f".remediate-{run}", os.path.basename(place))
        self.staged = os.path.join(self.room, "tree")
        self._plan = os.path.join(self.room, _PLAN)

    @property
    def ready(self) -> bool:
        """Whether the new content was laid out to its end."""
        return os.path.exists(self._plan)

    def prepare(self) -> None:
        """Make an empty room on the file system of the place; a half-finished content goes."""
        if not self.ready:
            shutil.rmtree(self.room, ignore_errors=True)
        os.makedirs(os.path.dirname(os.path.dirname(self.room)), 0o755, exist_ok=True)
        make_private(self.room)

    def seal(self) -> None:
        """Write down what changes places; what was laid out is on the disk then."""
        os.sync()
        units = list(self._units(""))
        keep = [{"path": path, "new": _number(self._in(self.staged, path))} for path in self._keep]
        record = {"units": units, "keep": keep, "looks": list(self._looks(units))}
        write_whole(self._plan, json.dumps(record).encode("ascii"))

    def forth(self) -> bool:
        """Put the new content in place; what stays is moved into it. Return whether anything changed."""
        plan, before = self._read(), self._numbers()
        for unit in plan["units"]:
            self._turn(unit, "new", "old")
        for part in plan["keep"]:
            self._keep_in(part)
        self._look_like(plan, "new")
        return self._numbers() != before

    def back(self) -> bool:
        """Put the old content back, with what stayed as it is by now. Return whether anything changed."""
        plan, before = self._read(), self._numbers()
        for part in plan["keep"]:
            self._keep_back(part)
        for unit in plan["units"]:
            self._turn(unit, "old", "new")
        self._look_like(plan, "old")
        return self._numbers() != before

    def obstacle(self) -> str:
        """Return why the old content cannot be put back, or nothing."""
        if not self.ready:
            return ""
        for unit in self._read()["units"]:
            if _number(self._in(self.place, unit["path"])) not in (unit["new"], unit["old"], None):
                return f"{self._in(self.place, unit['path'])} was replaced since, and that would be lost"
        return ""

    def _units(self, below: str) -> Iterable[dict[str, Any]]:
        """Yield what changes places: as little as possible, and each in one step."""
        old, new = self._in(self.place, below), self._in(self.staged, below)
        if below and is_within(below, self._keep):
            return
        if _can_move(old) or not (_is_directory(old) and (_is_directory(new) or not os.path.lexists(new))):
            yield {"path": below, "new": _number(new), "old": _number(old)}
            return
        names = {*os.listdir(old), *(os.listdir(new) if _is_directory(new) else ())}
        for name in sorted(names - {os.path.basename(os.path.dirname(self.room))}):
            yield from self._units(f"{below}/{name}" if below else name)

    def _looks(self, units: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
        """Yield the directories whose look changes with what is put into them, or that are gone into."""
        paths = {os.path.dirname(path) for path in self._keep}
        for unit in units:
            parent = unit["path"]
            while parent:
                parent = os.path.dirname(parent)
                paths.add(parent)
        for path in sorted(paths, reverse=True):
            old, new = (_look(self._in(root, path)) for root in (self.place, self.staged))
            if old or new:
                yield {"path": path, "old": old, "new": new}

    def _turn(self, unit: dict[str, Any], wanted: str, other: str) -> None:
        """See that what is wanted of a unit is in place."""
        place, staged = self._in(self.place, unit["path"]), self._in(self.staged, unit["path"])
        now = _number(place)
        if now == unit[wanted]:
            return
        if now not in (unit[other], None):
            raise StepError(f"{place} was replaced by somebody else meanwhile and is left as it is")
        if now is None:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            move(staged, place)
        elif unit[wanted] is None:
            os.makedirs(os.path.dirname(staged), exist_ok=True)
            move(place, staged)
        else:
            exchange(place, staged)
        sync_directory(os.path.dirname(place))
        sync_directory(os.path.dirname(staged))

    def _keep_in(self, part: dict[str, Any]) -> None:
        """Move what stays from the old content into the new one, unless it is there."""
        kept, place = self._in(self.staged, part["path"]), self._in(self.place, part["path"])
        if self._moved_with(part) is not None and _number(kept) not in (None, part["new"]):
            os.makedirs(os.path.dirname(place), exist_ok=True)
            _put(kept, place)

    def _keep_back(self, part: dict[str, Any]) -> None:
        """Move what stays from the new content back into the old one, unless it is there."""
        kept, place = self._in(self.staged, part["path"]), self._in(self.place, part["path"])
        unit = self._moved_with(part)
        if unit is None or _number(self._in(self.place, unit["path"])) != unit["new"]:
            return
        if _number(kept) in (None, part["new"]) and _number(place) not in (None, part["new"]):
            os.makedirs(os.path.dirname(kept), exist_ok=True)
            _put(place, kept)

    def _moved_with(self, part: dict[str, Any]) -> dict[str, Any] | None:
        """Return the unit that a part lies in; none where its directory is gone into, and the part was never moved."""
        units = self._read()["units"]
        return next((one for one in units if not one["path"] or is_within(part["path"], [one["path"]])), None)

    def _look_like(self, plan: dict[str, Any], which: str) -> None:
        """Give directories the mode, owner and times that they had: what was moved in or out has changed the times."""
        for root, look in ((self.place, which), (self.staged, "old" if which == "new" else "new")):
            for one in plan["looks"]:
                path = self._in(root, one["path"])
                if one[look] and os.path.isdir(path) and not os.path.islink(path):
                    mode, uid, gid, accessed, changed = one[look]
                    os.chown(path, uid, gid)
                    os.chmod(path, mode)
                    os.utime(path, ns=(accessed, changed))

    def _numbers(self) -> list[int | None]:
        return [_number(self._in(self.place, one["path"])) for one in (*self._read()["units"], *self._read()["keep"])]

    def _read(self) -> dict[str, Any]:
        try:
            with open(self._plan, encoding="ascii") as source:
                plan: dict[str, Any] = json.load(source)
        except FileNotFoundError:
            raise StepError(f"nothing was laid out for {self.place}, which is left as it is: start a new run") from None
        return plan

    @staticmethod
    def _in(root: str, below: str) -> str:
        return os.path.join(root, below) if below else root


def _number(path: str) -> int | None:
    """Return what tells the thing at a path from every other one on its file system; it keeps it when it is renamed."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return os.lstat(path).st_ino
    return None


def _put(path: str, target: str) -> None:
    """Move a path to another name; what is there comes to its old one."""
    if os.path.lexists(target):
        exchange(path, target)
    else:
        move(path, target)
    sync_directory(os.path.dirname(target))
    sync_directory(os.path.dirname(path))


def _look(path: str) -> list[int]:
    """Return mode, owner and times of a directory; nothing for what is none."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        found = os.lstat(path)
        if stat.S_ISDIR(found.st_mode):
            return [stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_atime_ns, found.st_mtime_ns]
    return []


def _is_directory(path: str) -> bool:
    found = entry_of(path)
    return found is not None and found.kind == DIRECTORY


def _can_move(path: str) -> bool:
    """Return whether a directory can be renamed: neither a mount point nor one of an overlay can."""
    if not _is_directory(path):
        return True
    return not os.path.ismount(path) and file_system_of(path) != "overlay"


def file_system_of(path: str) -> str:
    """Return the kind of file system that a path is on."""
    best, kind = "", ""
    real = os.path.realpath(path)
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:
            _, target, found, *_ = line.split()
            target = target.replace("\\040", " ")
            if (real == target or real.startswith(target.rstrip("/") + "/")) and len(target) >= len(best):
                best, kind = target, found
    return kind
