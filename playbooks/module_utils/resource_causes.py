"""What a host is short of, and because of what: decided from one look, without touching anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from ansible.module_utils.database_queries import query_steps
from ansible.module_utils.disk_candidate import readable_size
from ansible.module_utils.host_scene import NGINX, PHP, WORKER, Scene
from ansible.module_utils.host_step import Found, Step, StepError, measure
from ansible.module_utils.process_ending import ending_steps
from ansible.module_utils.process_table import Use
from ansible.module_utils.redis_memory import SESSIONS, RedisUse, cache_steps, session_step

_PHP_CHILD = "php-fpm"
#: So many of the same kind are shown one by one.
_SHOWN = 5
_Settings = dict[str, Any]


def is_short_of_cpu(scene: Scene, settings: _Settings) -> bool:
    """Return whether the host has less CPU left than it should have."""
    host = scene.pressure
    return host.cpu >= settings["cpu_target"] or host.load >= load_limit(scene, settings)


def load_limit(scene: Scene, settings: _Settings) -> float:
    """Return how much load is well: there may be as many who want a core as there are cores."""
    return float(max(settings["load_target"], scene.pressure.cores))


def children(scene: Scene) -> list[Use]:
    """Return what the children of PHP-FPM used: they serve requests, the process above them does not."""
    found = [use for use in scene.of(PHP) if use.process.name.startswith(_PHP_CHILD)]
    numbers = {use.process.pid for use in found}
    return [use for use in found if use.process.parent in numbers]


def php_runaway(scene: Scene, settings: _Settings) -> list[str]:
    """Return evidence that children of PHP-FPM run away: with CPU on a host that is short of it, or with memory."""
    short = is_short_of_cpu(scene, settings)
    burning = [use for use in children(scene) if short and use.wanted >= settings["process_cpu"]]
    large = [use for use in children(scene) if use.process.memory >= settings["php_memory"]]
    return [
        *_each(
            burning, lambda use: f"PHP-FPM child {use.process.pid} wants {use.wanted:.0f} % of a core without a pause"
        ),
        *_each(
            large, lambda use: f"PHP-FPM child {use.process.pid} holds {readable_size(use.process.memory)} of memory"
        ),
    ]


def worker_leak(scene: Scene, settings: _Settings) -> list[str]:
    """Return evidence that a queue worker keeps what it should give back."""
    large = [use for use in scene.of(WORKER) if use.process.memory >= settings["worker_memory"]]
    most = readable_size(settings["worker_memory"])
    return _each(
        large, lambda use: f"queue worker {use.process.pid} holds {readable_size(use.process.memory)}, more than {most}"
    )


def nginx_saturated(scene: Scene, settings: _Settings) -> list[str]:
    """Return evidence that nginx has no connections left to give."""
    seen = scene.nginx
    if seen is None or seen.percent < settings["nginx_percent"]:
        return []
    full = [pid for pid, count in seen.open.items() if 100 * count >= settings["nginx_percent"] * seen.per_worker]
    return _each(full, lambda pid: f"worker {pid} has {seen.open[pid]} of {seen.per_worker} connections")


def slow_queries(scene: Scene, _settings: _Settings) -> list[str]:
    """Return evidence of queries that run for too long."""
    return _each(
        scene.queries or [],
        lambda one: f"a query of {one.user!r} has run for {one.age:.0f} s: {one.shape or 'its text is hidden'}",
    )


def redis_memory(scene: Scene, _settings: _Settings) -> list[str]:
    """Return evidence that Redis is full and that its caches hold something of it, or nobody else does."""
    use = scene.redis
    if use is None or not use.is_too_much:
        return []
    if not cache_steps("", use) and _is_sessions(scene):
        return []
    return [_redis_says(use), f"the caches hold about {readable_size(use.gives(0, 1))} of it"]


def redis_sessions(scene: Scene, _settings: _Settings) -> list[str]:
    """Return evidence that Redis is full, that its caches cannot give enough, and that sessions can."""
    if not _is_sessions(scene) or scene.redis is None:
        return []
    use = scene.redis
    caches, sessions = readable_size(use.gives(0, 1)), readable_size(use.gives(SESSIONS))
    return [_redis_says(use), f"the caches hold about {caches} of it, which is not enough; the sessions {sessions}"]


def _is_sessions(scene: Scene) -> bool:
    use = scene.redis
    return bool(use and use.is_too_much and not use.is_enough(0, 1) and use.material(SESSIONS))


def _redis_says(use: RedisUse) -> str:
    whose = "its own limit" if use.own_limit else "the inventory's limit"
    return f"Redis holds {readable_size(use.used)}, {use.percent:.0f} % of {whose} of {readable_size(use.limit)}"


def foreign_process(scene: Scene, settings: _Settings) -> list[str]:
    """Return evidence of processes outside of the stack that take what it needs."""
    return _each(foreign(scene, settings), _says_foreign)


def _says_foreign(use: Use) -> str:
    one = use.process
    return (
        f"{one.name}, process {one.pid} of user {one.uid} outside of the stack, wants {use.wanted:.0f} % of a core and "
        f"holds {readable_size(one.memory)}, since {one.age:.0f} s"
    )


def foreign(scene: Scene, settings: _Settings) -> list[Use]:
    """Return who takes much, is there for long, and is of no use to this host."""
    return [use for use in greedy(scene, settings) if not scene.owners.reason_to_spare(use.process)]


def greedy(scene: Scene, settings: _Settings) -> list[Use]:
    """Return who takes much of what the host is short of, for longer than a moment."""
    host = scene.pressure
    cpu = is_short_of_cpu(scene, settings)
    memory = host.memory >= settings["memory_target"]
    most = settings["foreign_memory"] / 100 * host.memory_bytes
    old = [use for use in scene.uses if use.process.age >= settings["foreign_age"]]
    return [
        use for use in old if (cpu and use.wanted >= settings["process_cpu"]) or (memory and use.process.memory >= most)
    ]


def _each(found: Iterable[Any], says: Callable[[Any], str]) -> list[str]:
    listed = list(found)
    more = [f"and {len(listed) - _SHOWN} more"] if len(listed) > _SHOWN else []
    return [says(one) for one in listed[:_SHOWN]] + more


#: Every cause with how it is told, in the order in which they are cured: what needs nobody's approval first.
CAUSES: dict[str, Callable[[Scene, _Settings], list[str]]] = {
    "php_runaway": php_runaway,
    "worker_leak": worker_leak,
    "nginx_saturated": nginx_saturated,
    "slow_queries": slow_queries,
    "redis_memory": redis_memory,
    "redis_sessions": redis_sessions,
    "foreign_process": foreign_process,
}


def causes(scene: Scene, settings: _Settings) -> dict[str, list[str]]:
    """Return the causes that there is evidence for, with it."""
    told = {cause: tell(scene, settings) for cause, tell in CAUSES.items()}
    return {cause: evidence for cause, evidence in told.items() if evidence}


def steps(scene: Scene, settings: _Settings, found: Iterable[str], worker: Callable[[], Step | None]) -> list[Step]:
    """Return what cures these causes; `worker` returns how the worker gets its limits, if it has none."""
    makers: dict[str, Callable[[str], list[Step]]] = {
        "php_runaway": lambda cause: [Step(cause, "reload", PHP, note="requests that are being served may be cut off")],
        "worker_leak": lambda cause: [worker() or Step(cause, "restart", WORKER, note="its limits are set already")],
        "nginx_saturated": lambda cause: [Step(cause, "reload", NGINX, note="new workers take new connections")],
        "slow_queries": lambda cause: query_steps(cause, scene.queries or [], settings["query_seconds"]),
        "redis_memory": lambda cause: cache_steps(cause, scene.redis) if scene.redis else [],
        "redis_sessions": lambda cause: [session_step(cause, scene.redis)] if scene.redis else [],
        "foreign_process": lambda cause: ending_steps(cause, foreign(scene, settings)),
    }
    return [step for cause in found for step in makers[cause](cause)]


def found(scene: Scene, settings: _Settings, worker: Callable[[], Step | None]) -> Found:
    """Return what one look told, with what would be done; raise where the host is ill and nobody can say of what."""
    told = causes(scene, settings)
    if not told:
        refuse_to_guess(scene, settings)
        return Found(summary(scene), measures=measures(scene, settings), notes=notes(scene, settings))
    todo = steps(scene, settings, told, worker)
    if todo:
        todo.insert(0, evidence_step(next(iter(told))))
    enough = all(any(step.cause == cause for step in todo) for cause in told) and _redis_is_enough(scene)
    return Found(
        summary(scene),
        told,
        todo,
        measures(scene, settings),
        [*notes(scene, settings), *_redis_notes(scene)],
        enough,
    )


def evidence_step(cause: str) -> Step:
    """Return the step that keeps what can be seen now; a restart takes it away."""
    return Step(
        cause,
        "keep evidence of",
        "this host",
        detail=("processes, memory map, use by service, long queries",),
        note="written before anything is done",
    )


def _redis_is_enough(scene: Scene) -> bool:
    use = scene.redis
    return use is None or not use.is_too_much or use.is_enough(0, 1, SESSIONS)


def _redis_notes(scene: Scene) -> list[str]:
    if _redis_is_enough(scene):
        return []
    return [
        (
            "Redis: caches and sessions hold too little, most of it is queues or other data; those are never emptied: "
            "see queue-failure, or raise maxmemory"
        )
    ]


def summary(scene: Scene) -> str:
    """Return the host in one line."""
    host = scene.pressure
    whose = "" if host.alone else " (of this host's own processes)"
    return f"CPU {host.cpu:.0f} %, load {host.load:.1f} on {host.cores} cores, memory {host.memory:.0f} %{whose}"


def measures(scene: Scene, settings: _Settings) -> list[dict[str, Any]]:
    """Return what was measured of the host, and what it should be."""
    host, limit = scene.pressure, load_limit(scene, settings)
    rows = [
        ("CPU", host.cpu, "%", settings["cpu_target"]),
        ("load", host.load, "", limit),
        ("memory", host.memory, "%", settings["memory_target"]),
    ]
    return [measure(name, round(value, 2), unit, f"< {most:g}", ok=value < most) for name, value, unit, most in rows]


def notes(scene: Scene, settings: _Settings) -> list[str]:
    """Return what else a human should know: what could not be seen, and who is spared although greedy."""
    spared = [
        f"{use.process.name} (process {use.process.pid}) wants {use.wanted:.0f} % of a core, is never ended: {reason}"
        for use in greedy(scene, settings)
        if (reason := scene.owners.reason_to_spare(use.process)) and not reason.startswith("it belongs to")
    ]
    return [*scene.unseen.values(), *spared[:_SHOWN]]


def refuse_to_guess(scene: Scene, settings: _Settings) -> None:
    """Raise where the host is as ill as its alerts say, but none of the causes is there."""
    host = scene.pressure
    ill = {"CPU": host.cpu >= settings["cpu_alarm"], "memory": host.memory >= settings["memory_alarm"]}
    if any(ill.values()):
        what = " and ".join(name for name, is_ill in ill.items() if is_ill)
        who = ", ".join(f"{use.process.name} {use.wanted:.0f} %" for use in scene.uses[:3])
        large = sorted(scene.uses, key=lambda use: -use.process.memory)[:3]
        sizes = ", ".join(f"{use.process.name} {readable_size(use.process.memory)}" for use in large)
        unseen = f"; {'; '.join(scene.unseen.values())}" if scene.unseen else ""
        raise StepError(
            f"the host is short of {what} ({summary(scene)}), but none of the causes that this runbook tells apart is "
            f"there; nothing was done, a human must look: greediest are {who}; largest are {sizes}{unseen}"
        )


def of_services(scene: Scene) -> dict[str, dict[str, float]]:
    """Return what each service uses as a whole."""
    owners = {use.process.key: scene.owners.service(use.process) or "outside of the stack" for use in scene.uses}
    found: dict[str, dict[str, float]] = {}
    for use in scene.uses:
        sums = found.setdefault(owners[use.process.key], {"processes": 0, "cpu": 0.0, "wanted": 0.0, "memory": 0})
        for name, value in (("processes", 1), ("cpu", use.cpu), ("wanted", use.wanted), ("memory", use.process.memory)):
            sums[name] = round(sums[name] + value, 1)
    return json.loads(json.dumps(found))
