"""Asks a MariaDB server of the stack, as its administrator over the local socket or as the application does."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.host_step import StepError
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.stack_feed import fed

_SECONDS = 30.0
_CLIENT = ["mariadb", "--batch", "--skip-column-names", "--default-character-set=utf8mb4", "--connect-timeout=5"]
#: With TLS a refusal before the log-in is told in other words.
_CODE = re.compile(r"^ERROR (\d+)|error cannot be verified: (\d+) -|: Error: (\d+)|Got error: (\d+)", re.MULTILINE)
_ESCAPED = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\"}

TOO_MANY_CONNECTIONS = 1040
#: Wrong password or host, no such way to log in, an expired password.
REFUSED = frozenset({1045, 1698, 1862})
#: No socket, nobody listens, lost on the way, shutting down.
NOT_THERE = frozenset({2002, 2003, 2006, 2013, 2026, 1053})


class ServerError(StepError):
    """The server, or its client, said no; `code` is MariaDB's number, 0 when it gave none."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class MariaDB:
    """The server that runs as one service of the stack."""

    def __init__(self, stack: dict[str, Any], service: str) -> None:
        self.stack = stack_of(stack)
        self.service = service

    def rows(self, statement: str, seconds: float = _SECONDS, *, secret: bool = False) -> list[list[str]]:
        """Run statements as the administrator and return what they select; nothing of them stands in a process list."""
        return parsed(self._client(_CLIENT, statement, seconds, secret=secret))

    def load(self, dump: BinaryIO, schema: str, seconds: float) -> None:
        """Run the statements of a dump, in a schema if one is named."""
        self._client([*_CLIENT, *([f"--database={schema}"] if schema else [])], dump, seconds)

    def dump(self, schema: str, table: str, target: int, seconds: float) -> None:
        """Write everything of one table to an open file, as statements that make it again."""
        argv = ["mariadb-dump", "--single-transaction", "--hex-blob", "--triggers", "--", schema, table]
        code, _, errors = self.stack.exec(self.service, argv, seconds, stdout=target)
        if code != 0:
            raise _error(errors, secret=False)

    def login(self, account: dict[str, str], seconds: float = _SECONDS) -> None:
        """Log in as the application does; raises ServerError with the server's reason."""
        options = {"user": account["user"], "password": account["password"]}
        settings = "[client]\nskip-ssl\n" + "".join(f'{name}="{_quoted(value)}"\n' for name, value in options.items())
        address = ["--protocol=tcp", f"--host={account['host']}", f"--port={account['port']}"]
        argv = ["mariadb", "--defaults-file=/dev/stdin", *_CLIENT[1:], *address, "--execute=SELECT 1"]
        self._client(argv, settings, seconds, secret=True)

    def answers(self) -> bool:
        """Return whether the server answers its administrator; no room for another connection is an answer, too."""
        try:
            self.rows("SELECT 1", 10)
        except ServerError as error:
            return error.code not in NOT_THERE and error.code != 0
        except StackError:  # it did not answer in time, or its service ended meanwhile
            return False
        return True

    def wait(self, seconds: float) -> None:
        """Wait until the server answers; raises StepError when it does not in this time."""
        if not in_time(self.answers, seconds):
            raise StepError(f"{self.service} was started and does not answer within {seconds:g} s: read its log")

    def _client(self, argv: list[str], source: BinaryIO | str, seconds: float, *, secret: bool = False) -> str:
        with fed(source) as stdin:
            code, output, errors = self.stack.exec(self.service, argv, seconds, stdin=stdin)
        if code != 0:
            raise _error(errors, secret=secret)
        return output


def in_time(ask: Callable[[], bool], seconds: float) -> bool:
    """Ask again and again until the answer is yes, or the time is over."""
    until = time.monotonic() + seconds
    while not ask():
        if time.monotonic() > until:
            return False
        time.sleep(0.3)
    return True


def parsed(output: str) -> list[list[str]]:
    """Return rows of the client's batch form."""
    return [[_unescaped(cell) for cell in line.split("\t")] for line in output.split("\n") if line]


def literal(text: str) -> str:
    """Return a text as a string of SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def name(text: str) -> str:
    """Return a text as a name of SQL."""
    return "`" + text.replace("`", "``") + "`"


def _unescaped(cell: str) -> str:
    return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), cell)


def _quoted(value: str) -> str:
    """Return a value for a file of options."""
    if "\n" in value or "\0" in value:
        raise StepError("a user or password of the application has a line break in it; nothing was done: correct it")
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _error(errors: str, *, secret: bool) -> ServerError:
    found = _CODE.search(errors)
    code = int(next(filter(None, found.groups()))) if found else 0
    # What the server quotes can be a part of the statement.
    said = "" if secret else ": " + shown(" ".join(errors.split()))[-300:]
    return ServerError(f"the database server refused{f' (error {code})' if code else ''}{said}", code)
