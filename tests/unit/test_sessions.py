"""How many sessions are started when many are wanted at once."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from remediate.adapters.ansible import sessions as module
from remediate.adapters.ansible.session import Session
from remediate.adapters.ansible.sessions import FREELY, Sessions
from remediate.catalog.settings import AnsibleSettings
from remediate.errors import ExecutorFailure


class Started:
    """Stands for a session, whose process is not what these tests are about."""

    made: list[Started]
    breaks = False

    def __init__(self, _settings: AnsibleSettings, connections: Path) -> None:
        if Started.breaks:
            raise ExecutorFailure("no process could be started")
        self.usable = True
        self.closed = False
        self.connections = connections
        Started.made.append(self)

    def close(self) -> None:
        self.closed = True


def stand_in(session: Session) -> Started:
    """Return what these tests were given as a session."""
    assert isinstance(session, Started)
    return session


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sessions]:
    Started.made, Started.breaks = [], False
    monkeypatch.setattr(module, "Session", Started)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.4)
    monkeypatch.setattr(module, "APART_SECONDS", 0.2)
    made = Sessions(AnsibleSettings())
    yield made
    made.close()


class Wanting:
    """Somebody who wants a session, in a thread, and gives it back when told."""

    def __init__(self, sessions: Sessions, stop: Event | None = None) -> None:
        self.got: list[Session] = []
        self.waited = 0.0
        self._sessions, self._stop, self._done = sessions, stop, Event()
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        began = time.monotonic()
        with self._sessions.one(self._stop) as session:
            self.waited = time.monotonic() - began
            self.got.append(session)
            self._done.wait(30)

    def has(self, within: float = 30.0) -> bool:
        deadline = time.monotonic() + within
        while not self.got and time.monotonic() < deadline:
            time.sleep(0.005)
        return bool(self.got)

    def give_back(self) -> None:
        self._done.set()
        self._thread.join(30)


def all_taken(sessions: Sessions) -> list[Wanting]:
    wanting = [Wanting(sessions) for _ in range(FREELY)]
    assert all(one.has() for one in wanting)
    return wanting


def test_as_many_as_the_processors_carry_are_started_at_once(sessions: Sessions) -> None:
    wanting = all_taken(sessions)

    assert len(Started.made) == FREELY
    assert max(one.waited for one in wanting) < module.PATIENCE_SECONDS


def test_one_more_takes_what_is_given_back_and_none_is_started(sessions: Sessions) -> None:
    first, *_ = all_taken(sessions)
    late = Wanting(sessions)
    assert not late.has(within=0.1)
    first.give_back()

    assert late.has()
    assert late.got == first.got
    assert len(Started.made) == FREELY


def test_whoever_waits_too_long_gets_another_one_and_the_next_one_a_moment_later(sessions: Sessions) -> None:
    all_taken(sessions)
    late = [Wanting(sessions) for _ in range(2)]
    assert all(one.has() for one in late)

    sooner, later = sorted(one.waited for one in late)
    assert sooner >= module.PATIENCE_SECONDS
    assert later - sooner >= module.APART_SECONDS * 0.9
    assert len(Started.made) == FREELY + 2


def test_nobody_waits_beyond_a_stop(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 3600.0)
    all_taken(sessions)
    stop = Event()
    late = Wanting(sessions, stop)
    assert not late.has(within=0.1)
    stop.set()

    assert late.has()


def test_one_that_was_used_up_is_closed_and_counts_no_more(sessions: Sessions) -> None:
    first, *_ = all_taken(sessions)
    (used,) = first.got
    used.usable = False
    first.give_back()

    assert [one.closed for one in Started.made].count(True) == 1
    fresh = Wanting(sessions)
    assert fresh.has()
    assert fresh.waited < module.PATIENCE_SECONDS
    assert fresh.got != [used]
    assert len(Started.made) == FREELY + 1


def test_one_that_cannot_be_started_takes_no_place(sessions: Sessions) -> None:
    Started.breaks = True
    for _ in range(FREELY + 1):
        with pytest.raises(ExecutorFailure, match="no process could be started"), sessions.one():
            pass
    Started.breaks = False

    all_taken(sessions)
    assert len(Started.made) == FREELY


def test_what_was_given_back_is_taken_before_another_is_started(sessions: Sessions) -> None:
    with sessions.one() as first:
        pass
    with sessions.one() as second:
        assert second is first
    assert len(Started.made) == 1


def kept_open(directory: Path) -> subprocess.Popen[bytes]:
    """Start a process that shows itself as ssh does when it keeps a connection open."""
    return subprocess.Popen([f"ssh: {directory}/0123abcdef [mux]", "60"], executable=shutil.which("sleep"))


def test_all_use_the_same_connections_which_end_with_the_program_and_nobody_elses_do(
    sessions: Sessions, tmp_path: Path
) -> None:
    with sessions.one() as first, sessions.one() as second:
        directory = stand_in(first).connections
        assert directory == stand_in(second).connections
    ours, theirs = kept_open(directory), kept_open(tmp_path)
    sessions.close()

    try:
        ours.wait(5)  # it would go on for a minute
        assert theirs.poll() is None
        assert not directory.exists()
    finally:
        theirs.kill()
        theirs.wait()


@pytest.mark.usefixtures("sessions")
def test_connections_end_with_the_last_session_and_the_next_one_has_new_ones() -> None:
    sessions = Sessions(AnsibleSettings(), idle_seconds=0.2)
    with sessions.one():
        with sessions.one() as other:
            old = stand_in(other).connections
        deadline = time.monotonic() + 10
        while not stand_in(other).closed and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.1)
        assert old.exists(), "somebody still has a session"
    deadline = time.monotonic() + 10
    while old.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not old.exists()
    with sessions.one() as fresh:
        assert stand_in(fresh).connections.exists()
    sessions.close()
