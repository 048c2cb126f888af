"""The steps of `database-restore`: the database is rebuilt beside the present one, and then put in its place."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from typing import Any

from ansible.module_utils import restore_rates, scratch_place
from ansible.module_utils.database_data import copy_tree, need_room
from ansible.module_utils.database_rebuild import ROOM, rebuild_from
from ansible.module_utils.directory_swap import Swap
from ansible.module_utils.drill_report import Record
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.log_replay import ClientReplay, Replay, ServerCrashError
from ansible.module_utils.mariadb_server import MariaDB
from ansible.module_utils.restore_plan import Plan, Planner
from ansible.module_utils.scratch_server import ScratchServer
from ansible.module_utils.stack_program import run_program

_CHECK_SECONDS = 2 * 3600.0
_READY = "ready"
#: What a replay leaves in the data, and a server that goes into production must not find.
_LEFTOVERS = ("master.info", "relay-log.info", "multi-master.info", "mariadb_backup_info", "backup-my.cnf")


class Rebuild(Kind):
    """Rebuilds the database up to a position, in a directory on the same file system as the present data."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Rebuild it, unless a killed attempt has finished; an unfinished one begins anew."""
        swap = swap_of(self._settings, step)
        if swap.done or os.path.exists(os.path.join(swap.room, _READY)):
            return False
        plan = Planner({**self._settings, "to": step.data["stop"]}).plan()
        _see_approved(plan, step)
        shutil.rmtree(swap.room, ignore_errors=True)
        swap.prepare()
        need_room(swap.room, int(ROOM * plan.bytes))
        try:
            self._rebuild(plan, swap, Replay)
        except ServerCrashError:
            shutil.rmtree(swap.room, ignore_errors=True)
            swap.prepare()
            self._rebuild(plan, swap, ClientReplay)
        return True

    def _rebuild(self, plan: Plan, swap: Swap, way: type[Replay | ClientReplay]) -> None:
        work, record = self._work(swap), Record(plan.shelf.source, 0.0, 0.0)
        shutil.rmtree(work, ignore_errors=True)
        scratch_place.make(work)
        server = rebuild_from(plan.shelf, plan.copy, work, record)
        with record.phase("replay") as replayed:
            replay = way(server, plan.chain.logs)
            with server.running():
                replayed["bytes"] += self._replay(plan, server, replay)
                _check_tables(server)
                server.rows("RESET SLAVE ALL;\n")
        _remember(self._settings["stage_dir"], record)
        _make_fit(server.data, self._settings["data_dir"])
        _lay_down(server.data, swap.staged)
        shutil.rmtree(work, ignore_errors=True)
        with open(os.path.join(swap.room, _READY), "w", encoding="ascii"):
            pass

    def _replay(self, plan: Plan, server: ScratchServer, replay: Replay | ClientReplay) -> int:
        """Replay up to where the plan stops; return how many bytes of logs it was."""
        del server
        if plan.chain.logs:
            replay.begin(plan.chain.base.offset)
            replay.until(plan.stop.file, plan.stop.offset)
        return plan.chain.bytes if plan.chain.logs else 0

    def _work(self, swap: Swap) -> str:
        """Return where to rebuild: beside the data, unless the server's user cannot get there from this host."""
        if _is_reachable(swap.room):
            return os.path.join(swap.room, "work")
        stage = self._settings["stage_dir"]
        os.makedirs(stage, exist_ok=True)
        os.chmod(stage, 0o711)  # noqa: S103 - the server's user comes through to what is its
        return os.path.join(stage, "work")


class PutInPlace(Kind):
    """Stops the server, puts the rebuilt data in the place of the present ones, and starts it; those are kept."""

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self._stack = stack

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Nothing is copied: the present data are kept as they are, beside."""
        return {"before": swap_of(self._settings, step).before}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Switch; a kill in the middle is gone on from."""
        swap = swap_of(self._settings, step)
        if not swap.done and not os.path.exists(os.path.join(swap.room, _READY)):
            raise StepError("the database was not rebuilt whole, so nothing was switched: start a new run")
        return self._switched(swap.forth)

    def obstacle(self, step: Step, saved: dict[str, Any]) -> str:
        """Return whether the old data are gone."""
        swap = swap_of(self._settings, step)
        return "" if not swap.done or os.path.isdir(swap.before) else "the data from before are not there any more"

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Put the data from before back."""
        self._switched(swap_of(self._settings, step).back)
        return str(self._settings["data_dir"])

    def _switched(self, move: Callable[[], bool]) -> bool:
        server = MariaDB(self._stack, self._settings["service"])
        around = [one for one in self._settings["workers"] if one in server.stack.services]
        server.stack.stop([*around, server.service])
        changed = move()
        server.stack.start([server.service])
        server.wait(self._settings["answer_wait"])
        server.stack.start(around)
        return changed


def swap_of(settings: dict[str, Any], step: Step) -> Swap:
    """Return the swap that a step is part of."""
    return Swap(settings["data_dir"].rstrip("/"), str(step.data["token"]))


def _see_approved(plan: Plan, step: Step) -> None:
    """Raise StepError when the copy of the plan is not the approved one."""
    if plan.copy.manifest.id != step.data["backup"]:
        raise StepError(
            f"the copy that was approved, {step.data['backup']}, is not the one to restore from any more "
            f"({plan.copy.manifest.id}); nothing was done: start a new run"
        )


def _is_reachable(path: str) -> bool:
    """Return whether every user comes through to a path: not so below the directory of a container engine."""
    while path != "/":
        if not os.stat(path).st_mode & stat.S_IXOTH:
            return False
        path = os.path.dirname(path)
    return True


def _lay_down(data: str, staged: str) -> None:
    """Put the rebuilt data on the file system of the present ones; a copy that was not finished begins anew."""
    shutil.rmtree(staged, ignore_errors=True)
    try:
        os.rename(data, staged)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy_tree(data, staged)


def _check_tables(server: ScratchServer) -> None:
    _, bad = server.check_tables(_CHECK_SECONDS)
    if bad:
        raise StepError(f"the rebuilt database has damaged tables and was not put in place: {'; '.join(bad[:3])}")


def _make_fit(data: str, present: str) -> None:
    """Remove what the replay has left, and give the data to the owner of the present ones."""
    for name in _LEFTOVERS:
        path = os.path.join(data, name)
        if os.path.exists(path):
            os.unlink(path)
    owner = os.stat(present)
    done = run_program(["chown", "--recursive", f"{owner.st_uid}:{owner.st_gid}", "--", data], 3600.0)
    if done.code != 0:
        raise StepError(f"the rebuilt data cannot be given to the server's user: {done.last_line}")
    os.chmod(data, owner.st_mode & 0o7777)


def _remember(stage: str, record: Record) -> None:
    phases = record.measured()
    restore_rates.remember(stage, record.seconds, phases.get("fetch", (0, 0.0)), phases.get("replay", (0, 0.0)))
