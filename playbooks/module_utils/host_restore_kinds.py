"""The steps of `host-restore`: packages, files, the database, Redis and units, until a bare host is in service."""

from __future__ import annotations

import os
import shutil
from typing import Any

from ansible.module_utils import database_content, file_tree, host_description
from ansible.module_utils.application_restore_kinds import LayOut
from ansible.module_utils.backup_shelf import Shelf, first_readable
from ansible.module_utils.content_difference import differences
from ansible.module_utils.database_content import Content
from ansible.module_utils.database_restore_kinds import Rebuild
from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.host_description import HOST, Description
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.log_replay import ClientReplay, Replay
from ansible.module_utils.redis_restore import RedisRestore
from ansible.module_utils.restic_repository import Snapshot
from ansible.module_utils.restore_plan import Plan
from ansible.module_utils.run_state import make_private, write_whole
from ansible.module_utils.scratch_server import ScratchServer
from ansible.module_utils.stack_program import run_program
from ansible.module_utils.tree_swap import TreeSwap

_APT_SECONDS = 3600.0
_SECONDS = 120.0
COMPARED = "compared"


def shelf_of(settings: dict[str, Any]) -> Shelf:
    """Return the first repository that can be read, with the backups of the source."""
    return first_readable(settings["repositories"], settings["source"])


def description_in(shelf: Shelf, snapshot: Snapshot) -> Description:
    """Return what host a backup of files is of; an empty one where it does not say."""
    path = next((one for one in snapshot.paths if os.path.basename(one) == HOST), "")
    return host_description.read(shelf.repository.read(snapshot.id, path)) if path else Description()


class InstallPackages(Kind):
    """Installs the packages that the source had and this host has not, with what they need."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Install them; those that are there by now are left alone."""
        here = host_description.packages()
        missing = [name for name in step.data["packages"] if name not in here]
        if not missing:
            return False
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for argv in (
            ["apt-get", "update", "--quiet"],
            ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "--", *missing],
        ):
            done = run_program(argv, _APT_SECONDS, env=environment)
            if done.code != 0:
                raise StepError(f"{' '.join(argv[:2])} ended with {done.code}: {done.last_line}")
        return True


class LayOutOnAnother(LayOut):
    """Lays files out for their owners by name: the same account can have another number on another host."""

    def _fit(self, swap: TreeSwap) -> None:
        shelf = shelf_of(self._settings)
        numbers = host_description.numbers_here(description_in(shelf, shelf.files()[0]))
        for path, entry in list(file_tree.walk(swap.staged)):
            here = numbers.of(entry)
            if here != entry:
                os.chown(os.path.join(swap.staged, path), here.uid, here.gid, follow_symlinks=False)
                if entry.kind == file_tree.FILE:
                    # A change of owner takes such bits away.
                    os.chmod(os.path.join(swap.staged, path), entry.mode)


class RebuildExactly(Rebuild):
    """Rebuilds the database, and compares it with the manifests of its backups at exactly their positions."""

    def _replay(self, plan: Plan, server: ScratchServer, replay: Replay | ClientReplay) -> int:
        if plan.chain.logs:
            replay.begin(plan.chain.base.offset)
        compared: set[str] = set()
        for content in _contents(plan):
            if plan.chain.logs:
                replay.until(content.file, content.offset)
            labels = [one.label for one in content.tables]
            found = database_content.look(server.rows, float(self._settings["content_seconds"]), labels)
            if said := differences(content, found):
                raise StepError(f"the database is not what it was at {content.file}:{content.offset}: {said[0]}")
            compared.update(labels)
        if plan.chain.logs:
            replay.until(plan.stop.file, plan.stop.offset)
        make_private(self._settings["stage_dir"])
        text = f"{len(compared)} tables have the rows and checksums of their backups; up to {plan.stop}"
        write_whole(os.path.join(self._settings["stage_dir"], COMPARED), text.encode("ascii", "replace"))
        return plan.chain.bytes if plan.chain.logs else 0


def _contents(plan: Plan) -> list[Content]:
    """Return what manifests say of tables, where the logs lead to that position, in the order of positions."""
    both = [plan.copy.manifest.content]
    if shipped := plan.shelf.logs():
        both.append(plan.shelf.read(shipped[0]).manifest.content)
    there = [one for one in both if one and one.tables and _reaches(plan, one)]
    return sorted(there, key=lambda one: (one.file, one.offset))


def _reaches(plan: Plan, content: Content) -> bool:
    if plan.chain.logs:
        return plan.chain.reaches(content.file, content.offset)
    place = plan.copy.manifest.position
    return place is not None and (place.file, place.offset) == (content.file, content.offset)


class RestoreRedis(Kind):
    """Puts the newest copy of Redis in place, and starts Redis with it."""

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self._stack = stack

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Put it in place."""
        work = os.path.join(self._settings["stage_dir"], "redis")
        try:
            redis = RedisRestore(self._stack, self._settings["redis_service"], self._settings["redis_dir"])
            redis.put(shelf_of(self._settings), work)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return True


class BringUp(Kind):
    """Enables the units that started with the source, and starts every service of the stack."""

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self._stack = stack

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Enable and start."""
        known, here = host_description.known_units(), set(host_description.enabled_units())
        # An instance of a template has no file of its own.
        new = [one for one in step.data["units"] if one not in here and (one in known or "@" in one)]
        self._systemctl("daemon-reload")
        if new:
            self._systemctl("enable", "--", *new)
            self._systemctl("start", "--", *[one for one in new if "@." not in one])
        stack = stack_of(self._stack)
        first = [self._settings["database_service"], self._settings["redis_service"]]
        stack.start([one for one in stack.services if one in first])
        # They may have been started before their files came.
        stack.restart([one for one in stack.services if one not in first])
        return True

    def _systemctl(self, *words: str) -> None:
        done = run_program(["systemctl", "--no-ask-password", *words], _SECONDS)
        if done.code != 0:
            raise StepError(f"systemctl {words[0]} ended with {done.code}: {done.last_line}")
