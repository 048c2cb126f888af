"""The steps of `backup-create`. A backup only adds: there is nothing to undo, and what was staged goes away again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ansible.module_utils import (
    backup_facts,
    database_content,
    database_copy,
    host_description,
    log_digests,
    newest_copy,
)
from ansible.module_utils.backup_manifest import DATABASE, DUMP, STAGE, STREAM, Manifest, part_of, this_machine
from ansible.module_utils.database_data import need_room, size_of
from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.mariadb_server import MariaDB
from ansible.module_utils.restic_repository import IncompleteError, Repository, RepositoryError
from ansible.module_utils.run_state import make_private

_ASK_SECONDS = 120.0
_IN_CONTAINER = "/tmp/remediate.rdb"  # noqa: S108 - beside Redis, gone after the step
_ROTATION = "tables.last"


class Backup(Kind):
    """A step that puts something into repositories."""

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self._stack = stack
        self._stage = os.path.join(settings["stage_dir"], STAGE)

    def _repositories(self, step: Step) -> list[Repository]:
        return [one for one in backup_facts.repositories_of(self._settings) if one.name in step.data["repositories"]]

    @contextmanager
    def _staged(self, size: int) -> Iterator[str]:
        """Give an empty directory; what a killed attempt has left in it goes first."""
        shutil.rmtree(self._stage, ignore_errors=True)
        make_private(self._stage)
        try:
            need_room(self._stage, size)
            yield self._stage
        finally:
            shutil.rmtree(self._stage, ignore_errors=True)

    def _store(
        self, step: Step, manifest: Manifest, directory: str, paths: list[str], leave_out: Sequence[str] = ()
    ) -> None:
        """Put it into every repository; one that fails does not keep it from the others."""
        written = manifest.write(directory)
        troubles = []
        for repository in self._repositories(step):
            try:
                self._store_in(repository, manifest, [*paths, written], leave_out)
            except RepositoryError as error:
                troubles.append(str(error))
        if troubles:
            raise StepError(f"not every repository has {step.target}: {'; '.join(troubles)}")

    def _store_in(self, repository: Repository, manifest: Manifest, paths: list[str], leave_out: Sequence[str]) -> None:
        stage = self._settings["stage_dir"]
        for last in (False, True):
            try:
                repository.store(paths, manifest.source, [manifest.kind, f"id={manifest.id}"], leave_out)
            except IncompleteError as error:
                backup_facts.forget(stage, repository, error.snapshot)
                # A file that goes away while it is read is not there the next time.
                if last:
                    raise
            else:
                break
        backup_facts.remember(stage, repository)
        if manifest.kind == DATABASE:
            newest_copy.remember(stage, manifest)

    def _manifest(self, step: Step, covered: float, **rest: Any) -> Manifest:
        made = time.time()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(made))
        return Manifest(
            id=f"{stamp}-{step.data['kind']}",
            kind=step.data["kind"],
            source=self._settings["source"],
            machine=this_machine(),
            made=made,
            covered_until=covered,
            **rest,
        )


class MakeRepository(Kind):
    """Makes a repository that this host has never used."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Make it, unless it is there by now."""
        repository = next(one for one in backup_facts.repositories_of(self._settings) if one.name == step.target)
        if backup_facts.look({**self._settings, "repositories": _only(self._settings, step.target)}).held[0].missing:
            repository.make()
        backup_facts.remember(self._settings["stage_dir"], repository)
        return True


def _only(settings: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [one for one in settings["repositories"] if one["name"] == name]


class _OfDatabase(Backup):
    """A step that asks the database server."""

    def _server(self) -> MariaDB:
        return MariaDB(self._stack, self._settings["database_service"])

    def _content(self, server: MariaDB, most: int) -> database_content.Content:
        """Look at the next tables in turn, or at all of them."""
        last = self._last_table()
        wanted = [last] if last and most else []
        content = database_content.look(server.rows, float(self._settings["content_seconds"]), wanted, most)
        if most and content.tables:
            with open(os.path.join(self._settings["stage_dir"], _ROTATION), "w", encoding="utf-8") as target:
                target.write(content.tables[-1].label)
        return content

    def _last_table(self) -> str:
        try:
            with open(os.path.join(self._settings["stage_dir"], _ROTATION), encoding="utf-8") as source:
                return source.read()
        except FileNotFoundError:
            return ""


class CopyDatabase(_OfDatabase):
    """Copies the whole database while it runs."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Copy it, note what is in it, and store both."""
        server = self._server()
        with self._staged(size_of(self._settings["database_dir"])) as directory:
            stream = os.path.join(directory, STREAM)
            covered = time.time()
            position = database_copy.copy(server, stream)
            content = self._content(server, 0)
            manifest = self._manifest(
                step,
                covered,
                server=database_copy.identity(server),
                position=position,
                content=content,
                files=(part_of(stream),),
            )
            self._store(step, manifest, directory, [stream])
        return True


class ShipLogs(_OfDatabase):
    """Closes the binary log that is written to, and stores all closed ones that the server still has."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Note what some tables hold, close the log, and store."""
        server = self._server()
        content = self._content(server, self._settings["tables"])
        covered = time.time()
        database_copy.flush(server)
        paths = [os.path.join(self._settings["database_dir"], name) for name in database_copy.closed_logs(server)]
        with self._staged(0) as directory:
            manifest = self._manifest(
                step,
                covered,
                server=database_copy.identity(server),
                content=content,
                files=log_digests.parts_of(self._settings["stage_dir"], paths),
            )
            self._store(step, manifest, directory, paths)
        return True


class CopyFiles(Backup):
    """Stores files and directories: the application, its settings, certificates; and what host it was on."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Store them; what the inventory names and is not there is an error."""
        paths = self._settings["files"]
        if missing := [path for path in paths if not os.path.exists(path)]:
            raise StepError(f"{', '.join(missing)} is not there; nothing was stored: correct backup_create_files")
        with self._staged(0) as directory:
            described = host_description.describe().write(directory)
            manifest = self._manifest(step, time.time(), files=(part_of(described),))
            self._store(step, manifest, directory, [*paths, described])
        return True


class CopyRedis(Backup):
    """Stores what Redis holds, after its own tool has found it whole."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Have Redis write it, check it, and store it."""
        service = self._settings["redis_service"]
        with self._staged(0) as directory:
            dump = os.path.join(directory, DUMP)
            covered = time.time()
            try:
                self._run(service, ["redis-cli", "--rdb", _IN_CONTAINER])
                self._run(service, ["redis-check-rdb", _IN_CONTAINER])
                with open(dump, "xb") as target:
                    self._run(service, ["cat", _IN_CONTAINER], stdout=target)
            finally:
                self._run(service, ["rm", "-f", _IN_CONTAINER])
            self._store(step, self._manifest(step, covered, files=(part_of(dump),)), directory, [dump])
        return True

    def _run(self, service: str, argv: list[str], **streams: Any) -> None:
        code, output, errors = stack_of(self._stack).exec(service, argv, _ASK_SECONDS, **streams)
        if code != 0:
            said = (errors.strip() or output.strip()).splitlines() or ["it printed nothing"]
            raise StepError(f"{argv[0]} in {service} ended with {code} ({said[-1][:200]}); nothing was stored")
