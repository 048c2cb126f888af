"""A real PostgreSQL server for tests: the distribution's, in a temporary directory, on a free port of the loopback.

It is started once and ends with pytest, however that ends. A test gets a database of its own from the fixture
`postgres`; one that stops the server, or changes it for everybody, also asks for `postgres_server`.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from remediate.adapters.store.connection import open_database
from remediate.catalog.database import DatabaseSettings

ROOT = Path(__file__).parents[1]
PASSWORD = secrets.token_hex(8)
OWNER = "remediate"
TEMPLATE = "empty_record"

#: What a test may have changed besides rows: tables, schemas and rights, the version of the tables, settings.
SHAPE = """
SELECT (SELECT array_agg(relnamespace::regnamespace || '.' || relname ORDER BY oid) FROM pg_class WHERE oid >= 16384),
       (SELECT array_agg(nspname || coalesce(nspacl::text, '') ORDER BY nspname) FROM pg_namespace),
       (SELECT version_num FROM remediate.alembic_version),
       (SELECT datconnlimit FROM pg_database WHERE datname = current_database()),
       (SELECT count(*) FROM pg_db_role_setting JOIN pg_database ON setdatabase = pg_database.oid
        WHERE datname = current_database())
"""

ALONE = """
SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

#: As a replica does it: without asking triggers and references.
EMPTY = """
SET session_replication_role = replica;
DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'remediate' AND tablename <> 'alembic_version' LOOP
    EXECUTE 'DELETE FROM remediate.' || quote_ident(name);
  END LOOP;
END $$
"""

#: Runs the server for as long as its input is open, that is: as long as pytest lives.
KEEPER = '"$@" & server=$!; cat >/dev/null; kill -QUIT "$server"; wait "$server"'


class PostgresServer:
    """One server with everything that belongs to it."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.directory = Path(tempfile.mkdtemp(prefix="remediate-postgres-"))
        self.directory.chmod(0o711)
        self._data = self.directory / "data"
        self.password_file = self.directory / "password"
        self.port = _free_port()
        self._server: subprocess.Popen[bytes] | None = None
        self._administrator: psycopg.Connection[Any] | None = None
        self._databases = 0
        self._spare: list[str] = []
        self._shape: tuple[Any, ...] | None = None

    def make(self) -> None:
        """Make the files of the server, start it, and make the database that all others are copies of."""
        _private(self.password_file, PASSWORD)
        asked = self.directory / "administrator"
        _private(asked, PASSWORD)
        self._data.mkdir(mode=0o700)
        if user := _unprivileged_user():
            for path in (asked, self._data):
                shutil.chown(path, user, user_group(user))
        arguments = ["--auth=scram-sha-256", "--username=administrator", f"--pwfile={asked}", "--no-sync"]
        self._program("initdb", f"--pgdata={self._data}", "--encoding=UTF8", "--locale=C", *arguments)
        self.start()
        self.execute(f"CREATE ROLE {OWNER} LOGIN PASSWORD '{PASSWORD}'")
        self.execute(f"CREATE DATABASE {TEMPLATE} OWNER {OWNER}")
        open_database(self.directory / "state", self.settings(TEMPLATE)).dispose()
        self._emptied(TEMPLATE)

    def start(self) -> None:
        """Start the server, unless it runs, and wait until it answers."""
        if self._server is not None:
            return
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        command = [str(self._programs / "postgres"), "-D", str(self._data), *arguments]
        with (self.directory / "log").open("ab") as log:
            self._server = subprocess.Popen(
                ["/bin/sh", "-c", KEEPER, "keeper", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **_as_user(),
            )
        self._wait_for_an_answer()

    def stop(self) -> None:
        """Stop the server at once, as a power cut would."""
        if self._administrator is not None:
            self._administrator.close()
            self._administrator = None
        if self._server is not None:
            assert self._server.stdin is not None
            self._server.stdin.close()
            self._server.wait()
            self._server = None

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as administrator and return its rows."""
        if self._administrator is None:
            self._administrator = self.connect("postgres")
        cursor = self._administrator.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    def connect(self, database: str, user: str = "administrator") -> psycopg.Connection[Any]:
        """Connect to a database as somebody."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, dbname=database, user=user, password=PASSWORD, autocommit=True
        )

    def settings(self, database: str, *, user: str = OWNER, **changes: str) -> DatabaseSettings:
        """Return the settings that name a database of this server."""
        url = f"postgresql://{user}@127.0.0.1:{self.port}/{database}"
        values = {"url": url, "password": f"file:{self.password_file}", **changes}
        return DatabaseSettings.model_validate(values)

    @contextmanager
    def database(self) -> Iterator[DatabaseSettings]:
        """Give a database with empty tables.

        One that comes back as it was made, but for its rows, is used again: to make one and to remove one costs more
        than most tests.
        """
        name = self._spare.pop() if self._spare else self._new_database()
        try:
            yield self.settings(name)
        finally:
            self.start()
            if self._emptied(name):
                self._spare.append(name)
            else:
                self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _new_database(self) -> str:
        self._databases += 1
        name = f"record_{self._databases}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {OWNER}")
        return name

    def _emptied(self, name: str) -> bool:
        """Empty the tables of a database; return whether it is again as it was made."""
        with suppress(psycopg.Error), self.connect(name) as opened:
            opened.execute(ALONE)
            opened.execute(EMPTY)
            shape = opened.execute(SHAPE).fetchone()
            self._shape = self._shape or shape
            return shape == self._shape
        return False

    def remove(self) -> None:
        """Stop the server and remove everything that belongs to it."""
        self.stop()
        shutil.rmtree(self.directory)

    def _program(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / name), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            **_as_user(),
        )
        assert done.returncode == 0, done.stderr

    def _wait_for_an_answer(self) -> None:
        assert self._server is not None
        until = time.monotonic() + 60
        while self._server.poll() is None and time.monotonic() < until:
            with suppress(psycopg.OperationalError):
                self._administrator = self.connect("postgres")
                return
            time.sleep(0.02)
        raise AssertionError((self.directory / "log").read_text()[-2000:])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server that all tests share."""
    server = PostgresServer(programs())
    try:
        server.make()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[DatabaseSettings]:
    """A database of this test alone, with empty tables."""
    with postgres_server.database() as settings:
        yield settings


def programs() -> Path:
    """Return where the newest server is; it is installed where that may be done."""
    if found := _newest():
        return found
    done = subprocess.run([ROOT / "tests/install-postgresql.sh"], capture_output=True, text=True, check=False)
    found = _newest()
    assert found, f"PostgreSQL is needed here: apt-get install postgresql\n{done.stderr[-2000:]}"
    return found


def _newest() -> Path | None:
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    return max(found, key=lambda path: int(path.parent.name) if path.parent.name.isdecimal() else 0, default=None)


def _unprivileged_user() -> str | None:
    """The server refuses to run as root."""
    if os.geteuid() != 0:
        return None
    return "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody"


def user_group(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


def _as_user() -> dict[str, Any]:
    user = _unprivileged_user()
    return {"user": user, "group": user_group(user), "extra_groups": []} if user else {}


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
