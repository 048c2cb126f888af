"""Which backups are due, and where they go. Pure: what was seen goes in, causes and steps come out."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.backup_facts import Facts, Held, limits_of
from ansible.module_utils.backup_manifest import DATABASE, FILES, LOGS, POSTGRESQL, REDIS, WAL
from ansible.module_utils.host_step import Found, Step, measure

MAKE = "make_repository"
GONE = "repository_unreachable"
#: In this order: logs are shipped after the copy, so that the copy's content can be reached at once; and files, one of
#: which can vanish at the wrong moment, keep nothing else from being stored.
_DUE = {
    DATABASE: ("database_due", "copy_database"),
    LOGS: ("logs_due", "ship_logs"),
    REDIS: ("redis_due", "copy_redis"),
    POSTGRESQL: ("postgresql_due", "copy_postgresql"),
    WAL: ("wal_due", "ship_wal"),
    FILES: ("files_due", "copy_files"),
}
_WORDS = {
    FILES: "the files",
    REDIS: "Redis",
    DATABASE: "the database",
    LOGS: "the binary logs",
    POSTGRESQL: "PostgreSQL",
    WAL: "the write-ahead log",
}


def decide(facts: Facts, settings: dict[str, Any]) -> Found:
    """Say what is due in which repository."""
    usable = [one for one in facts.held if not one.trouble]
    found = Found(_summary(facts, settings), enough=len(usable) == len(facts.held))
    troubles = [one.trouble for one in facts.held if one.trouble]
    if troubles:
        found.causes[GONE] = troubles
    if facts.doubt:
        found.notes.append(f"whether the newest full copy leads on to now cannot be told: {facts.doubt}")
    limits = limits_of(settings)
    for kind, (cause, verb) in _DUE.items():
        if kind not in limits:
            continue
        found.measures += [_age(facts, one, kind, limits[kind]) for one in usable]
        due = [one for one in usable if _is_due(facts, one, kind, limits[kind])]
        if kind == DATABASE and facts.cut_off:
            due = usable
        if due:
            found.causes[cause] = _evidence(facts, due, kind, limits[kind])
            _make(found, due, cause)
            found.steps.append(_step(cause, verb, kind, due, settings["source"]))
    return found


def _make(found: Found, due: list[Held], cause: str) -> None:
    planned = {step.target for step in found.steps if step.verb == MAKE}
    new = [one.repository.name for one in due if one.missing and one.repository.name not in planned]
    found.steps += [Step(cause, MAKE, name, note="this host has never used it") for name in new]


def _step(cause: str, verb: str, kind: str, due: list[Held], source: str) -> Step:
    names = [one.repository.name for one in due]
    target = f"{_WORDS[kind]} of {source} into {' and '.join(names)}"
    return Step(cause, verb, target, data={"kind": kind, "repositories": names})


def _is_due(facts: Facts, held: Held, kind: str, limit: float) -> bool:
    age = held.age(kind, facts.now)
    return age is None or age >= limit


def _evidence(facts: Facts, due: list[Held], kind: str, limit: float) -> list[str]:
    late = [_late(facts, one, kind, limit) for one in due if _is_due(facts, one, kind, limit)]
    # What is late in every repository needs no further reason.
    return late if len(late) == len(due) else [*late, facts.cut_off]


def _late(facts: Facts, held: Held, kind: str, limit: float) -> str:
    age = held.age(kind, facts.now)
    if age is None:
        return f"{held.repository.name} has no backup of {_WORDS[kind]}"
    return f"the newest backup of {_WORDS[kind]} in {held.repository.name} is older than {_span(limit)}"


def _age(facts: Facts, held: Held, kind: str, limit: float) -> dict[str, Any]:
    age = held.age(kind, facts.now)
    hours = -1.0 if age is None else age / 3600
    return measure(
        f"age of {kind} in {held.repository.name}",
        round(hours, 3),
        "h",
        f"< {limit / 3600:g}",
        ok=0 <= hours < limit / 3600,
    )


def _span(seconds: float) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds / 60:g} min"


def _summary(facts: Facts, settings: dict[str, Any]) -> str:
    names = ", ".join(one.repository.name for one in facts.held)
    return f"{', '.join(_WORDS[kind] for kind in limits_of(settings))} of {settings['source']} in {names}"
