"""The database of the application, as far as migrations go: asked, and copied before they are taken back."""

from __future__ import annotations

import gzip
import hashlib
import os
from typing import Any

from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.releases import ReleaseError
from ansible.module_utils.run_state import write_whole

_SECONDS = 30.0
_DUMP_SECONDS = 600.0
_SIZE = (
    "SELECT COALESCE(SUM(data_length + index_length), 0) FROM information_schema.tables WHERE table_schema = DATABASE()"
)
_END = "-- Dump completed"


class ReleaseDatabase:
    """One database, reached where its server runs."""

    def __init__(self, name: str, service: str, stack: dict[str, Any]) -> None:
        self._name, self._service = name, service
        self._stack = stack_of(stack)

    def ask(self, question: str) -> list[str]:
        """Ask one question and return the lines of the answer; raises ReleaseError when there is none."""
        program = ["mariadb", "--batch", "--skip-column-names", f"--execute={question}", self._name]
        code, output, errors = self._stack.exec(self._service, program, _SECONDS)
        if code != 0:
            said = errors.strip().splitlines() or ["it said nothing"]
            raise ReleaseError(
                f"the database {self._name} does not answer ({said[-1][:300]}); nothing was done: this is no matter of "
                "a release, see the runbook database-failure"
            )
        return output.splitlines()

    def bytes(self) -> int:
        """Return about how much the tables hold."""
        return int(self.ask(_SIZE)[0])

    def dump(self, path: str) -> str:
        """Copy structure and rows of every table into a file that only root can read; return its digest."""
        program = ["mariadb-dump", "--single-transaction", "--routines", "--triggers", "--hex-blob", self._name]
        code, output, errors = self._stack.exec(self._service, program, _DUMP_SECONDS)
        if code != 0 or _END not in output[-200:]:
            said = errors.strip().splitlines() or ["it ended too early"]
            raise ReleaseError(f"the database {self._name} could not be copied ({said[-1][:300]}); it is left as it is")
        content = gzip.compress(output.encode("utf-8", "surrogateescape"), mtime=0)
        write_whole(path, content)
        return hashlib.sha256(content).hexdigest()


def room_for(path: str, bytes_wanted: int) -> str:
    """Return why a copy would not fit, or nothing."""
    free = os.statvfs(path).f_bavail * os.statvfs(path).f_frsize
    if free > bytes_wanted:
        return ""
    return f"a copy of the database takes up to {bytes_wanted} bytes and {path} has {free}: make room there first"
