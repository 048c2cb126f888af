"""The runbook `database-failure` on a host: what is looked at, decided, done and proven."""

from __future__ import annotations

from typing import Any

from ansible.module_utils import database_facts, database_plan
from ansible.module_utils.database_check import DatabaseCheck
from ansible.module_utils.database_kinds import (
    Configure,
    Disconnect,
    DropOldPassword,
    RestartService,
    RotatePassword,
    StartServer,
)
from ansible.module_utils.database_repair import KeepData, RebuildTable, RepairTable, Restore, RestoreTable
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Done, Found, Seen


class DatabaseFailure:
    """A database that does not do its work."""

    name = "database_failure"

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self._stack = stack
        self.kinds: dict[str, Kind] = {
            "start": StartServer(settings, stack),
            "restart": RestartService(settings, stack),
            "disconnect": Disconnect(settings, stack),
            "configure": Configure(settings, stack),
            "rotate_password": RotatePassword(settings, stack),
            "drop_old_password": DropOldPassword(settings, stack),
            "keep_data": KeepData(settings, stack),
            "repair": RepairTable(settings, stack),
            "rebuild_table": RebuildTable(settings, stack),
            "restore_table": RestoreTable(settings, stack),
            "restore": Restore(settings, stack),
        }

    def look(self) -> Found:
        """Look at the database, and decide."""
        return database_plan.decide(database_facts.look(self._settings, self._stack), self._settings)

    def check(self, done: Done, *, write: bool) -> Seen:
        """Look whether the database is well."""
        return DatabaseCheck(self._settings, self._stack).seen(done, write=write)
