"""Proves that a database is well: it answers, writes, reads, has room, lets the application in, logs no errors."""

from __future__ import annotations

import json
import secrets
import time
import urllib.error
import urllib.request
from functools import partial
from typing import Any

from ansible.module_utils import application_account, database_log, database_sessions
from ansible.module_utils.database_facts import server_of
from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.host_checks import CANNOT_TELL, CURED, NOT_CURED, Check, check, in_time, worst
from ansible.module_utils.host_step import Done, Seen, StepError, measure
from ansible.module_utils.mariadb_server import MariaDB, ServerError, name
from ansible.module_utils.remediate_stack import StackError

_ASK_SECONDS = 5.0
_LOOK_EVERY = 2.0


class DatabaseCheck:
    """Looks at one database."""

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self._stack = stack
        self._measures: dict[str, dict[str, Any]] = {}

    def seen(self, done: Done, *, write: bool) -> Seen:
        """Look at everything; the window without errors is waited for only when all else is well."""
        server = server_of(self._settings, self._stack)
        until = time.monotonic() + self._settings["health_wait"]
        asks = [self._ping, *([self._write_and_read] if write else []), self._connections, self._access]
        checks = [in_time(partial(_told, ask, server), until) for ask in asks]
        if self._stack["health_url"]:
            checks += [in_time(ask, until) for ask in (self._ready, self._dependencies)]
        checks.append(self._errors(server, done, wait=write and worst(checks) == CURED))
        return Seen(checks, list(self._measures.values()))

    def _ping(self, server: MariaDB) -> Check:
        server.rows("SELECT 1")
        return check("ping", CURED, f"{server.service} answers")

    def _write_and_read(self, server: MariaDB) -> Check:
        schema = self._settings["schema"]
        if not schema:
            return check("write", CANNOT_TELL, "where to write is not known: set database_failure_schema")
        # A table of its own, of a name that nobody else has.
        table, token = f"{name(schema)}.{name('remediate_' + secrets.token_hex(8))}", secrets.token_hex(8)
        try:
            insert = f"INSERT INTO {table} VALUES ('{token}')"  # noqa: S608 - names made here
            server.rows(f"CREATE TABLE {table} (token CHAR(16)); {insert}; COMMIT")
            read = server.rows(f"SELECT token FROM {table}")  # noqa: S608 - names made here
        finally:
            server.rows(f"DROP TABLE IF EXISTS {table}")
        same = read == [[token]]
        return check("write", CURED if same else NOT_CURED, "what was written was " + ("" if same else "not ") + "read")

    def _connections(self, server: MariaDB) -> Check:
        sessions, limit = database_sessions.look(server), self._settings["connections_percent"]
        ok = sessions.percent < limit
        self._measures["connections"] = measure("connections used", sessions.percent, "%", f"< {limit}", ok=ok)
        said = f"{sessions.connected} of {sessions.maximum} connections are used"
        return check("connections", CURED if ok else NOT_CURED, said)

    def _access(self, server: MariaDB) -> Check:
        if not self._settings["env_file"]:
            return check("access", CURED, "not looked at: database_failure_env_file is not set")
        account = application_account.account_of(self._settings["env_file"])
        refused, said = application_account.refusal(server, account)
        return check("access", CURED if refused is False else NOT_CURED, said)

    def _ready(self) -> Check:
        said = _asked(self._stack["health_url"])
        checks = said.get("checks", said) if isinstance(said, dict) else {}
        return _verdict_of("ready", checks.get("database"), "ok")

    def _dependencies(self) -> Check:
        url = self._settings["dependencies_url"] or self._stack["health_url"].replace("/ready", "/dependencies")
        said = _asked(url)
        database = said.get("database") if isinstance(said, dict) else None
        seen = _verdict_of("dependencies", database, "connected")
        if seen["verdict"] != CURED or not isinstance(database, dict):
            return seen
        limit, latency = self._settings["latency_ms"], database.get("latency_ms")
        if not isinstance(latency, int | float):
            return check("dependencies", CANNOT_TELL, "the application does not say how long the database takes")
        ok = latency < limit
        self._measures["latency"] = measure("latency of the database", latency, "ms", f"< {limit}", ok=ok)
        return check("dependencies", CURED if ok else NOT_CURED, f"the database answers in {latency:g} ms")

    def _errors(self, server: MariaDB, done: Done, *, wait: bool) -> Check:
        """Look for errors since the last step until the window is over; without a step, back over the window."""
        window = self._settings["error_window"]
        since = done.at if done.at is not None else time.time() - window
        while True:
            try:
                found = database_log.errors_since(database_log.read(server, self._settings["error_log"]), since)
            except (StackError, StepError) as error:
                return check("error log", CANNOT_TELL, str(error))
            left = since + window - time.time()
            if found:
                return check("error log", NOT_CURED, f"{len(found)} new errors, the last: {found[-1]}")
            if left <= 0:
                return check("error log", CURED, f"no new errors in {window} s")
            if not wait:
                return check("error log", CURED, "no new errors so far")
            time.sleep(min(_LOOK_EVERY, left + 0.1))


def _told(ask: Any, server: MariaDB) -> Check:
    """Return the answer; a server that cannot be asked is one that is not cured."""
    title = ask.__name__.removeprefix("_").replace("write_and_read", "write")
    try:
        seen: Check = ask(server)
    except (ServerError, StackError) as error:
        return check(title, NOT_CURED, str(error))
    return seen


def _asked(url: str) -> Any:
    """Return what the application says, also when it says so with an error; nothing when it says nothing."""
    if not url.startswith(("http://", "https://")):
        return None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_ASK_SECONDS) as answer:
            text = answer.read(1 << 16)
    except urllib.error.HTTPError as error:
        text = error.read(1 << 16)
    except OSError:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _verdict_of(title: str, said: Any, key: str) -> Check:
    if not isinstance(said, dict):
        return check(title, NOT_CURED, "the application does not say how its database is")
    if said.get(key) is True:
        return check(title, CURED, "the application says that its database is well")
    return check(title, NOT_CURED, f"the application says: {shown(str(said.get('error', said.get(key))))[:200]}")
