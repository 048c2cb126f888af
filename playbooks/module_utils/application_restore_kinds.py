"""The steps of `application-restore`: files are laid out beside what is there and proven, and then put in its place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

from ansible.module_utils import file_tree, files_plan
from ansible.module_utils.database_data import need_room
from ansible.module_utils.fallen_services import has_stack, stack_of
from ansible.module_utils.files_plan import FilesPlan, kept_below
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.stack_program import run_program
from ansible.module_utils.tree_swap import TreeSwap

_SECONDS = 60.0
_UNITS = ("/etc/systemd/", "/usr/lib/systemd/", "/lib/systemd/")


class LayOut(Kind):
    """Restores every path into a room beside it, and compares all of it with the snapshot."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Lay out what is not laid out yet; what a killed attempt has left begins anew."""
        left = [one for one in swaps_of(step, self._settings["keep"]) if not one.ready]
        if not left:
            return False
        wanted = {**self._settings, "paths": [one.place for one in left]}
        found = files_plan.plan(wanted, step.data["snapshot"], fresh=True)
        for swap in left:
            self._lay_out(found, swap)
        return True

    def _lay_out(self, found: FilesPlan, swap: TreeSwap) -> None:
        swap.prepare()
        listing = found.listings[swap.place]
        need_room(swap.room, listing.bytes)
        work = os.path.join(swap.room, "restic")
        shutil.rmtree(work, ignore_errors=True)
        found.shelf.repository.restore(found.snapshot.id, work, [_literal(swap.place)])
        os.rename(work + swap.place, swap.staged)
        shutil.rmtree(work)
        if wrong := file_tree.compare(listing.entries, swap.staged):
            first = [*wrong.missing, *wrong.damaged, *wrong.changed, *wrong.added][0]
            raise StepError(f"what came back of {swap.place} is not what was stored ({first}); nothing was switched")
        self._fit(swap)
        swap.seal()

    def _fit(self, swap: TreeSwap) -> None:
        """Make what was laid out and proven fit for this host: it is the host that it is of."""


class Switch(Kind):
    """Stops services, exchanges the paths, and starts them; what was there is kept beside, whole."""

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self._stack = stack

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Nothing is copied: what is there is kept as it is, beside."""
        return {"before": [one.staged for one in swaps_of(step, self._settings["keep"])]}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Switch; a kill in the middle is gone on from."""
        swaps = swaps_of(step, self._settings["keep"])
        if unready := [one.place for one in swaps if not one.ready]:
            raise StepError(f"{', '.join(unready)} was not laid out whole, so nothing was switched: start a new run")
        return self._around(lambda: [one.forth() for one in swaps], swaps)

    def obstacle(self, step: Step, saved: dict[str, Any]) -> str:
        """Return whether somebody has replaced what was put in place."""
        return "; ".join(filter(None, (one.obstacle() for one in swaps_of(step, self._settings["keep"]))))

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Put back what was there before; what did not run with it then need not run with it now."""
        swaps = [one for one in swaps_of(step, self._settings["keep"]) if one.ready]
        try:
            self._around(lambda: [one.back() for one in reversed(swaps)], swaps)
        except StackError as error:
            return f"{step.target}, but {error}"
        return step.target

    def _around(self, exchange: Callable[[], list[bool]], swaps: list[TreeSwap]) -> bool:
        names = [one for one in self._settings["services"] if one in self._stack["services"]]
        if not has_stack(self._stack) or not names:
            return any(exchange())
        stopped = True
        try:
            stack_of(self._stack).stop(names)
        except StackError:
            # What says how to stop them may be among the files that are gone.
            stopped = False
        changed = any(exchange())
        if any(one.place.startswith(_UNITS) for one in swaps):
            run_program(["systemctl", "daemon-reload"], _SECONDS)
        stack = stack_of(self._stack)
        if stopped:
            stack.start(names)
        else:
            stack.restart(names)
        return changed


def swaps_of(step: Step, keep: list[str]) -> list[TreeSwap]:
    """Return the swaps that a step is part of."""
    return [TreeSwap(path, str(step.data["token"]), kept_below(path, keep)) for path in step.data["paths"]]


def _literal(path: str) -> str:
    """Return a path as a pattern of restic that means nothing but it."""
    return "".join(f"\\{one}" if one in "*?[]\\" else one for one in path)
