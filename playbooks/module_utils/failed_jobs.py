"""Which jobs failed for good lately, by class: asked of the application's database. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.remediate_stack import Stack, StackError

DATABASE = "mysql"
_SECONDS = 15.0
_MOST_CLASSES = 20


class FailedJobsError(Exception):
    """The database could not be asked; the message says why, and what to set."""


@dataclass(frozen=True)
class Failed:
    """What the table of failed jobs says."""

    #: Jobs that failed in the window, by class, most first.
    recent: dict[str, int]
    #: All jobs in the table.
    total: int

    @property
    def count(self) -> int:
        """How many failed in the window."""
        return sum(self.recent.values())

    def said(self) -> str:
        """Return the classes in words, safe to show."""
        return ", ".join(f"{count} of {shown(name)[:200]}" for name, count in self.recent.items())


def ask(stack: Stack, settings: dict[str, Any], seconds: int) -> Failed:
    """Ask what failed within so many seconds. Times in the table are UTC, as the application writes them."""
    table = f"`{settings['database']}`.`{settings['failed_table']}`"
    question = (
        f"SELECT COUNT(*) FROM {table};"  # noqa: S608  # both names were checked to be plain identifiers
        "SELECT COALESCE(LEFT(JSON_UNQUOTE(JSON_EXTRACT(payload, '$.displayName')), 200), '') AS class, COUNT(*) "
        f"FROM {table} WHERE failed_at > UTC_TIMESTAMP() - INTERVAL {int(seconds)} SECOND "
        f"GROUP BY class ORDER BY 2 DESC, 1 LIMIT {_MOST_CLASSES}"
    )
    options = [f"--defaults-extra-file={settings['database_defaults_file']}"] * bool(settings["database_defaults_file"])
    argv = ["mariadb", *options, "--batch", "--skip-column-names", "--default-character-set=utf8mb4"]
    try:
        code, output, errors = stack.exec(DATABASE, [*argv, "--execute", question], _SECONDS)
    except StackError as error:
        raise FailedJobsError(f"failed jobs cannot be told: {error}") from error
    if code != 0:
        said = shown((errors.strip() or "it printed nothing").splitlines()[-1])[:300]
        raise FailedJobsError(f"failed jobs cannot be told: the database says {said}")
    return parsed(output)


def parsed(output: str) -> Failed:
    """Return what the client printed as values."""
    lines = output.splitlines()
    recent: dict[str, int] = {}
    try:
        total = int(lines[0])
        for line in lines[1:]:
            name, _, count = line.rpartition("\t")
            recent[name.replace("\\\\", "\\")] = int(count)
    except (IndexError, ValueError) as error:
        raise FailedJobsError(f"failed jobs cannot be told: the answer is not understood ({error})") from error
    return Failed(recent, total)
