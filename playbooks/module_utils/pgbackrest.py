"""Runs pgBackRest, as the user who owns the server or the scratch place, and believes what it reports."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible.module_utils import pgbackrest_report
from ansible.module_utils.host_step import StepError
from ansible.module_utils.pgbackrest_report import BadReportError, Info, Verified
from ansible.module_utils.postgresql_server import As, told_by
from ansible.module_utils.stack_program import Finished

_ASK_SECONDS = 120.0
_LONG_SECONDS = 6 * 3600.0
_STANZA = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class PgBackRestError(StepError):
    """pgBackRest said no, or something that is no proof."""


class PgBackRest:
    """pgBackRest, run as somebody, with a configuration and a stanza in it."""

    def __init__(self, user: As, config: str, stanza: str) -> None:
        if not _STANZA.fullmatch(stanza):
            raise StepError(f"{stanza[:70]!r} is no name of a stanza; nothing was done: correct it in the inventory")
        self.stanza = stanza
        self._user = user
        # With a file that is named, no other one is read.
        self._argv = ["pgbackrest", f"--config={config}", f"--stanza={stanza}"]

    def info(self) -> Info:
        """Return what it knows of the repository."""
        done = self._run("info", ["--output=json", "--log-level-console=off", "--log-level-stderr=error"], _ASK_SECONDS)
        try:
            return pgbackrest_report.info(done.output, self.stanza)
        except BadReportError as error:
            raise PgBackRestError(str(error)) from error

    def backup(self, kind: str) -> None:
        """Make a copy (full, diff or incr)."""
        self._run("backup", [f"--type={kind}"], _LONG_SECONDS)

    def verify(self) -> Verified:
        """Have every copy and segment read; what is damaged is in what it returns, not in an exit code."""
        options = ["--output=text", "--verbose", "--log-level-console=info"]
        done = self._run("verify", options, _LONG_SECONDS)
        try:
            return pgbackrest_report.verified(done.output, done.errors)
        except BadReportError as error:
            raise PgBackRestError(str(error)) from error

    def restore(self, label: str, options: Sequence[str]) -> None:
        """Restore a copy to where the configuration says."""
        self._run("restore", [f"--set={label}", *options], _LONG_SECONDS)

    def _run(self, command: str, options: Sequence[str], seconds: float) -> Finished:
        done = self._user.run([*self._argv, *options, command], seconds)
        if done.code != 0:
            said = [line for line in (done.output + "\n" + done.errors).splitlines() if "ERROR" in line]
            words = told_by(Finished(done.code, "", said[0])) if said else done.last_line
            raise PgBackRestError(f"pgBackRest's {command} ended with {done.code}: {words}")
        return done


def version(user: As) -> str:
    """Return pgBackRest's version."""
    words = user.run(["pgbackrest", "version"], _ASK_SECONDS).output.split()
    return words[1] if len(words) > 1 else "unknown"
