"""The runbook `host-restore`: from a bare host to full service, out of the backups of a source."""

from __future__ import annotations

import os
import secrets
import time
from functools import partial
from typing import Any

from ansible.module_utils import bare_host, file_tree, files_plan, host_description, restore_plan
from ansible.module_utils.application_restore_kinds import Switch
from ansible.module_utils.backup_shelf import Shelf
from ansible.module_utils.database_restore_kinds import PutInPlace
from ansible.module_utils.files_plan import FilesPlan
from ansible.module_utils.host_checks import CURED, NOT_CURED, Check, check, healthy, in_time, stack_checks, worst
from ansible.module_utils.host_description import Description
from ansible.module_utils.host_restore_kinds import (
    COMPARED,
    BringUp,
    InstallPackages,
    LayOutOnAnother,
    RebuildExactly,
    RestoreRedis,
    description_in,
    shelf_of,
)
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import NO_UNDO, Done, Found, Seen, Step, StepError, measure
from ansible.module_utils.moments import stamp
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.restore_plan import Planner

_CAUSE = "host_bare"


class HostRestore:
    """A bare host that is to become what a source was."""

    name = "host_restore"

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self._stack = stack
        self._files = {**settings, "paths": [], "keep": [], "services": []}
        self._database = _database(settings)
        self.kinds: dict[str, Kind] = {
            "install_packages": InstallPackages(),
            "lay_out": LayOutOnAnother(self._files),
            "switch": Switch(self._files, stack),
            "rebuild": RebuildExactly(self._database),
            "put_in_place": PutInPlace(self._database, stack),
            "restore_redis": RestoreRedis(settings, stack),
            "bring_up": BringUp(settings, stack),
        }

    def look(self) -> Found:
        """Plan it; a host that is in service needs nothing, and one that is not bare is refused."""
        if self._stack["layout"] != "systemd":
            raise StepError(
                "only a host whose services are units is restored whole: the images of a project are in no backup; "
                "nothing was done: see `When a human must take over` on the page of this runbook"
            )
        against = bare_host.not_bare(self._stack, self._settings["database_dir"])
        if against and worst(stack_checks(self._stack, 0)) == CURED:
            return Found(f"this host is in service: {'; '.join(against)}")
        if against and not self._settings["anyway"]:
            raise StepError(
                f"this host is not bare: {'; '.join(against)}; nothing was done: use application-restore and "
                "database-restore, or set host_restore_anyway"
            )
        shelf = shelf_of(self._settings)
        plan = files_plan.plan(self._files, "", fresh=True)
        return self._found(shelf, plan, description_in(plan.shelf, plan.snapshot))

    def _found(self, shelf: Shelf, plan: FilesPlan, there: Description) -> Found:
        source, began = self._settings["source"], time.time()
        found = Found(f"this host is bare, and becomes {source}")
        found.causes[_CAUSE] = files_plan.words(plan)
        paths, token = sorted(plan.listings), secrets.token_hex(6)
        here = host_description.packages()
        missing = [one for one in there.chosen if one not in here]
        data = {"planned": began}
        if missing:
            target = f"{len(missing)} packages of {source}"
            found.steps.append(_step("install_packages", target, {**data, "packages": missing}, detail=tuple(missing)))
        files = {**data, "snapshot": plan.snapshot.id, "paths": paths, "token": token}
        found.steps.append(_step("lay_out", f"{', '.join(paths)} from {plan.id}", files))
        found.steps.append(_step("switch", ", ".join(paths), files))
        seconds = plan.seconds
        if self._settings["database_service"]:
            seconds += self._plan_database(found, {**data, "token": token})
        if self._settings["redis_service"]:
            copies = shelf.redis()
            newest = stamp(copies[0].made) if copies else "none"
            found.causes[_CAUSE].append(f"Redis as of {newest}; jobs that were taken since may be done once more")
            found.steps.append(_step("restore_redis", f"Redis of {source}", data))
        found.steps.append(_step("bring_up", f"the units of {source}", {**data, "units": there.units}))
        self._notes(found, plan, there)
        found.measures.append(measure("packages to install", len(missing), "", "", ok=True))
        limit = self._settings["hours"]
        found.measures.append(
            measure("predicted time", round(seconds / 3600, 3), "h", f"< {limit}", ok=seconds < limit * 3600)
        )
        return found

    def _plan_database(self, found: Found, data: dict[str, Any]) -> float:
        plan = Planner(self._database).plan()
        found.causes[_CAUSE] += restore_plan.words(plan)
        wanted = {**data, "backup": plan.copy.manifest.id, "stop": ""}
        source = self._settings["source"]
        found.steps.append(
            _step("rebuild", f"the database of {source} from {plan.copy.manifest.id} to the newest transaction", wanted)
        )
        found.steps.append(_step("put_in_place", str(self._settings["database_dir"]), wanted))
        return plan.seconds

    def _notes(self, found: Found, plan: FilesPlan, there: Description) -> None:
        found.notes.append("afterwards the binary log begins anew: run backup-create at once, for a new full copy")
        if not there.packages:
            found.notes.append(
                "this backup does not say which packages and units the source had: make sure of them by hand"
            )
        here = host_description.packages()
        other = [name for name, version in there.packages.items() if here.get(name, version) != version]
        if other:
            found.notes.append(f"{len(other)} packages have another version here: {', '.join(sorted(other)[:5])}")
        names = {number: name for name, number in there.users.items()}
        owners = {entry.uid for one in plan.listings.values() for entry in one.entries.values()}
        known = host_description.describe().users
        if strange := sorted(names[one] for one in owners if one in names and names[one] not in known):
            found.notes.append(f"{', '.join(strange)} owned files there and has no account here: add it first")

    def check(self, done: Done, *, write: bool) -> Seen:
        """Look whether the host is in full service, with exactly what the backups have."""
        found = Seen()
        verbs = {step.verb for step in done.steps}
        if "bring_up" not in verbs:
            found.checks.append(check("restore", NOT_CURED, "the host was not brought up in this run"))
        found.checks += stack_checks(self._stack, self._settings["health_wait"])
        for url in self._settings["health_urls"]:
            until = time.monotonic() + (self._settings["health_wait"] if write else 0)
            found.checks.append(in_time(partial(healthy, url, url), until))
        if "rebuild" in verbs:
            found.checks.append(self._compared())
        for step in done.steps:
            if step.verb == "switch":
                found.checks.append(self._files_there(step))
            if step.verb == "bring_up":
                found.checks.append(_units_up(step))
        if done.steps and done.at is not None and "bring_up" in verbs:
            hours = (time.time() if write else done.at) - float(done.steps[0].data["planned"])
            limit = self._settings["hours"]
            found.measures.append(
                measure("time to full service", round(hours / 3600, 4), "h", f"< {limit}", ok=hours < limit * 3600)
            )
        return found

    def _compared(self) -> Check:
        try:
            with open(os.path.join(self._settings["stage_dir"], COMPARED), encoding="ascii") as source:
                return check("data", CURED, source.read())
        except FileNotFoundError:
            return check("data", NOT_CURED, "the database was not compared with its manifests")

    def _files_there(self, step: Step) -> Check:
        try:
            plan = files_plan.plan(self._files, str(step.data["snapshot"]), fresh=True)
            numbers = host_description.numbers_here(description_in(plan.shelf, plan.snapshot))
        except (StepError, StackError) as error:
            return check("files", NOT_CURED, str(error))
        lost, count = [], 0
        for path, listing in plan.listings.items():
            wanted = {name: numbers.of(entry) for name, entry in listing.entries.items()}
            wrong = file_tree.compare(wanted, path)
            # Logs are written to, and what was sent is removed, from the first second on.
            lost += [os.path.join(path, name) for name in wrong.damaged if not name.endswith(".log")]
            count += len(wanted) - len(wrong.missing)
        if lost:
            return check("files", NOT_CURED, f"{len(lost)} have not the content of {plan.id}: {lost[0]}")
        return check("files", CURED, f"{count} files and directories of {plan.id} are in place")


def _units_up(step: Step) -> Check:
    here = set(host_description.enabled_units())
    known = host_description.known_units()
    missing = [one for one in step.data["units"] if one not in here and (one in known or "@" in one)]
    if missing:
        return check("units", NOT_CURED, f"{', '.join(missing)} would not start with this host")
    return check("units", CURED, f"{len(step.data['units'])} units start with this host as they did")


def _step(verb: str, target: str, data: dict[str, Any], detail: tuple[str, ...] = ()) -> Step:
    return Step(_CAUSE, verb, target, undo=NO_UNDO, data=data, detail=detail)


def _database(settings: dict[str, Any]) -> dict[str, Any]:
    """Return what the steps of database-restore are told: the newest transaction, and no log of this host's own."""
    return {
        **settings,
        "to": "",
        "backup": "",
        "service": settings["database_service"],
        "workers": [],
        "schema": "",
        "data_dir": settings["database_dir"],
        "log_dir": os.path.join(settings["stage_dir"], "none"),
    }
