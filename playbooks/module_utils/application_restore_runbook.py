"""The runbook `application-restore` on a source: what differs from a snapshot, what is laid out beside, the switch."""

from __future__ import annotations

import os
import secrets
from typing import Any

from ansible.module_utils import file_tree, files_plan
from ansible.module_utils.application_restore_kinds import LayOut, Switch, swaps_of
from ansible.module_utils.database_data import has_room
from ansible.module_utils.files_plan import FilesPlan, kept_below
from ansible.module_utils.host_checks import CURED, NOT_CURED, Check, check, stack_checks
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import HELD, Done, Found, Seen, Step, StepError, measure
from ansible.module_utils.moments import stamp

WANTED, MISSING, DAMAGED = "wanted", "files_missing", "files_damaged"


class ApplicationRestore:
    """Files of the application that are to become what they were."""

    name = "application_restore"

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings = {**settings, "paths": [path.rstrip("/") for path in settings["paths"]]}
        self._stack = stack
        self.kinds: dict[str, Kind] = {"lay_out": LayOut(self._settings), "switch": Switch(self._settings, stack)}

    def look(self) -> Found:
        """Compare the disk with the snapshot, content by content."""
        return decide(files_plan.plan(self._settings, self._settings["to"]), self._settings)

    def check(self, done: Done, *, write: bool) -> Seen:
        """Look whether what was put in place is what the snapshot has, and whether the application works with it."""
        found = Seen()
        switched = [step for step in done.steps if step.verb == "switch"]
        if not switched:
            found.checks.append(check("restore", NOT_CURED, "nothing was put in place in this run"))
        for step in switched:
            found.checks += self._compare(step)
        found.checks += stack_checks(self._stack, self._settings["health_wait"])
        return found

    def _compare(self, step: Step) -> list[Check]:
        keep = self._settings["keep"]
        wanted = {**self._settings, "paths": list(step.data["paths"])}
        try:
            plan = files_plan.plan(wanted, str(step.data["snapshot"]), fresh=True)
        except StepError as error:
            return [check("files", NOT_CURED, str(error))]
        checks = []
        for swap in swaps_of(step, keep):
            listing = plan.listings[swap.place]
            wrong = file_tree.compare(listing.entries, swap.place, kept_below(swap.place, keep))
            lost = [*wrong.missing, *wrong.damaged]
            since = len(wrong.changed) + len(wrong.added)
            said = f"{len(listing.entries)} files and directories as in {plan.id}" + (
                f", {since} of them or beside them written since" if since else ""
            )
            checks.append(
                check(swap.place, NOT_CURED, f"{len(lost)} are not as in {plan.id}: {lost[0]}")
                if lost
                else check(swap.place, CURED, said)
            )
        return checks


def decide(plan: FilesPlan, settings: dict[str, Any]) -> Found:
    """Say what would be put back. Pure: what was compared goes in."""
    differing = {path: one for path, one in plan.differences.items() if one}
    wanted = bool(settings["to"].strip())
    cause = _cause(plan, wanted=wanted)
    found = Found(f"the files of {settings['source']} as in {plan.id} of {stamp(plan.snapshot.made)}")
    if not cause:
        changed = sum(len(one.changed) + len(one.added) for one in differing.values())
        found.summary = f"nothing of {plan.id} is missing or damaged; {changed} files were changed or added since"
        return found
    found.causes[cause] = files_plan.words(plan)
    paths = sorted(differing)
    data = {"snapshot": plan.snapshot.id, "paths": paths, "token": secrets.token_hex(6)}
    names = ", ".join(paths)
    found.steps = [
        Step(cause, "lay_out", f"{names} from {plan.id}", note=f"about {plan.seconds:.0f} s", data=data),
        Step(cause, "switch", names, undo=HELD, data=data),
    ]
    room = all(has_room(os.path.dirname(path), plan.listings[path].bytes) for path in paths)
    found.measures += [
        measure("to lay out", round(plan.bytes / (1 << 20), 1), "MiB", "fits beside", ok=room),
        measure("predicted time", round(plan.seconds, 1), "s", "", ok=True),
    ]
    found.enough = room
    if kept := [one for path in paths for one in settings["keep"] if one.startswith(f"{path}/")]:
        found.notes.append(f"{', '.join(kept)} stays as it is")
    found.notes.append("what is there now stays beside, whole, in .remediate-* until it is removed by hand")
    return found


def _cause(plan: FilesPlan, *, wanted: bool) -> str:
    found = plan.differences.values()
    if wanted:
        return WANTED if any(found) else ""
    if any(one.missing for one in found):
        return MISSING
    return DAMAGED if any(one.damaged for one in found) else ""
