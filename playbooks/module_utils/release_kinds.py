"""The steps of a rollback: stop, copy the database, take migrations back, give settings back, switch."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.host_kinds import Rewrite
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.release_database import room_for
from ansible.module_utils.release_layout import Releases, database_of, releases_of
from ansible.module_utils.release_migrations import applied
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.run_state import make_private

#: `migrate` and what belongs to it asks nobody.
_QUIETLY = ("--force", "--no-interaction")
_TRIES = 5
_PAUSE = 2.0


class _ReleaseKind(Kind):
    def __init__(self, settings: Mapping[str, Any], stack: dict[str, Any]) -> None:
        self._settings, self._stack = settings, stack

    def _releases(self) -> Releases:
        return releases_of(self._settings, self._stack)


class Switch(_ReleaseKind):
    """Makes the older release the current one and brings every process onto it."""

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """See that the code of the older release starts, before anything at all is done."""
        self._releases().prove(step.data["to"])
        return {}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Switch, unless somebody has deployed meanwhile."""
        releases = self._releases()
        older, newer = step.data["to"], step.data["from"]
        now = releases.current()
        if now not in {older, newer}:
            raise StepError(f"the release {now} was deployed meanwhile; nothing was switched: start a new run")
        changed = releases.switch(older)
        return releases.settle(older, patient=True) or changed

    def obstacle(self, step: Step, saved: dict[str, Any]) -> str:
        """Return whether somebody has deployed since, or has removed what would be switched to."""
        releases = self._releases()
        now, newer = releases.current(), step.data["from"]
        if now not in {step.data["to"], newer}:
            return f"release {now} was deployed since, and switching forward would take it away"
        if newer not in {one.name for one in releases.known()}:
            return f"release {newer} is no longer on this host"
        return ""

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Switch forward again; whether the newer release runs is not waited for: it was left for its faults."""
        releases, newer = self._releases(), step.data["from"]
        releases.switch(newer)
        releases.settle(newer, patient=False)
        return newer


class TakeBack(_ReleaseKind):
    """Takes one migration back, with the code of the older release: the newer one may not even start."""

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Keep the migrations of the newer release where they can be run from."""
        return {"migrations": self._releases().keep_migrations(step.data["from"], keep)}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Take the migration back if it is the last that was applied; see that it is gone."""
        seen = self._applied()
        if step.target not in seen:
            return False
        if seen[0] != step.target:
            raise StepError(f"{seen[0]} was applied after {step.target}; nothing was taken back: start a new run")
        self._run(step, saved, ["migrate:rollback", "--step=1"])
        if step.target in self._applied():
            raise StepError(f"{step.target} is still applied although it was taken back: look at its down() by hand")
        return True

    def obstacle(self, step: Step, saved: dict[str, Any]) -> str:
        """Return whether the migrations are still there to be run again."""
        there = os.path.isfile(os.path.join(saved["migrations"], f"{step.target}.php"))
        return "" if there else f"its file is no longer in {saved['migrations']}"

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Apply the migration again, and those that were taken back with it."""
        trouble = ""
        for _ in range(_TRIES):
            if step.target in self._applied():
                return step.target
            try:
                self._run(step, saved, ["migrate"])
            except StepError as error:
                # Containers of the release migrate by themselves when they start: both at once, one of them fails.
                trouble = str(error)
                time.sleep(_PAUSE)
        raise StepError(f"{step.target} was not applied again ({trouble}): run artisan migrate by hand")

    def _applied(self) -> list[str]:
        return applied(database_of(self._settings, self._stack).ask)

    def _run(self, step: Step, saved: dict[str, Any], argv: list[str]) -> None:
        code, said = self._releases().artisan(step.data["to"], [*argv, *_QUIETLY], saved["migrations"])
        if code != 0:
            last = (said.strip().splitlines() or ["it said nothing"])[-1][:300]
            raise StepError(f"artisan {argv[0]} ended with {code} ({last}); {step.target} is as it was")


class Dump(_ReleaseKind):
    """Copies the whole database into the run's own directory: a person can restore from it, no run ever does."""

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """See that the copy fits."""
        wanted = database_of(self._settings, self._stack).bytes()
        if wanted > self._settings["dump_mebibytes"] << 20:
            raise StepError(
                f"the database holds {wanted >> 20} MiB, more than is copied by itself; nothing was done: copy it by "
                "hand, then raise deployment_rollback_dump_mebibytes or take the migrations back by hand"
            )
        make_private(keep)
        if trouble := room_for(keep, wanted):
            raise StepError(f"{trouble}; nothing was done")
        return {"path": os.path.join(keep, "database.sql.gz")}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Copy it."""
        database_of(self._settings, self._stack).dump(saved["path"])
        return True


class Stop(_ReleaseKind):
    """Stops a service so that it writes nothing while the database changes; undone, it runs again."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Stop it."""
        stack_of(self._stack).stop([step.target])
        return True

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Start it, if the release that it belongs to can run at all."""
        with contextlib.suppress(StackError):  # what is put back may be the release that does not run
            stack_of(self._stack).start([step.target])
        return step.target


class GiveBack(Rewrite):
    """Gives a settings file back as it was with the older release; the services that read it start anew."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self._stack = stack

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Write the file, then restart."""
        changed = super().do(step, saved)
        stack_of(self._stack).restart(step.data["services"])
        return bool(changed)

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Write the file as it was, then restart what can run."""
        where = str(super().undo(step, saved))
        with contextlib.suppress(StackError):  # what is put back may be the release that does not run
            stack_of(self._stack).restart(step.data["services"])
        return where


def kinds(settings: Mapping[str, Any], stack: dict[str, Any]) -> dict[str, Kind]:
    """Return how each verb of this runbook is done."""
    return {
        "stop": Stop(settings, stack),
        "copy": Dump(settings, stack),
        "migrate back": TakeBack(settings, stack),
        "rewrite": GiveBack(stack),
        "switch": Switch(settings, stack),
    }
