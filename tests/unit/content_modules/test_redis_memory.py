"""The memory of Redis: caches go first, sessions only when they must, and queues cannot even be named."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import redis_memory
from ansible.module_utils.host_step import Step, StepError, StepNotNeededError
from ansible.module_utils.redis_memory import (
    Empty,
    RedisUse,
    cache_steps,
    emptying,
    parsed,
    redis_use,
    session_step,
)
from ansible.module_utils.remediate_stack import StackError

MIB = 1 << 20
MODULE_UTILS = Path(__file__).parents[3] / "playbooks" / "module_utils"


class FakeRedis:
    """Answers like redis-cli; its databases are sizes. What it is told is kept."""

    def __init__(self, maxmemory: int = 100 * MIB, **databases: int) -> None:
        self.maxmemory = maxmemory
        self.databases = {int(name.removeprefix("db")): size * MIB for name, size in databases.items()}
        self.queues_in: set[int] = set()
        self.asked: list[list[str]] = []
        self.refusal = ""

    def exec(self, name: str, argv: list[str], timeout: float) -> tuple[int, str, str]:
        assert name == "redis"
        self.asked.append(argv)
        assert argv[:2] == ["redis-cli", "-n"]
        if self.refusal:
            return 0, self.refusal, ""
        database, words = int(argv[2]), argv[3:]
        return (
            0,
            {"INFO": self.info, "--scan": self.scan, "FLUSHDB": self.flush, "EVAL_RO": self.weigh}[words[0]](database),
            "",
        )

    def info(self, _database: int) -> str:
        keys = [
            f"db{number}:keys={size // 1024},expires=0,avg_ttl=0" for number, size in self.databases.items() if size
        ]
        used = sum(self.databases.values())
        return (
            "\r\n".join(["# Memory", f"used_memory:{used}", f"maxmemory:{self.maxmemory}", "# Keyspace", *keys])
            + "\r\n"
        )

    def weigh(self, _database: int) -> str:
        return "1024\n"

    def scan(self, database: int) -> str:
        return "app_queues:default\n" if database in self.queues_in else "\n"

    def flush(self, database: int) -> str:
        self.databases[database] = 0
        return "OK\n"


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> FakeRedis:
    fake = FakeRedis(db0=5, db1=60, db2=20, db3=10)
    monkeypatch.setattr(redis_memory, "stack_of", lambda _stack: fake)
    monkeypatch.setattr(redis_memory, "_SECONDS", 0.1)
    return fake


@pytest.mark.parametrize("database", [2, "2", 4, -1, True, 2.0, None, "0", 15])
def test_no_command_can_name_a_database_that_is_neither_cache_nor_sessions(redis: FakeRedis, database: Any) -> None:
    acts: tuple[Callable[[], Any], ...] = (
        lambda: emptying(redis, database),
        lambda: redis_memory._asked(redis, database, "DBSIZE"),
        lambda: redis_memory._weight(redis, database),
        lambda: Empty({}).do(Step("c", "empty", "x", data={"database": database, "most": 90.0, "limit": 1}), {}),
    )
    for act in acts:
        with pytest.raises(StepError, match="never touched"):
            act()
    assert redis.asked == []


def test_every_way_to_redis_passes_the_check_and_names_no_other_command() -> None:
    """One place runs redis-cli in all that runs on hosts for this runbook, and nothing empties everything."""
    source = (MODULE_UTILS / "redis_memory.py").read_text()
    assert len(re.findall(r"redis-cli", source)) == 1
    assert "str(_checked(database))" in source
    assert not re.findall(r"FLUSHALL|SWAPDB|SELECT|\bMOVE\b|DEL\b|UNLINK", source)
    assert {0, 1, 3} == redis_memory._ALLOWED
    for name in ("resource_causes", "resource_checks", "resource_evidence", "host_scene", "high_resources_runbook"):
        assert "redis-cli" not in (MODULE_UTILS / f"{name}.py").read_text(), name


def test_whatever_is_done_queues_stay_as_they_are(redis: FakeRedis) -> None:
    use = redis_use(redis, 0, 90)
    for step in [*cache_steps("redis_memory", use), session_step("redis_sessions", use)]:
        try:
            Empty({}).do(step, {})
        except StepNotNeededError:
            continue
    assert redis.databases[2] == 20 * MIB
    assert {argv[2] for argv in redis.asked} <= {"0", "1", "3"}


def test_sessions_stay_when_the_caches_have_given_enough(redis: FakeRedis) -> None:
    use = redis_use(redis, 0, 90)
    assert use.is_enough(0, 1)
    for step in cache_steps("redis_memory", use):
        assert Empty({}).do(step, {})
    with pytest.raises(StepNotNeededError, match="nobody is logged out"):
        Empty({}).do(session_step("redis_sessions", use), {})
    assert redis.databases == {0: 0, 1: 0, 2: 20 * MIB, 3: 10 * MIB}


def test_sessions_go_when_the_caches_cannot_give_enough(redis: FakeRedis) -> None:
    redis.databases = {1: 3 * MIB, 2: 2 * MIB, 3: 90 * MIB}
    use = redis_use(redis, 0, 90)
    assert not use.is_enough(0, 1)
    assert use.is_enough(0, 1, 3)
    assert Empty({}).do(session_step("redis_sessions", use), {})
    assert redis.databases[3] == 0


def test_what_was_emptied_before_a_kill_is_not_emptied_again(redis: FakeRedis) -> None:
    (_, step) = cache_steps("redis_memory", redis_use(redis, 0, 90))
    assert Empty({}).do(step, {})
    told = len([argv for argv in redis.asked if "FLUSHDB" in argv])
    assert not Empty({}).do(step, {})
    assert len([argv for argv in redis.asked if "FLUSHDB" in argv]) == told


def test_a_cache_that_holds_queues_is_left_alone(redis: FakeRedis) -> None:
    redis.queues_in = {1}
    with pytest.raises(StepError, match=r"database 1 holds queues \(app_queues:default\) and was left alone"):
        Empty({}).do(cache_steps("redis_memory", redis_use(redis, 0, 90))[1], {})
    assert redis.databases[1] == 60 * MIB


def test_a_redis_with_room_is_not_weighed(redis: FakeRedis) -> None:
    redis.maxmemory = 1000 * MIB
    assert not redis_use(redis, 0, 90).is_too_much
    assert [argv[3] for argv in redis.asked] == ["INFO"]


def test_without_a_limit_of_its_own_the_inventorys_counts(redis: FakeRedis) -> None:
    redis.maxmemory = 0
    use = redis_use(redis, 100 * MIB, 90)
    assert (use.limit, use.own_limit, use.is_too_much) == (100 * MIB, False, True)


@pytest.mark.parametrize("said", ["(error) NOAUTH Authentication required.", "NOPERM no", "LOADING Redis is loading"])
def test_a_redis_that_refuses_is_said_to(redis: FakeRedis, said: str) -> None:
    redis.refusal = said
    with pytest.raises(StackError, match="Redis does not answer"):
        redis_use(redis, 0, 90)


def test_what_is_not_understood_is_an_error() -> None:
    with pytest.raises(StackError, match="not understood"):
        parsed("used_memory:many\n", 1, 90)


def test_what_people_approve_has_no_sizes_in_it(redis: FakeRedis) -> None:
    first = [step.target for step in cache_steps("redis_memory", redis_use(redis, 0, 90))]
    redis.databases[1] += 7 * MIB
    again = [step.target for step in cache_steps("redis_memory", redis_use(redis, 0, 90))]
    assert first == again == ["Redis database 0 (cache)", "Redis database 1 (cache)"]


def test_a_cache_that_holds_next_to_nothing_is_not_worth_emptying() -> None:
    use = RedisUse(95 * MIB, 100 * MIB, 90, own_limit=True, weights={0: 1000, 1: 50 * MIB})
    assert [step.data["database"] for step in cache_steps("redis_memory", use)] == [1]
