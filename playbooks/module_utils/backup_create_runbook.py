"""The runbook `backup-create` on a host: what is looked at, decided, done and proven."""

from __future__ import annotations

from typing import Any

from ansible.module_utils import backup_checks, backup_decision, backup_facts, postgresql_source
from ansible.module_utils.backup_kinds import CopyDatabase, CopyFiles, CopyRedis, MakeRepository, ShipLogs
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Done, Found, Seen
from ansible.module_utils.postgresql_kinds import CopyPostgreSQL, ShipWal


class BackupCreate:
    """Backups that are due."""

    name = "backup_create"

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self.kinds: dict[str, Kind] = {
            "make_repository": MakeRepository(settings),
            "copy_files": CopyFiles(settings, stack),
            "copy_redis": CopyRedis(settings, stack),
            "copy_database": CopyDatabase(settings, stack),
            "ship_logs": ShipLogs(settings, stack),
            "copy_postgresql": CopyPostgreSQL(settings, stack),
            "ship_wal": ShipWal(settings, stack),
        }

    def look(self) -> Found:
        """Look which backups are due."""
        found = backup_decision.decide(backup_facts.look(self._settings), self._settings)
        found.notes += postgresql_source.notes(self._settings)
        return found

    def check(self, done: Done, *, write: bool) -> Seen:
        """Look whether every backup is where it belongs."""
        if write and done.steps:
            backup_checks.show(self._settings)
        return backup_checks.seen(self._settings)
