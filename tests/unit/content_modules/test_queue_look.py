"""How long queues are watched, what that proves, and what is said of a host that cannot be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible.module_utils import queue_check, queue_look
from ansible.module_utils.failed_jobs import Failed, FailedJobsError
from ansible.module_utils.host_checks import CANNOT_TELL, CURED, NOT_CURED, worst
from ansible.module_utils.host_step import Done, StepError
from ansible.module_utils.queue_jobs import Depth, Moment
from ansible.module_utils.queue_look import BUSY, IDLE, STUCK, TAKES, watch
from ansible.module_utils.queue_metrics import Counted
from ansible.module_utils.queue_redis import RedisState

SETTINGS: dict[str, Any] = {
    "queues": ["default"],
    "redis_port": 6379,
    "redis_db": 2,
    "redis_prefix": "",
    "redis_dump": "dump.rdb",
    "redis_aof": "",
    "database": "chom",
    "failed_table": "failed_jobs",
    "backlog": 1000,
    "drain": 300,
    "workers_add": 2,
    "workers_max": 4,
    "stuck": 1,
    "sample": 1,
    "poison_attempts": 10,
    "poison_failures": 10,
    "poison_ignore": [],
    "window": 0,
    "health_wait": 0,
}
STACK: dict[str, Any] = {
    "layout": "systemd",
    "services": ["queue", "redis"],
    "units": {"queue": "q@1.service", "redis": "r.service"},
    "project_dir": "",
    "compose_file": "",
    "health_url": "",
}


def moments(*depths: tuple[int, str, int]) -> Iterator[Moment]:
    """Yield moments with so many waiting jobs, this head, and so many that workers hold; the last one for ever."""
    last = None
    for at, (waiting, head, reserved) in enumerate(depths):
        last = Moment(float(at), (Depth("default", waiting, 0, reserved, 0, 0, head),))
        yield last
    while last:
        yield last


@pytest.mark.parametrize(
    ("seen", "pace"),
    [
        ([(0, "", 0)], IDLE),
        ([(3, "a", 0), (3, "a", 0), (3, "b", 0)], TAKES),
        ([(3, "a", 0), (4, "a", 0), (0, "", 0)], IDLE),
        ([(3, "a", 0), (4, "a", 0)], STUCK),
        ([(3, "a", 1)], BUSY),
    ],
)
def test_a_watch_ends_as_soon_as_it_knows(
    seen: list[tuple[int, str, int]], pace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = moments(*seen)
    monkeypatch.setattr(queue_look, "_moment", lambda *_: next(script))
    monkeypatch.setattr(queue_look, "_PAUSE", 0.01)
    assert watch(None, SETTINGS, 0.1).pace == pace


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layout": "none"}, "does not say what runs on this host"),
        ({"services": ["app"]}, "no service queue and no service redis"),
        ({"services": ["queue"]}, "no service redis, so queues cannot be looked at"),
    ],
)
def test_a_host_without_queues_says_what_to_set(change: dict[str, Any], said: str) -> None:
    with pytest.raises(StepError, match=said):
        queue_look.stack_with_queue(SETTINGS, {**STACK, **change})


def test_a_wrong_setting_ends_it_before_anything_is_asked() -> None:
    with pytest.raises(StepError, match="queue_failure_backlog is 0 and must be at least 1; nothing was done"):
        queue_look.look({**SETTINGS, "backlog": 0}, STACK)


def test_a_redis_that_cannot_save_is_not_restarted_but_told() -> None:
    with pytest.raises(StepError, match="refuses every write; nothing was done"):
        queue_look._writable(RedisState(cannot_save="rdb_last_bgsave_status is err"))


def test_queues_that_are_looked_for_in_the_wrong_place_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    empty, counted = next(moments((0, "", 0))), Counted(depth=40.0)
    monkeypatch.setattr(queue_look, "_moment", lambda *_: empty)
    monkeypatch.setattr(queue_look.queue_metrics, "ask", lambda _: counted)
    with pytest.raises(StepError, match="counts 40 jobs, and Redis database 2 has none under queues:default"):
        queue_look._see_the_right_database(None, SETTINGS, counted, empty)
    monkeypatch.setattr(queue_look.queue_metrics, "ask", lambda _: Counted(depth=0.0))
    queue_look._see_the_right_database(None, SETTINGS, counted, empty)


class Workers:
    """A stack whose workers run, and whose database says this about failed jobs."""

    services: tuple[str, ...] = ("queue", "redis", "mysql")

    def instances(self, _name: str) -> dict[str, Any]:
        return {"w1": type("State", (), {"running": True, "state": "running"})}


@pytest.mark.parametrize(
    ("failed", "verdict"),
    [
        (Failed({}, 9), CURED),
        (Failed({"A": 1}, 9), NOT_CURED),
        (FailedJobsError("failed jobs cannot be told: no"), CANNOT_TELL),
    ],
)
def test_a_failure_since_the_last_step_is_no_cure_and_one_that_cannot_be_told_no_proof(
    failed: Any, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def ask(_stack: Any, _settings: Any, seconds: int) -> Failed:
        asked.append(seconds)
        if isinstance(failed, Exception):
            raise failed
        return Failed(failed.recent, failed.total)

    monkeypatch.setattr(queue_check.failed_jobs, "ask", ask)
    since = queue_check._seconds_since(Done(at=100.0), {**SETTINGS, "window": 60})
    assert worst([queue_check.failures(Workers(), SETTINGS, since)]) == verdict
    assert asked == [60]


def test_without_a_database_nothing_is_proven() -> None:
    stack = Workers()
    stack.services = ("queue", "redis")
    assert queue_check.failures(stack, SETTINGS, 1)["verdict"] == CANNOT_TELL
