"""What goes wrong with a PostgreSQL server: each fault is one clear sentence, and nothing is written by halves."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, text

from remediate.adapters.store import backend, postgresql
from remediate.adapters.store.connection import Database, open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.locks import AdvisoryLocks
from remediate.catalog.database import DatabaseSettings
from remediate.errors import StateUnusable, UsageError
from tests.builders import run
from tests.postgres import PASSWORD, PostgresServer

pytestmark = pytest.mark.postgres


@pytest.fixture
def database(tmp_path: Path, postgres: DatabaseSettings) -> Iterator[Database]:
    opened = open_database(tmp_path, postgres)
    yield opened
    opened.dispose()


@pytest.fixture
def store(database: Database) -> DatabaseStore:
    return DatabaseStore(database)


def named(settings: DatabaseSettings) -> str:
    """The name of the database that the settings lead to."""
    return (settings.url or "").rpartition("/")[2]


def refusal(directory: Path, settings: DatabaseSettings) -> tuple[str, str]:
    with pytest.raises(StateUnusable) as refused:
        open_database(directory, settings)
    assert refused.value.exit_code == 2
    opening, why = refused.value.message.split(" cannot be opened: ")
    assert opening == f"The record {settings.url}"
    assert PASSWORD not in refused.value.message + refused.value.next_step
    return why.removesuffix(". Nothing was run."), refused.value.next_step


def write_refusal(store: DatabaseStore) -> tuple[str, str]:
    with pytest.raises(StateUnusable) as refused:
        store.create_run(run("refused"))
    assert refused.value.message.endswith("Nothing is done without a record, so the run ends here.")
    return refused.value.message, refused.value.next_step


def recorded(store: DatabaseStore) -> list[str]:
    return sorted(found.id for found in store.runs(limit=9))


# The server


def test_a_server_that_is_down_is_told_when_the_record_is_opened_and_later_is_used_as_before(
    tmp_path: Path, postgres: DatabaseSettings, postgres_server: PostgresServer
) -> None:
    postgres_server.stop()
    why, next_step = refusal(tmp_path, postgres)
    postgres_server.start()
    open_database(tmp_path, postgres).dispose()

    assert "Connection refused" in why
    assert next_step == "see that the server runs and can be reached from here, then repeat"


def test_a_server_that_is_gone_for_a_while_refuses_what_is_written_meanwhile_and_nothing_else(
    store: DatabaseStore, postgres_server: PostgresServer
) -> None:
    store.create_run(run("before"))
    postgres_server.stop()
    message, next_step = write_refusal(store)
    with pytest.raises(StateUnusable, match=r"The record cannot be read: .*Connection refused"):
        store.runs(limit=9)
    postgres_server.start()
    store.create_run(run("after"))

    assert "Connection refused" in message
    assert next_step.startswith("see that the server runs")
    assert recorded(store) == ["after", "before"]


def test_a_restart_between_two_transactions_is_not_noticed(
    store: DatabaseStore, postgres_server: PostgresServer
) -> None:
    store.create_run(run("before"))
    postgres_server.stop()
    postgres_server.start()
    store.create_run(run("after"))

    assert recorded(store) == ["after", "before"]


def test_a_restart_within_a_transaction_ends_it_and_nothing_of_it_is_there(
    store: DatabaseStore, postgres_server: PostgresServer
) -> None:
    def interrupted() -> None:
        with store.together():
            store.create_run(run("first"))
            postgres_server.stop()
            postgres_server.start()
            store.create_run(run("second"))

    with pytest.raises(StateUnusable, match="The record cannot be written"):
        interrupted()
    assert recorded(store) == []
    store.create_run(run("after"))
    assert recorded(store) == ["after"]


def test_a_commit_whose_answer_was_lost_is_told_as_what_it_is(
    database: Database, postgres_server: PostgresServer
) -> None:
    def loses_the_answer() -> None:
        with database.writing() as opened:
            process = opened.execute(text("SELECT pg_backend_pid()")).scalar()
            postgres_server.execute(f"SELECT pg_terminate_backend({process}, 60000)")

    with pytest.raises(StateUnusable, match=r"while the record was written .*: it may hold the last step") as refused:
        loses_the_answer()
    assert refused.value.next_step == "see what it holds: `remediate runs`"


def test_a_restart_of_the_server_stops_work_whose_locks_fell_with_it(
    database: Database, postgres_server: PostgresServer
) -> None:
    lost = Event()

    def work() -> None:
        with AdvisoryLocks(database).hold("a", ["near"], lost=lost):
            postgres_server.stop()
            assert lost.wait(60)
            postgres_server.start()

    with pytest.raises(StateUnusable, match="The database dropped the locks of run a while it was at work"):
        work()
    with AdvisoryLocks(database).hold("b", ["near"]):
        assert AdvisoryLocks(database).alive("b")


def test_a_server_that_is_down_gives_no_locks(database: Database, postgres_server: PostgresServer) -> None:
    locks = AdvisoryLocks(database)
    postgres_server.stop()
    with pytest.raises(StateUnusable, match="Connection refused"), locks.hold("a", ["near"]):
        pytest.fail("a host was worked on without its lock")
    with pytest.raises(StateUnusable, match="Connection refused"):
        locks.alive("a")
    postgres_server.start()

    assert not locks.alive("a")


def test_a_server_without_free_connections_is_told_and_used_again_when_there_are_some(
    tmp_path: Path, postgres: DatabaseSettings, postgres_server: PostgresServer
) -> None:
    postgres_server.execute(f"ALTER DATABASE {named(postgres)} CONNECTION LIMIT 0")
    why, next_step = refusal(tmp_path, postgres)
    postgres_server.execute(f"ALTER DATABASE {named(postgres)} CONNECTION LIMIT -1")
    open_database(tmp_path, postgres).dispose()

    assert why == f'too many connections for database "{named(postgres)}"'
    assert next_step == "end other connections, or raise max_connections"


def test_a_database_that_becomes_read_only_can_be_read_and_later_be_written_again(
    tmp_path: Path, postgres: DatabaseSettings, postgres_server: PostgresServer
) -> None:
    open_database(tmp_path, postgres).dispose()
    postgres_server.execute(f"ALTER DATABASE {named(postgres)} SET default_transaction_read_only = on")
    database = open_database(tmp_path, postgres)
    store = DatabaseStore(database)
    message, next_step = write_refusal(store)
    read = recorded(store)
    postgres_server.execute(f"ALTER DATABASE {named(postgres)} RESET default_transaction_read_only")
    database.dispose()
    store.create_run(run("after"))
    database.dispose()

    assert "cannot execute INSERT in a read-only transaction" in message
    assert next_step == "connect to the primary server, or end what makes the database read-only"
    assert read == []


# Who is let in


def test_a_host_with_several_addresses_is_told_like_one(tmp_path: Path, postgres_server: PostgresServer) -> None:
    url = f"postgresql://remediate@localhost:{postgres_server.port}/nowhere"
    settings = postgres_server.settings("nowhere").model_copy(update={"url": url})

    assert refusal(tmp_path, settings)[0] in {'database "nowhere" does not exist', "Connection refused"}


def test_a_wrong_password_is_told_without_any_password(
    tmp_path: Path, postgres: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRONG", "hush-hush")
    wrong = postgres.model_copy(update={"password": "env:WRONG"})
    why, next_step = refusal(tmp_path, wrong)

    assert why == 'password authentication failed for user "remediate"'
    assert next_step == "correct the user in `database.url`, or the password"
    assert "hush" not in why + next_step


def test_a_password_that_is_not_where_it_should_be_is_told(
    tmp_path: Path, postgres: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(UsageError, match="The secret env:NOT_SET is not set") as refused:
        open_database(tmp_path, postgres.model_copy(update={"password": "env:NOT_SET"}))

    assert refused.value.exit_code == 2


def test_no_password_is_told(tmp_path: Path, postgres: DatabaseSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))

    assert "no password supplied" in refusal(tmp_path, postgres.model_copy(update={"password": None}))[0]


def test_a_database_that_is_not_there_is_told(tmp_path: Path, postgres_server: PostgresServer) -> None:
    assert refusal(tmp_path, postgres_server.settings("nowhere")) == (
        'database "nowhere" does not exist',
        "create it (CREATE DATABASE), or correct `database.url` in remediate.yml",
    )


@pytest.fixture
def stranger(postgres: DatabaseSettings, postgres_server: PostgresServer) -> Iterator[DatabaseSettings]:
    """A user of the database who may do nothing in it."""
    postgres_server.execute(f"CREATE ROLE stranger LOGIN PASSWORD '{PASSWORD}'")
    yield postgres_server.settings(named(postgres), user="stranger")
    with postgres_server.connect(named(postgres)) as administrator:
        administrator.execute("DROP OWNED BY stranger")
    postgres_server.execute("DROP ROLE stranger")


@pytest.mark.parametrize(
    ("schema", "grant"),
    [
        ("remediate", "GRANT ALL ON SCHEMA remediate TO stranger;"),
        ("fresh", "CREATE SCHEMA fresh AUTHORIZATION stranger;"),
        ("order", 'CREATE SCHEMA "order" AUTHORIZATION stranger;'),
    ],
)
def test_a_user_without_rights_is_told_what_an_administrator_has_to_type(
    tmp_path: Path, stranger: DatabaseSettings, schema: str, grant: str
) -> None:
    settings = stranger.model_copy(update={"schema_name": schema})

    assert refusal(tmp_path, settings) == (
        f"the user stranger may not make tables in the schema {schema}",
        f"have an administrator run in the database {named(stranger)}: {grant}",
    )


def test_a_user_works_as_soon_as_an_administrator_has_typed_what_was_said(
    tmp_path: Path, stranger: DatabaseSettings, postgres_server: PostgresServer
) -> None:
    settings = stranger.model_copy(update={"schema_name": "order"})
    _, next_step = refusal(tmp_path, settings)
    with postgres_server.connect(named(stranger)) as administrator:
        administrator.execute(next_step.partition(": ")[2].encode())
    database = open_database(tmp_path, settings)
    DatabaseStore(database).create_run(run())
    recorded = DatabaseStore(database).run(run().id)
    database.dispose()

    assert recorded == run()


def test_a_user_who_may_not_touch_the_tables_is_told(
    tmp_path: Path, stranger: DatabaseSettings, postgres_server: PostgresServer
) -> None:
    with postgres_server.connect(named(stranger)) as administrator:
        administrator.execute("GRANT ALL ON SCHEMA remediate TO stranger")

    assert refusal(tmp_path, stranger) == (
        "permission denied for table alembic_version",
        "let the user of `database.url` own the schema and its tables",
    )


# What is here, and what is there


def test_a_missing_client_library_is_told_with_the_command_that_installs_it(
    tmp_path: Path, postgres: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    assert refusal(tmp_path, postgres) == (
        "psycopg, which speaks to PostgreSQL, is not installed here",
        "pip install 'remediate[postgres]'",
    )


def test_a_server_that_is_too_old_is_refused(
    tmp_path: Path, postgres: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "OLDEST_VERSION", "99")
    monkeypatch.setattr(postgresql, "_OLDEST", 990000)
    why, next_step = refusal(tmp_path, postgres)

    assert why.startswith("the server is PostgreSQL 1")
    assert why.endswith("and 99 is the oldest that can be used")
    assert next_step == "upgrade the server, or use another one"


def test_a_pooler_that_refuses_what_a_session_needs_is_told_as_one() -> None:
    said = 'connection to server at "::1", port 6432 failed: FATAL:  unsupported startup parameter: options'
    trouble = postgresql.PostgresqlBackend(DatabaseSettings(url="postgresql://u@h:6432/n")).explain(OSError(said))

    assert trouble.what == "unsupported startup parameter: options"
    assert trouble.next_step.startswith("connect to the server itself: a pooler that shares sessions loses the locks")


def test_a_pooler_that_drops_what_a_session_needs_is_told_before_any_table_is_made_elsewhere(
    tmp_path: Path, postgres: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_options(url: URL, *, connect_args: dict[str, Any], **options: Any) -> Engine:
        return create_engine(url, connect_args={**connect_args, "options": ""}, **options)

    monkeypatch.setattr(postgresql, "create_engine", without_options)
    why, next_step = refusal(tmp_path, postgres)

    assert why == "something on the way to the server dropped the options of the session"
    assert next_step.startswith("connect to the server itself")


# Other writers, and lines that die


def test_another_writer_who_does_not_end_is_told(
    tmp_path: Path, postgres: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "BUSY_SECONDS", 0.05)
    ours, theirs = open_database(tmp_path, postgres), open_database(tmp_path, postgres)
    store = DatabaseStore(ours)
    with theirs.writing():
        message, next_step = write_refusal(store)
    store.create_run(run("after"))
    for database in (ours, theirs):
        database.dispose()

    assert "another process has been writing for 0.05 s" in message
    assert next_step == "see which process has kept it: pg_stat_activity names them `remediate ...`"


def test_a_writer_that_is_stopped_within_its_transaction_does_not_keep_the_others_out(
    tmp_path: Path, postgres: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = open_database(tmp_path, postgres)
    # Long enough for a busy machine to open it, and waited for once.
    impatient: dict[str, Any] = {**postgresql._SESSION, "idle_in_transaction_session_timeout": 1000}
    monkeypatch.setattr(postgresql, "_SESSION", impatient)
    theirs = open_database(tmp_path, postgres)

    def stopped() -> None:
        with theirs.writing():
            DatabaseStore(theirs).create_run(run("half"))
            DatabaseStore(ours).create_run(run("whole"))

    with pytest.raises(StateUnusable, match="idle-in-transaction timeout"):
        stopped()
    assert recorded(DatabaseStore(ours)) == ["whole"]
    for database in (ours, theirs):
        database.dispose()


def test_both_ends_of_a_line_notice_within_seconds_that_it_is_dead(database: Database) -> None:
    with database.reading() as opened:
        line: Any = opened.connection.dbapi_connection
        with socket.socket(fileno=socket.dup(line.fileno())) as ours:
            here = [
                ours.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
            ]
        names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
        there = [opened.execute(text("SELECT current_setting(:name)"), {"name": name}).scalar() for name in names]

    assert here == [5, 2, 3, 11_000]
    assert there == ["5", "2", "3", "11000"]
