"""The runbook `database-restore` on a source: what would be restored, the rebuild beside, and the switch."""

from __future__ import annotations

import secrets
from typing import Any

from ansible.module_utils import restore_plan
from ansible.module_utils.database_restore_kinds import PutInPlace, Rebuild
from ansible.module_utils.host_checks import CURED, NOT_CURED, Check, check, stack_checks
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import HELD, Done, Found, Seen, Step, StepError, measure
from ansible.module_utils.mariadb_server import MariaDB, name
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.restore_plan import Plan, Planner

_CAUSE = "wanted"


class DatabaseRestore:
    """A database that is to become what it was at some position of its log."""

    name = "database_restore"

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self._stack = stack
        self.kinds: dict[str, Kind] = {"rebuild": Rebuild(settings), "put_in_place": PutInPlace(settings, stack)}

    def look(self) -> Found:
        """Plan the restore; what cannot be restored is an error that says what can."""
        if not self._settings["to"].strip() and MariaDB(self._stack, self._settings["service"]).answers():
            return Found("the database answers, and no moment is named that it should go back to")
        plan = Planner(self._settings).plan()
        wanted = self._settings["to"].strip() or "the newest transaction"
        found = Found(f"the database of {self._settings['source']} as it was at {wanted}")
        found.causes[_CAUSE] = restore_plan.words(plan)
        data = self._data(plan)
        about = f"the database of {self._settings['source']} from {plan.copy.manifest.id}"
        found.steps = [
            Step(_CAUSE, "rebuild", f"{about} to {wanted}", note=f"up to {plan.stop}", data=data),
            Step(_CAUSE, "put_in_place", str(self._settings["data_dir"]), undo=HELD, data=data),
        ]
        found.measures.append(measure("predicted time", round(plan.seconds, 1), "s", "", ok=True))
        found.notes.append("the present data stay beside, whole, until they are removed by hand")
        found.notes.append("afterwards the binary log begins anew: run backup-create at once, for a new full copy")
        return found

    def _data(self, plan: Plan) -> dict[str, Any]:
        stop = str(plan.stop) if self._settings["to"].strip() else ""
        return {"backup": plan.copy.manifest.id, "stop": stop, "token": secrets.token_hex(6)}

    def check(self, done: Done, *, write: bool) -> Seen:
        """Look whether the server works with the restored data."""
        found = Seen()
        if not any(step.verb == "put_in_place" for step in done.steps):
            found.checks.append(check("restore", NOT_CURED, "nothing was put in place in this run"))
        found.checks.append(self._answers(write=write))
        found.checks += stack_checks(self._stack, self._settings["health_wait"])
        return found

    def _answers(self, *, write: bool) -> Check:
        try:
            server = MariaDB(self._stack, self._settings["service"])
            tables = server.rows(
                "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema NOT IN"
                " ('information_schema', 'performance_schema', 'sys', 'mysql');\n"
            )[0][0]
            if write and (schema := self._settings["schema"]):
                place = f"{name(schema)}.{name('remediate_' + secrets.token_hex(8))}"
                insert = f"INSERT INTO {place} VALUES (1)"  # noqa: S608 - names made here
                server.rows(f"CREATE TABLE {place} (token INT); {insert}; DROP TABLE {place};\n")
        except (StepError, StackError) as error:
            return check("database", NOT_CURED, str(error))
        return check("database", CURED, f"it answers, and has {tables} tables")
