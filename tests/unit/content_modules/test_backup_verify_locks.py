"""A lock is removed only when it is old, of this host, and of a process that is gone; and only when all of them are."""

from __future__ import annotations

import pytest
from ansible.module_utils.restic_locks import OLD_SECONDS, Lock, from_record, judge
from ansible.module_utils.restic_repository import seconds_of

NOW = 1_795_000_000.0
OLD, YOUNG = NOW - OLD_SECONDS - 60, NOW - 60
DEAD, ALIVE = 10, 20


def lock(refreshed: float = OLD, host: str = "here", pid: int = DEAD) -> Lock:
    return Lock("id", host, pid, refreshed)


def judged(*locks: Lock) -> tuple[bool, str]:
    verdict = judge(locks, NOW, "here", lambda pid: pid == ALIVE)
    return verdict.unlock, verdict.words


def test_an_old_lock_of_a_dead_process_of_this_host_is_removed() -> None:
    assert judged(lock()) == (True, "the lock of process 10 on here")


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (lock(pid=ALIVE), "its process is there"),
        (lock(host="there"), "look on there whether it works"),
        (lock(YOUNG), "left alone until it is 30 min old"),
        (lock(YOUNG, pid=ALIVE), "is in use"),
        (lock(YOUNG, host="there"), "is in use"),
    ],
)
def test_any_other_lock_stays_and_so_does_what_stands_beside_it(held: Lock, said: str) -> None:
    for locks in ([held], [lock(), held], [held, lock()]):
        unlock, words = judged(*locks)
        assert not unlock
        assert said in words


def test_without_locks_nothing_is_removed() -> None:
    assert judged() == (False, "")


def test_a_lock_is_read_as_restic_shows_it() -> None:
    record = {"time": "2026-11-28T03:34:28.715798301Z", "exclusive": False, "hostname": "mentat", "pid": 357}

    assert from_record("277", record, seconds_of) == Lock("277", "mentat", 357, pytest.approx(1795836868.7158))
