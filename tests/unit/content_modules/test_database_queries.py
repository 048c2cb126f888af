"""Queries that run for too long: which may be ended, and that no later one is hit in their place."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils import database_queries
from ansible.module_utils.database_queries import EndQueries, Query, endable, long_queries, parsed, query_steps
from ansible.module_utils.host_step import StepError, StepNotNeededError
from ansible.module_utils.remediate_stack import StackError


def line(thread: int, number: int, age: float, user: str, text: str, command: str = "Query") -> str:
    name, database, said = (part.encode().hex().upper() for part in (user, "chom", text))
    return f"{thread}\t{number}\t{age * 1000:.3f}\t{name}\t{database}\t{command}\t{said}"


class FakeDatabase:
    """Answers like the client of MariaDB; queries run on while time goes by."""

    def __init__(self) -> None:
        self.began = time.time()
        self.running = [line(7, 70, 100, "chom", "SELECT SLEEP(600)")]
        self.killed: list[str] = []
        self.obeys = True
        self.code = 0

    def exec(self, name: str, argv: list[str], timeout: float) -> tuple[int, str, str]:
        assert (name, argv[0]) == ("mysql", "mariadb")
        if self.code:
            return self.code, "", "ERROR 1045 (28000): Access denied\x1b[31m"
        if argv[-1].startswith("KILL"):
            self.killed.append(argv[-1])
            number = argv[-1].split()[-1]
            if not any(one.split("\t")[1] == number for one in self.running):
                return 1, "", f"ERROR 1957 (HY000) at line 1: Unknown query id: {number}"
            if self.obeys:
                self.running = [one for one in self.running if one.split("\t")[1] != number]
            return 0, "", ""
        return 0, "".join(f"{one}\n" for one in self.running), ""


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> FakeDatabase:
    fake = FakeDatabase()
    monkeypatch.setattr(database_queries, "stack_of", lambda _stack: fake)
    monkeypatch.setattr(database_queries.time, "sleep", lambda _seconds: None)
    return fake


def test_a_query_is_ended_by_the_number_of_the_statement(database: FakeDatabase) -> None:
    (step,) = query_steps("slow_queries", long_queries(database, 60, ["root"]), 60)
    assert EndQueries({}, ["root"]).do(step, {})
    assert database.killed == ["KILL QUERY ID 70"]


@pytest.mark.parametrize(
    "later",
    [
        line(7, 71, 100, "chom", "SELECT 1"),  # the thread has gone on to another statement
        line(7, 70, 100, "shop", "SELECT 1"),  # the server was restarted, and counts from the beginning
        line(7, 70, 61, "chom", "SELECT SLEEP(600)"),  # the same, later
        line(8, 70, 100, "chom", "SELECT SLEEP(600)"),
    ],
)
def test_a_later_query_in_its_place_is_never_hit(database: FakeDatabase, later: str) -> None:
    (step,) = query_steps("slow_queries", long_queries(database, 60, []), 60)
    database.running = [later]
    with pytest.raises(StepNotNeededError):
        EndQueries({}, []).do(step, {})
    assert database.killed == []


def test_a_query_that_ends_by_itself_at_the_last_moment_is_no_failure(
    database: FakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    (step,) = query_steps("slow_queries", long_queries(database, 60, []), 60)
    real = database_queries._forgiving

    def late(stack: Any, sql: str) -> None:
        database.running = []
        real(stack, sql)

    monkeypatch.setattr(database_queries, "_forgiving", late)
    assert EndQueries({}, []).do(step, {})


def test_a_query_that_does_not_end_is_said(database: FakeDatabase) -> None:
    database.obeys = False
    (step,) = query_steps("slow_queries", long_queries(database, 60, []), 60)
    with pytest.raises(StepError, match="do not end"):
        EndQueries({}, []).do(step, {})


@pytest.mark.parametrize("user", ["system user", "event_scheduler", "mariadb.sys", "", "backup"])
def test_the_system_and_whom_the_inventory_spares_are_never_ended(user: str) -> None:
    found = parsed(line(1, 2, 100, user, "SELECT 1"), time.time())
    assert endable(found, ["backup"]) == []


@pytest.mark.parametrize("command", ["Binlog Dump", "Slave_SQL", "Slave_IO", "Daemon", "Sleep", "Killed"])
def test_replication_and_idle_threads_are_no_queries(command: str) -> None:
    assert parsed(line(1, 2, 100, "repl", "COMMIT", command), time.time()) == []


@pytest.mark.parametrize("output", ["nonsense\n", "1\t2\t3\n", "a\tb\t1\t00\t00\tQuery\t00\n"])
def test_a_list_nobody_understands_is_an_error(output: str) -> None:
    with pytest.raises(StackError, match="not understood"):
        parsed(output, time.time())


def test_tabs_and_lines_in_a_query_cannot_forge_another_one() -> None:
    text = "SELECT 'x'\n9\t9\t999999\t00\t00\tQuery\t00"
    (one,) = parsed(line(1, 2, 100, "ev\til\n", text), time.time())
    assert (one.thread, one.user, one.text) == (1, "ev\til\n", text)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("SELECT * FROM users WHERE token = 'hunter2' AND id = 42", "SELECT * FROM users WHERE token = ? AND id = ?"),
        ('UPDATE a SET b = "hunter2\\" x" /* hunter2 */ WHERE c = 0xABCD', "UPDATE a SET b = ? WHERE c = ?"),
        ("SELECT 'it''s hunter2", "SELECT ?"),
        ("SELECT 1 -- hunter2\n FROM x # hunter2", "SELECT ? FROM x"),
        ("SELECT\x1b[31m  a", "SELECT\\x1b[31m a"),
    ],
)
def test_only_the_form_of_a_query_is_shown(text: str, shape: str) -> None:
    assert Query(1, 2, "chom", "chom", 0.0, text).shape == shape


def test_what_people_approve_is_the_same_while_the_same_user_is_slow(database: FakeDatabase) -> None:
    first = long_queries(database, 60, [])
    steps = query_steps("slow_queries", first, 60)
    later = query_steps("slow_queries", [replace(first[0], thread=9, number=99), first[0]], 60)
    assert [(step.target, step.detail) for step in steps] == [(step.target, step.detail) for step in later]
    assert steps[0].target == "database user chom"


def test_a_database_that_refuses_is_quoted_harmlessly(database: FakeDatabase) -> None:
    database.code = 1
    with pytest.raises(StackError, match=r"Access denied\\x1b"):
        long_queries(database, 60, [])
