"""Reads the error log of a database server: what it said since it was last started, and when."""

from __future__ import annotations

import datetime as dt
import os
import re

from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.host_step import StepError
from ansible.module_utils.mariadb_server import MariaDB

_MOST_BYTES = 1 << 20
_LINES = 2000
_LONGEST = 240
_START = re.compile(r"\[Note\] Starting MariaDB |starting as process \d+")
_ERROR = re.compile(r"\[ERROR\]")
#: What the engines say of files that are not as they should be. Not that a disk is full.
_DAMAGE = re.compile(
    r"\[ERROR\].*(?:InnoDB: .*(?:corrupt|checksum|Inconsistent tablespace|Unable to (?:apply log|read)|Missing |"
    r"Space id and page no stored|initialization aborted|Page \[page id)|Aria.*(?:corrupt|recovery failed|"
    r"log initialization|Error reading))",
    re.IGNORECASE,
)
_TABLE = re.compile(r"(?<![./\w])\./([A-Za-z0-9_@]{1,200})/([A-Za-z0-9_@]{1,200})\.ibd")
_CODED = re.compile(r"@([0-9a-f]{4})")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[T ]\s?(\d\d?:\d\d:\d\d)(?:[.,]\d+)?(Z|[+-]\d\d:?\d\d)?")


def read(server: MariaDB, path: str) -> list[str]:
    """Return the last lines of the error log: of a file, or of what the service printed when none is named."""
    if not path:
        return server.stack.logs(server.service, _LINES).split("\n")
    try:
        with open(path, "rb") as source:
            source.seek(max(0, os.fstat(source.fileno()).st_size - _MOST_BYTES))
            return source.read(_MOST_BYTES).decode("utf-8", "replace").split("\n")
    except OSError as error:
        raise StepError(
            f"the error log {path} cannot be read ({error.strerror}); nothing was done: correct "
            "database_failure_error_log, or make the log readable"
        ) from error


def since_start(lines: list[str]) -> list[str]:
    """Return the lines since the server was last started."""
    starts = [number for number, line in enumerate(lines) if _START.search(line)]
    return lines[starts[-1] :] if starts else lines


def damage(lines: list[str]) -> list[str]:
    """Return the lines that tell of damaged files, each as it may be shown."""
    return [presented(line) for line in lines if _DAMAGE.search(line)]


def errors_since(lines: list[str], moment: float) -> list[str]:
    """Return the errors that were logged at this moment (seconds since 1970) or later."""
    return [presented(line) for line in lines if _ERROR.search(line) and (moment_of(line) or 0.0) >= int(moment)]


def errors(lines: list[str]) -> list[str]:
    """Return all errors."""
    return [presented(line) for line in lines if _ERROR.search(line)]


def tables(lines: list[str], most: int = 20) -> list[tuple[str, str]]:
    """Return the tables (schema, name) whose files errors and warnings name, in order, each once."""
    named = (found for line in lines if "[ERROR]" in line or "[Warning]" in line for found in _TABLE.finditer(line))
    return list(dict.fromkeys((_decoded(one[1]), _decoded(one[2])) for one in named))[:most]


def file_name(text: str) -> str:
    """Return the name that the server gives to the file of a schema or table."""
    return "".join(one if one.isascii() and (one.isalnum() or one == "_") else f"@{ord(one):04x}" for one in text)


def moment_of(line: str) -> float | None:
    """Return when a line was logged, in seconds since 1970: by its zone, and in this host's time without one."""
    if not (found := _MOMENT.search(line[:80])):
        return None
    zone = (found[3] or "").replace("Z", "+00:00")
    try:
        moment = dt.datetime.fromisoformat(f"{found[1]}T{found[2]:0>8}{zone}")
    except ValueError:
        return None
    return moment.timestamp()


def presented(line: str) -> str:
    """Return a line as it may be shown: harmless and not long."""
    return shown(line.strip())[:_LONGEST]


def _decoded(text: str) -> str:
    return _CODED.sub(lambda found: chr(int(found[1], 16)), text)
