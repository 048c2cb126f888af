"""The record on a PostgreSQL server: how to connect, what it must allow, one writer at a time, its errors in words."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sqlalchemy import URL, Connection, Engine, Row, create_engine, make_url, text

from remediate.adapters.secret import resolve
from remediate.adapters.store import backend
from remediate.adapters.store.backend import Trouble
from remediate.catalog.database import DatabaseSettings
from remediate.errors import StateUnusable

#: The oldest server that this is tested for, and its number as the server itself writes it.
OLDEST_VERSION, _OLDEST = "13", 130000

#: What the locks of this site are told apart by. Kept in the session, so that it is known before the schema is there.
SITE = "current_setting('search_path')"

#: A dead line is noticed after 5 + 3 x 2 seconds: by us, so that work stops; by the server, so that its locks fall.
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
_SESSION: Mapping[str, str | int] = {
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 11_000,
    "statement_timeout": 60_000,
    # A writer that was stopped within its transaction must not keep all others out.
    "idle_in_transaction_session_timeout": 60_000,
    "client_min_messages": "warning",
}

#: The schema is looked for in its table: what a session has once failed to find by name it may go on not finding.
_RIGHTS = """
SELECT current_user AS who, current_database() AS database, found.oid IS NOT NULL AS there,
       has_database_privilege(current_database(), 'CREATE') AS may_make_schemas,
       coalesce(has_schema_privilege(found.oid, 'USAGE'), false) AS may_use,
       coalesce(has_schema_privilege(found.oid, 'CREATE'), false) AS may_make_tables,
       current_setting('server_version_num')::int AS version, current_setting('server_version') AS version_name,
       current_setting('search_path') AS search_path
FROM (SELECT 1) AS always LEFT JOIN pg_namespace AS found ON found.nspname = :schema
"""

_DIRECT = "connect to the server itself: a pooler that shares sessions loses the locks of hosts"

#: What the server or its client library says, and what to do about it. Errors at the log-in carry no code.
_NEXT_STEPS: tuple[tuple[str, str], ...] = (
    ("password authentication failed|no password supplied", "correct the user in `database.url`, or the password"),
    (r'database ".*" does not exist', "create it (CREATE DATABASE), or correct `database.url` in remediate.yml"),
    ("no pg_hba.conf entry|SSL|certificate", "see what the server allows (pg_hba.conf), and `sslmode` in the url"),
    ("too many clients|too many connections|connection slots", "end other connections, or raise max_connections"),
    ("startup parameter", _DIRECT),
    ("lock timeout", "see which process has kept it: pg_stat_activity names them `remediate ...`"),
    ("read-only transaction", "connect to the primary server, or end what makes the database read-only"),
    ("permission denied|must be owner", "let the user of `database.url` own the schema and its tables"),
    ("No space left|could not extend", "free space on the server"),
)
_NO_ANSWER = "see that the server runs and can be reached from here, then repeat"
_ATTEMPT = re.compile(r"\A.* failed: (?:FATAL: +)?")


class PostgresqlBackend:
    """Implements `Backend` on a schema of a PostgreSQL database."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._url = make_url(settings.url or "")
        self._password = settings.password
        self._schema = settings.schema_name

    @property
    def name(self) -> str:
        """The address, which holds no password."""
        return self._url.render_as_string()

    def engine(self) -> Engine:
        """Return the way to the server; a connection that has died since its last use is replaced by a new one.

        Raises UsageError when the password is not where the settings say.
        """
        options = {**_SESSION, "search_path": self._schema, "lock_timeout": int(backend.BUSY_SECONDS * 1000)}
        arguments = {
            **_KEEPALIVE,
            "tcp_user_timeout": 11_000,
            "connect_timeout": 10,
            "application_name": "remediate",
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        }
        try:
            return create_engine(self._address(), connect_args=arguments, pool_pre_ping=True, max_overflow=30)
        except ImportError as error:
            raise self._unusable(
                "psycopg, which speaks to PostgreSQL, is not installed here", "pip install 'remediate[postgres]'"
            ) from error

    def prepare(self, connection: Connection) -> None:
        """Make the schema where it is missing; raises StateUnusable when the server is too old or does not allow it."""
        found = self._look(connection)
        if found.version < _OLDEST:
            raise self._unusable(
                f"the server is PostgreSQL {found.version_name}, and {OLDEST_VERSION} is the oldest that can be used",
                "upgrade the server, or use another one",
            )
        if found.search_path != self._schema:
            raise self._unusable("something on the way to the server dropped the options of the session", _DIRECT)
        if not found.there:
            self.begin_writing(connection)
            found = self._look(connection)
        if not found.there and found.may_make_schemas:
            connection.exec_driver_sql(f"CREATE SCHEMA {self._quoted(connection, self._schema)}")
        elif not (found.there and found.may_use and found.may_make_tables):
            who, schema = self._quoted(connection, found.who), self._quoted(connection, self._schema)
            wanted = f"GRANT ALL ON SCHEMA {schema} TO {who};"
            if not found.there:
                wanted = f"CREATE SCHEMA {schema} AUTHORIZATION {who};"
            raise self._unusable(
                f"the user {found.who} may not make tables in the schema {self._schema}",
                f"have an administrator run in the database {found.database}: {wanted}",
            )

    def begin_writing(self, connection: Connection) -> None:
        """Wait for the lock that the one writer of the site holds until its transaction ends."""
        connection.execute(text(f"SELECT pg_advisory_xact_lock(hashtextextended({SITE} || '/writer', 0))"))

    def explain(self, error: Exception) -> Trouble:
        """Return the sentence that counts of what the server or its client library said, and what to do about it."""
        said = str(getattr(error, "orig", None) or error)
        if "lock timeout" in said:
            said = f"another process has been writing for {backend.BUSY_SECONDS} s ({said})"
        next_step = next((step for words, step in _NEXT_STEPS if re.search(words, said)), _NO_ANSWER)
        # A host may have several addresses: the last attempt to log in stands for all.
        attempts = [line for line in said.splitlines() if _ATTEMPT.match(line)] or said.splitlines()[:1]
        return Trouble(_ATTEMPT.sub("", attempts[-1]).strip(), next_step)

    def _address(self) -> URL:
        password = resolve(self._password).reveal() if self._password else None
        return self._url.set(drivername="postgresql+psycopg", password=password)

    def _look(self, connection: Connection) -> Row[tuple[object, ...]]:
        return connection.execute(text(_RIGHTS), {"schema": self._schema}).one()

    def _unusable(self, what: str, next_step: str) -> StateUnusable:
        return StateUnusable(f"The record {self.name} cannot be opened: {what}. Nothing was run.", next_step=next_step)

    @staticmethod
    def _quoted(connection: Connection, name: str) -> str:
        return connection.dialect.identifier_preparer.quote(name)
