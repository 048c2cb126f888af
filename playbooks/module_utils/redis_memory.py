"""The memory of Redis: who holds it, and the caches emptied. Queues can be neither named nor emptied here."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.disk_candidate import readable_size, shown
from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Step, StepError, StepNotNeededError
from ansible.module_utils.remediate_stack import Stack, StackError

SERVICE = "redis"
#: What the application can make again; what logs users out. There is no third name: queues are nobody's to empty.
CACHES, SESSIONS = (0, 1), 3
_ALLOWED = frozenset((*CACHES, SESSIONS))
_SECONDS = 30.0
#: So many keys of a database are weighed to tell what all of them hold.
_WEIGHED = 200
_WEIGH = (
    "local sum, count = 0, tonumber(ARGV[1]) for _ = 1, count do local key = redis.call('RANDOMKEY') "
    "if not key then return 0 end sum = sum + (redis.call('MEMORY', 'USAGE', key) or 0) end "
    "return math.floor(sum / count)"
)
#: Queues of the framework, under whatever prefix. A cache that holds any is no cache.
_QUEUE_PATTERN = "*queues:*"
#: A database that gives less than this much of the limit is no cure.
_MATERIAL = 0.02
_MARGIN = 0.95


@dataclass(frozen=True)
class RedisUse:
    """What Redis holds, out of how much."""

    used: int
    limit: int
    #: Percent of the limit above which it is too much.
    most: float
    #: Whether the limit is Redis's own: at it, writes are refused or keys thrown away.
    own_limit: bool
    keys: dict[int, int] = field(default_factory=dict)
    #: Bytes by database, estimated; only of the databases that may be emptied, and only when there is too much.
    weights: dict[int, int] = field(default_factory=dict)

    @property
    def percent(self) -> float:
        """How much of the limit is used."""
        return 100 * self.used / self.limit

    @property
    def is_too_much(self) -> bool:
        """Whether something has to go."""
        return self.percent >= self.most

    def gives(self, *databases: int) -> int:
        """Return what emptying databases would free, about."""
        return sum(self.weights.get(database, 0) for database in databases)

    def is_enough(self, *databases: int) -> bool:
        """Return whether emptying these databases is expected to cure."""
        return 100 * (self.used - _MARGIN * self.gives(*databases)) / self.limit < self.most

    def material(self, database: int) -> bool:
        """Return whether a database holds enough to be worth emptying."""
        return self.gives(database) >= _MATERIAL * self.limit


def emptying(stack: Stack, database: int) -> None:
    """Empty one database that may be emptied, unless it turns out to hold queues."""
    _checked(database)
    found = _asked(stack, database, "--scan", "--pattern", _QUEUE_PATTERN).split("\n", 1)[0].strip()
    if found:
        raise StepError(
            f"Redis database {database} holds queues ({shown(found)[:80]}) and was left alone: give queues a database "
            "of their own"
        )
    _asked(stack, database, "FLUSHDB", "ASYNC")


def _checked(database: int) -> int:
    """Return the number of a database that may be emptied; there is no way around this."""
    if type(database) is not int or database not in _ALLOWED:
        raise StepError(f"Redis database {database!r} is never touched; nothing was done")
    return database


def _asked(stack: Stack, database: int, *words: str) -> str:
    code, output, errors = stack.exec(SERVICE, ["redis-cli", "-n", str(_checked(database)), *words], timeout=_SECONDS)
    answer = output.strip()
    # Its own errors it prints like answers, and ends well.
    refused = re.match(r"(?:\(error\) )?(ERR|NOAUTH|NOPERM|WRONGPASS|LOADING|MISCONF|OOM|NOSCRIPT)\b", answer)
    if code != 0 or refused:
        said = (errors.strip() or answer or "it printed nothing").splitlines()[-1]
        hint = "; give the service REDISCLI_AUTH in its environment" if "NOAUTH" in said else ""
        raise StackError(f"Redis does not answer: {shown(said)[:300]}{hint}")
    return answer


def redis_use(stack: Stack, own_limit: int, most: float) -> RedisUse:
    """Ask Redis what it holds; each database is weighed only when that is too much."""
    use = parsed(_asked(stack, 0, "INFO", "everything"), own_limit, most)
    if not use.is_too_much:
        return use
    filled = [database for database in _ALLOWED if use.keys.get(database)]
    weights = {database: use.keys[database] * _weight(stack, database) for database in filled}
    return RedisUse(use.used, use.limit, use.most, use.own_limit, use.keys, weights)


def _weight(stack: Stack, database: int) -> int:
    """Return the bytes that a key of a database takes, on average of some."""
    return int(_asked(stack, database, "EVAL_RO", _WEIGH, "0", str(_WEIGHED)).removeprefix("(integer) "))


def parsed(info: str, own_limit: int, most: float) -> RedisUse:
    """Return what Redis says about itself. Without a limit of its own, the inventory's counts."""
    pairs = dict(line.strip().split(":", 1) for line in info.splitlines() if ":" in line and not line.startswith("#"))
    try:
        used, limit = int(pairs["used_memory"]), int(pairs["maxmemory"])
    except (KeyError, ValueError) as error:
        raise StackError("what Redis says about its memory is not understood") from error
    keys = {int(found[1]): int(found[2]) for line in pairs.items() if (found := _keys(*line))}
    return RedisUse(used, limit or own_limit, most, bool(limit), keys)


def _keys(name: str, value: str) -> re.Match[str] | None:
    return re.fullmatch(r"db(\d+):keys=(\d+),.*", f"{name}:{value}")


def cache_steps(cause: str, use: RedisUse) -> list[Step]:
    """Return a step for each cache that holds something worth while."""
    return [
        Step(
            cause,
            "empty",
            f"Redis database {database} (cache)",
            note=f"about {readable_size(use.gives(database))} now; the application makes it again",
            data={"database": database, "most": use.most, "limit": use.limit},
        )
        for database in CACHES
        if use.material(database)
    ]


def session_step(cause: str, use: RedisUse) -> Step:
    """Return the step that logs everybody out."""
    return Step(
        cause,
        "empty",
        f"Redis database {SESSIONS} (sessions)",
        detail=("every user is logged out and has to log in again", "left out if the caches have given enough by then"),
        note=f"about {readable_size(use.gives(SESSIONS))} now",
        data={"database": SESSIONS, "most": use.most, "limit": use.limit},
    )


class Empty(Kind):
    """Empties a cache, or the sessions when emptying the caches was not enough."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self._stack = stack

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Empty it, and wait until the memory is really given back."""
        stack, database = stack_of(self._stack), _checked(step.data["database"])
        before = self._use(stack, step)
        if database == SESSIONS and not before.is_too_much:
            raise StepNotNeededError("emptying the caches was enough, so nobody is logged out")
        if not before.keys.get(database):
            return False  # emptied before a kill, or by itself
        emptying(stack, database)
        until = time.monotonic() + _SECONDS
        while self._use(stack, step).used >= before.used and time.monotonic() < until:
            time.sleep(0.3)
        return True

    def _use(self, stack: Stack, step: Step) -> RedisUse:
        return parsed(_asked(stack, 0, "INFO", "everything"), step.data["limit"], step.data["most"])
