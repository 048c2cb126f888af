"""What waits in Laravel's queues in Redis: how many jobs, which classes, how often each was tried. Reads only."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.redis_wire import Redis

#: So many jobs of each end of a list, and of each set, are looked into.
_LOOKED_AT = 1000
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Depth:
    """One queue at one moment."""

    name: str
    #: Jobs in the list that workers take from.
    waiting: int
    #: Jobs that are to be done later, or again later.
    delayed: int
    #: Jobs that a worker has taken.
    reserved: int
    #: Delayed and reserved jobs whose time has come, so that the next worker that looks puts them back into the list.
    overdue: int
    #: Reserved jobs whose time has come: whoever took them is gone or hangs.
    abandoned: int
    #: Changes as soon as a worker takes a job.
    head: str

    @property
    def due(self) -> int:
        """How many jobs could be worked on now."""
        return self.waiting + self.overdue

    @property
    def total(self) -> int:
        """How many jobs there are."""
        return self.waiting + self.delayed + self.reserved


@dataclass(frozen=True)
class Moment:
    """All queues at one moment."""

    at: float
    queues: tuple[Depth, ...]

    def sum(self, what: str) -> int:
        """Return a number of jobs over all queues."""
        return sum(int(getattr(one, what)) for one in self.queues)


@dataclass(frozen=True)
class JobClass:
    """The jobs of one class, as far as they were looked into."""

    name: str
    jobs: int
    #: How often the one that was tried most was tried.
    attempts: int
    #: How many were tried at least as often as makes them suspicious.
    tried_often: int
    queues: tuple[str, ...]

    @property
    def label(self) -> str:
        """The name, safe to show."""
        return shown(self.name)[:_LONGEST_NAME]


def list_key(prefix: str, queue: str) -> str:
    """Return where the jobs of a queue wait."""
    return f"{prefix}queues:{queue}"


def look(redis: Redis, prefix: str, queues: Iterable[str]) -> Moment:
    """Count what is in the queues."""
    now = time.time()
    return Moment(time.monotonic(), tuple(_depth(redis, list_key(prefix, queue), queue, now) for queue in queues))


def _depth(redis: Redis, key: str, queue: str, now: float) -> Depth:
    delayed_due = redis.command("ZCOUNT", f"{key}:delayed", "-inf", now)
    abandoned = redis.command("ZCOUNT", f"{key}:reserved", "-inf", now)
    head = redis.command("LINDEX", key, 0) or b""
    reserved = redis.command("ZRANGE", f"{key}:reserved", 0, 99)
    mark = hashlib.sha256(b"\0".join([head, *reserved])).hexdigest()
    return Depth(
        name=queue,
        waiting=redis.command("LLEN", key),
        delayed=redis.command("ZCARD", f"{key}:delayed"),
        reserved=redis.command("ZCARD", f"{key}:reserved"),
        overdue=delayed_due + abandoned,
        abandoned=abandoned,
        head=mark if head or reserved else "",
    )


def moved(first: Moment, last: Moment) -> bool:
    """Return whether a worker has taken or finished a job between two moments; jobs that only came do not count."""
    pairs = list(zip(first.queues, last.queues, strict=True))
    return any((was.head and was.head != now.head) or now.waiting < was.waiting for was, now in pairs) or any(
        now.overdue < was.overdue for was, now in pairs
    )


def falls(first: Moment, last: Moment) -> float:
    """Return by how many jobs a second the queues become shorter, all in all; negative when they grow."""
    return (first.sum("due") - last.sum("due")) / max(last.at - first.at, 0.001)


def classes(redis: Redis, prefix: str, queues: Iterable[str], often: int) -> tuple[JobClass, ...]:
    """Look into jobs, and return their classes, those that were tried most often first."""
    found: dict[str, list[tuple[str, int]]] = {}
    for queue in queues:
        for payload in _payloads(redis, list_key(prefix, queue)):
            name, attempts = class_of(payload)
            if name:
                found.setdefault(name, []).append((queue, attempts))
    listed = [
        JobClass(
            name,
            len(jobs),
            max(attempts for _, attempts in jobs),
            sum(attempts >= often for _, attempts in jobs),
            tuple(dict.fromkeys(queue for queue, _ in jobs)),
        )
        for name, jobs in found.items()
    ]
    return tuple(sorted(listed, key=lambda one: (-one.attempts, one.name)))


def _payloads(redis: Redis, key: str) -> list[bytes]:
    length = redis.command("LLEN", key)
    ends = redis.command("LRANGE", key, 0, _LOOKED_AT - 1)
    if length > _LOOKED_AT:
        ends += redis.command("LRANGE", key, max(_LOOKED_AT, length - _LOOKED_AT), -1)
    sets = [redis.command("ZRANGE", f"{key}:{part}", 0, _LOOKED_AT - 1) for part in ("delayed", "reserved")]
    return [*ends, *sets[0], *sets[1]]


def class_of(payload: bytes) -> tuple[str, int]:
    """Return the class of a job and how often it was tried; no name for what is no job of Laravel."""
    try:
        job: Any = json.loads(payload.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return "", 0
    if not isinstance(job, dict):
        return "", 0
    names = [job.get("displayName"), job.get("job")]
    name = next((one for one in names if isinstance(one, str) and one), "")
    attempts = job.get("attempts")
    tried = int(attempts) if isinstance(attempts, int | float) and 0 <= attempts < 1e9 else 0
    try:
        name.encode()
    except UnicodeEncodeError:
        return "", 0  # half a character: Redis would not find it again under this name
    return name, tried
