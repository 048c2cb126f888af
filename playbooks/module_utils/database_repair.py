"""The steps that repair a database or put a backup in its place; a copy of the damaged data is kept before each."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from ansible.module_utils import database_backups, database_data
from ansible.module_utils.database_facts import text_of
from ansible.module_utils.database_kinds import OfServer
from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.mariadb_server import MariaDB, name
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.run_state import make_private, write_whole

_SECONDS = 1200.0
_RECOVERY = re.compile(
    r"^# remediate: for the time of one repair\n\[mariadbd\]\ninnodb_force_recovery = \d\n", re.MULTILINE
)
#: A dump sets these at its beginning; a part of it needs them as well.
_HEAD = (
    b"SET NAMES utf8mb4; SET FOREIGN_KEY_CHECKS=0, UNIQUE_CHECKS=0, SQL_MODE='NO_AUTO_VALUE_ON_ZERO', "
    b"time_zone='+00:00';\n"
)


class KeepData(OfServer):
    """Copies the data directory while the server is stopped; the undo puts the copy back."""

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """See that there is room for the copy."""
        database_data.need_room(keep, database_data.size_of(step.target))
        return {"keep": keep}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Stop the server, copy, and start it again where it was up."""
        if database_data.kept(saved["keep"]):
            return False
        server = self._server()
        server.stack.stop([server.service])
        try:
            database_data.keep_copy(step.target, saved["keep"])
        finally:
            if step.data["start"]:
                server.stack.start([server.service])
        if step.data["start"]:
            server.wait(self._settings["answer_wait"])
        return True

    def obstacle(self, step: Step, saved: dict[str, Any]) -> str:
        """Return whether the copy is whole, and whether there is room to keep what is there now."""
        if not database_data.kept(saved["keep"]):
            return ""  # nothing was changed before it was whole
        now = os.path.join(os.path.dirname(saved["keep"]), "replaced")
        if not os.path.exists(now) and not database_data.has_room(now, database_data.size_of(step.target)):
            return f"there is no room beside {saved['keep']} to keep the data that are there now"
        return ""

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Put the damaged data back as they were; what has been there instead is kept beside them."""
        copy = database_data.kept(saved["keep"])
        server = self._server()
        if copy:
            server.stack.stop([server.service])
            with_recovery(self._settings["settings_file"], 0)
            replaced = os.path.join(os.path.dirname(saved["keep"]), "replaced")
            if not os.path.exists(os.path.join(replaced, "whole")):
                database_data.keep_copy(step.target, replaced)
            database_data.fill(step.target, copy)
        # Damaged data may keep the server from starting, as they did.
        with contextlib.suppress(StackError, StepError):
            server.stack.start([server.service])
            if step.data["start"]:
                server.wait(self._settings["answer_wait"])
        return step.target


class RepairTable(OfServer):
    """Repairs the index of a table; its rows are not touched."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Repair it."""
        rows = self._server().rows(f"REPAIR TABLE {_table(step)} QUICK", _SECONDS)
        if bad := [row[-1] for row in rows if row[-2].lower() == "error"]:
            raise StepError(f"{step.target} cannot be repaired without losing rows: {shown(bad[0])[:200]}")
        return True


class RebuildTable(OfServer):
    """Makes a damaged table anew from its own rows: all of them are in a dump before it is dropped."""

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Say where the dump will be."""
        return {"keep": keep}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Dump, drop, and load; after a kill it goes on where it was."""
        _need_copy(saved["keep"], step)
        server = self._server()
        dump, dropped = (os.path.join(saved["keep"], one) for one in ("table.sql", "dropped"))
        if not os.path.exists(dropped):
            try:
                self._recover(server, step.data["recovery"])
                if not os.path.exists(dump):
                    _dumped(server, step, saved["keep"], dump)
                server.rows(f"SET foreign_key_checks = 0; DROP TABLE IF EXISTS {_table(step)}", _SECONDS)
                write_whole(dropped, b"")
            finally:
                self._as_usual(server, step.data["recovery"])
        server.wait(self._settings["answer_wait"])
        with open(dump, "rb") as source:
            server.load(source, step.data["schema"], _SECONDS)
        _checked(server, step)
        return True

    def _recover(self, server: MariaDB, level: int) -> None:
        if level:
            server.stack.stop([server.service])
            with_recovery(self._settings["settings_file"], level)
            server.stack.start([server.service])
            server.wait(self._settings["answer_wait"])

    def _as_usual(self, server: MariaDB, level: int) -> None:
        if level:
            with_recovery(self._settings["settings_file"], 0)
            server.stack.restart([server.service])


class RestoreTable(OfServer):
    """Puts one table back as a backup has it; all others stay as they are."""

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Say where the table's part of the backup will be."""
        return {"keep": keep}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Take its part out of the backup, drop the table, and load that part."""
        _need_copy(saved["keep"], step)
        server, part = self._server(), os.path.join(saved["keep"], "table.sql")
        if not os.path.exists(part):
            make_private(saved["keep"])
            _take_out(step, part)
        server.rows(f"SET foreign_key_checks = 0; DROP TABLE IF EXISTS {_table(step)}", _SECONDS)
        with open(part, "rb") as source:
            server.load(source, step.data["schema"], _SECONDS)
        _checked(server, step)
        return True


class Restore(OfServer):
    """Makes a new data directory and loads a backup into it."""

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Say where the copy of the damaged data is looked for."""
        return {"keep": keep}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Empty the data directory, of which a whole copy is kept, and load the backup; a kill lets it begin again."""
        _need_copy(saved["keep"], step)
        if not database_data.is_data(database_data.kept(saved["keep"])):
            raise StepError(f"{step.target} is not the data directory of a database server and is left as it is")
        server = self._server()
        with _unchanged(step) as stream:
            server.stack.stop([server.service])
            database_data.empty(step.target)
            _make_empty_server(server, step.target)
            server.stack.start([server.service])
            server.wait(self._settings["answer_wait"])
            server.load(stream, "", _SECONDS)
        server.rows("FLUSH PRIVILEGES")
        return True


def with_recovery(path: str, level: int) -> None:
    """Have the server start with this innodb_force_recovery the next time, with 0 as usual."""
    if not path:
        return
    before = text_of(path)
    text = _RECOVERY.sub("", before)
    if level:
        text += f"# remediate: for the time of one repair\n[mariadbd]\ninnodb_force_recovery = {level}\n"
    if text == before:
        return
    if not text:
        os.unlink(path)
        return
    write_whole(path, text.encode())
    os.chmod(path, 0o644)


def _need_copy(keep: str, step: Step) -> None:
    if not database_data.kept(keep):
        raise StepError(f"no whole copy of the damaged data was kept, so {step.target} is left as it is")


def _dumped(server: MariaDB, step: Step, keep: str, dump: str) -> None:
    make_private(keep)
    partial = f"{dump}.partial"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        server.dump(step.data["schema"], step.data["table"], descriptor, _SECONDS)
        os.fsync(descriptor)
    except StepError as error:
        raise StepError(
            f"not all rows of {step.target} can be read, so it was not dropped: restore it from a backup ({error})"
        ) from error
    finally:
        os.close(descriptor)
    os.rename(partial, dump)


@contextlib.contextmanager
def _unchanged(step: Step) -> Iterator[BinaryIO]:
    """Open the backup that was approved, and no other."""
    status = os.lstat(step.data["path"])
    if (status.st_size, status.st_mtime_ns) != (step.data["size"], step.data["changed"]):
        raise StepError(f"{shown(step.data['path'])} has changed since the plan; nothing was restored: start again")
    with database_backups.opened(step.data["path"]) as stream:
        yield stream


def _take_out(step: Step, part: str) -> None:
    with _unchanged(step) as stream, open(f"{part}.partial", "wb") as target:
        target.write(_HEAD)
        lines = database_backups.only_table(stream, step.data["schema"], step.data["table"])
        found = sum(target.write(line) for line in lines)
        os.fsync(target.fileno())
    if not found:
        raise StepError(f"{shown(step.data['path'])} does not have {step.target}; the table is left as it is")
    os.rename(f"{part}.partial", part)


def _make_empty_server(server: MariaDB, data: str) -> None:
    argv = ["mariadb-install-db", "--user=mysql", f"--datadir={data}", "--skip-test-db"]
    argv += ["--skip-name-resolve", "--force", "--auth-root-authentication-method=socket"]
    code, output, errors = server.stack.once(server.service, argv, [data], 180.0)
    if code != 0:
        said = shown(" ".join((errors or output).split()))[-300:]
        raise StepError(f"no new data directory could be made in {data}, and the copy of the old one is kept: {said}")


def _checked(server: MariaDB, step: Step) -> None:
    rows = cast("list[list[str]]", server.rows(f"CHECK TABLE {_table(step)}", _SECONDS))
    if any(row[-2].lower() == "error" for row in rows):
        raise StepError(f"{step.target} is still damaged after it was made anew: {shown(rows[-1][-1])[:200]}")


def _table(step: Step) -> str:
    return f"{name(step.data['schema'])}.{name(step.data['table'])}"
