"""What all locks do: files, sessions of a database, and their twin in memory; and how each falls when it must."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest

from remediate.adapters.locks import FileLocks
from remediate.adapters.store.connection import open_database
from remediate.adapters.store.locks import AdvisoryLocks
from remediate.catalog.database import DatabaseSettings
from remediate.engine.ports import Locks
from remediate.errors import HostBusy, StateUnusable
from remediate.testing import MemoryLocks
from tests.postgres import PostgresServer

HOLDER = """
import sys
from pathlib import Path
from remediate.adapters.locks import FileLocks
from remediate.adapters.store import locks
from remediate.adapters.store.connection import open_database
from remediate.catalog.database import DatabaseSettings
locks._PING_SECONDS, locks._SILENCE_SECONDS = 0.1, 1
if sys.argv[2] == "files":
    held_in = FileLocks(Path(sys.argv[1]))
else:
    held_in = locks.AdvisoryLocks(open_database(Path(sys.argv[1]), DatabaseSettings.model_validate_json(sys.argv[2])))
with held_in.hold("other-run", ["near"]):
    print("held", flush=True)
    sys.stdin.read()
"""


ADVISORY = pytest.param("advisory", marks=pytest.mark.postgres)


@pytest.fixture(params=["files", "memory", ADVISORY])
def locks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Locks]:
    if request.param != "advisory":
        yield FileLocks(tmp_path / "locks") if request.param == "files" else MemoryLocks()
        return
    database = open_database(tmp_path, request.getfixturevalue("postgres"))
    yield AdvisoryLocks(database)
    database.dispose()


@pytest.fixture
def drop(locks: Locks, request: pytest.FixtureRequest) -> Callable[[str], None]:
    """How the locks of a run are lost: the server ends its session."""
    if isinstance(locks, MemoryLocks):
        return locks.lose
    server: PostgresServer = request.getfixturevalue("postgres_server")
    end = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'remediate run {}'"
    return lambda run_id: None if server.execute(end.format(run_id)) == [(True,)] else pytest.fail("nothing was held")


def _hold_when_free(locks: Locks, host: str) -> None:
    """Hold a host as soon as it is free: a server notices the end of a process a moment later than the kernel."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(HostBusy), locks.hold("a", [host]):
            return
    pytest.fail("the host stayed locked")


def test_a_run_is_alive_while_it_holds_its_lock(locks: Locks) -> None:
    with locks.hold("a", ["near"]):
        during = locks.alive("a")

    assert (during, locks.alive("a"), locks.alive("never")) == (True, False, False)


def test_a_second_run_on_the_same_host_is_told_which_run_is_at_work(locks: Locks) -> None:
    with (
        locks.hold("a", ["far", "near"]),
        pytest.raises(HostBusy, match="near is being worked on by run a; nothing was done") as refused,
        locks.hold("b", ["near"]),
    ):
        pytest.fail("the host was worked on twice")

    assert refused.value.next_step == "watch it with `remediate runs show a`"


def test_runs_on_different_hosts_go_on_side_by_side(locks: Locks) -> None:
    with locks.hold("a", ["near"]), locks.hold("b", ["far"]):
        assert (locks.alive("a"), locks.alive("b")) == (True, True)


def test_the_same_run_is_carried_only_once(locks: Locks) -> None:
    with locks.hold("a", ["near"]), pytest.raises(HostBusy, match="run a is being worked on"), locks.hold("a", []):
        pytest.fail("the run was carried twice")


def test_a_refused_run_holds_none_of_its_locks(locks: Locks) -> None:
    with locks.hold("a", ["near"]):
        with pytest.raises(HostBusy), locks.hold("b", ["far", "near"]):
            pytest.fail("the host was worked on twice")
        alive = locks.alive("b")
        with locks.hold("c", ["far"]):
            pass

    assert not alive


def test_the_holder_that_is_named_is_the_one_of_now_and_nothing_of_one_before(locks: Locks) -> None:
    with locks.hold("a-run-with-a-longer-name", ["near"]):
        pass
    with (
        locks.hold("a", ["near"]),
        pytest.raises(HostBusy, match="near is being worked on by run a; nothing was done"),
        locks.hold("b", ["near"]),
    ):
        pytest.fail("the host was worked on twice")


def test_a_walk_that_raises_leaves_its_host_free(locks: Locks) -> None:
    with pytest.raises(ZeroDivisionError), locks.hold("a", ["near"]):
        raise ZeroDivisionError

    with locks.hold("b", ["near"]):
        assert not locks.alive("a")


def test_asking_whether_a_run_is_alive_does_not_change_who_is_named_as_its_holder(locks: Locks) -> None:
    with locks.hold("a", ["near"]):
        locks.alive("a")
        locks.alive("b")
        with pytest.raises(HostBusy, match="by run a;"), locks.hold("b", ["near"]):
            pytest.fail("the host was worked on twice")


@pytest.fixture
def other_process(locks: Locks, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the host `near` in the same locks."""
    where = [str(tmp_path / "locks"), "files"]
    if isinstance(locks, AdvisoryLocks):
        where = [str(tmp_path), request.getfixturevalue("postgres").model_dump_json(by_alias=True)]
    command = [sys.executable, "-c", HOLDER, *where]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
        holder.kill()


@pytest.mark.parametrize("locks", ["files", ADVISORY], indirect=True)
def test_a_lock_of_another_process_is_seen_and_falls_when_it_is_killed(
    locks: Locks, other_process: subprocess.Popen[str]
) -> None:
    alive_before = locks.alive("other-run")
    with pytest.raises(HostBusy, match="near is being worked on by run other-run"), locks.hold("a", ["near"]):
        pytest.fail("the host was worked on twice")
    other_process.send_signal(signal.SIGKILL)
    other_process.wait()

    _hold_when_free(locks, "near")
    assert (alive_before, locks.alive("other-run")) == (True, False)


@pytest.mark.parametrize("locks", [ADVISORY], indirect=True)
def test_a_process_that_was_stopped_loses_its_locks_and_knows_it_when_it_goes_on(
    locks: Locks, other_process: subprocess.Popen[str]
) -> None:
    other_process.send_signal(signal.SIGSTOP)
    _hold_when_free(locks, "near")
    other_process.send_signal(signal.SIGCONT)
    _, said = other_process.communicate("")

    assert "StateUnusable: The database dropped the locks of run other-run while it was at work" in said


@pytest.mark.parametrize("locks", ["memory", ADVISORY], indirect=True)
def test_locks_that_are_lost_say_so_at_once_and_at_the_end_and_others_may_go_on(
    locks: Locks, drop: Callable[[str], None]
) -> None:
    lost = Event()

    def work() -> None:
        with locks.hold("a", ["near"], lost=lost):
            drop("a")
            assert lost.wait(60)
            with locks.hold("b", ["near"]):
                assert (locks.alive("a"), locks.alive("b")) == (False, True)

    with pytest.raises(StateUnusable, match=r"locks of run a .* so the work was stopped"):
        work()
    with locks.hold("a", ["near"]):
        assert locks.alive("a")


@pytest.mark.parametrize("locks", ["memory", ADVISORY], indirect=True)
def test_work_that_fails_by_itself_says_why_though_its_locks_were_lost_too(
    locks: Locks, drop: Callable[[str], None]
) -> None:
    lost = Event()

    def work() -> None:
        with locks.hold("a", ["near"], lost=lost):
            drop("a")
            assert lost.wait(60)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()


@pytest.mark.parametrize("locks", ["memory", ADVISORY], indirect=True)
def test_locks_that_are_dropped_just_before_the_end_are_told(locks: Locks, drop: Callable[[str], None]) -> None:
    lost = Event()

    def work() -> None:
        with locks.hold("a", ["near"], lost=lost):
            drop("a")

    with pytest.raises(StateUnusable):
        work()
    assert lost.is_set()


def test_locks_that_were_held_to_the_end_were_not_lost(locks: Locks) -> None:
    lost = Event()
    with locks.hold("a", ["near"], lost=lost):
        pass

    assert not lost.is_set()


@pytest.mark.postgres
def test_two_sites_in_one_database_do_not_know_each_other(tmp_path: Path, postgres: DatabaseSettings) -> None:
    other = postgres.model_copy(update={"schema_name": "other"})
    databases = [open_database(tmp_path, settings) for settings in (postgres, other)]
    ours, theirs = (AdvisoryLocks(database) for database in databases)
    with ours.hold("a", ["near"]), theirs.hold("b", ["near"]):
        alive = theirs.alive("a")
    for database in databases:
        database.dispose()

    assert not alive


def test_lock_files_are_private_and_never_follow_a_planted_link(tmp_path: Path) -> None:
    directory = tmp_path / "locks"
    with FileLocks(directory).hold("a", ["near"]):
        modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}
    (directory / "host-far").symlink_to(tmp_path / "victim")

    with pytest.raises(StateUnusable, match="host-far cannot be used"), FileLocks(directory).hold("b", ["far"]):
        pytest.fail("a planted link was followed")
    assert modes == {"run-a": 0o600, "host-near": 0o600}
    assert directory.stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "victim").exists()
