"""What is wrong with backups, and what is done about it. Pure: what was seen goes in, causes and steps come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.module_utils.backup_manifest import DATABASE, FILES, LOGS, POSTGRESQL, REDIS
from ansible.module_utils.host_step import NO_UNDO, Found, Step, measure
from ansible.module_utils.postgresql_state import part_name
from ansible.module_utils.stream_unit import FRESH_SECONDS
from ansible.module_utils.verify_facts import SourceFacts
from ansible.module_utils.verify_wal import WalFacts

DAMAGED, GAP, DOWN = "repository_damaged", "chain_gap", "stream_down"
OLD, RETENTION = "too_old", "retention_due"
FOLLOW, FORGET = "follow_log", "forget_snapshots"

_WORDS = {
    DATABASE: "the full copy",
    FILES: "the files",
    REDIS: "Redis",
    LOGS: "the binary logs",
    POSTGRESQL: "the copy of PostgreSQL",
}


def decide(facts: list[SourceFacts], settings: dict[str, Any]) -> Found:
    """Say what is wrong with the backups of which source."""
    found = Found(f"backups of {', '.join(one.name for one in facts)}")
    for cause, look in _looks(settings).items():
        evidence = [f"{one.name}: {said}" for one in facts for said in look(one)]
        if evidence:
            found.causes[cause] = evidence
    found.steps = [step for one in facts for step in _steps(one)]
    found.measures = [said for one in facts for said in measures(one, settings)]
    found.notes = [
        f"{one.name}: {one.future} snapshots say that they are of the future; they count for nothing"
        for one in facts
        if one.future
    ]
    found.enough = all(_cured_by_steps(one, settings) for one in facts)
    return found


def _looks(settings: dict[str, Any]) -> dict[str, Callable[[SourceFacts], list[str]]]:
    return {
        DAMAGED: damage,
        GAP: gap,
        DOWN: lambda one: stream_trouble(one, settings),
        OLD: lambda one: too_old(one, settings),
        RETENTION: retention,
    }


def damage(facts: SourceFacts) -> list[str]:
    """Return what is damaged in the repository."""
    return [facts.damage] if facts.damage else []


def gap(facts: SourceFacts) -> list[str]:
    """Return where the chain of MariaDB's logs breaks, and that of PostgreSQL's."""
    both = [facts.chain.trouble if facts.chain else "", facts.wal.trouble if facts.wal else ""]
    return [one for one in both if one]


def stream_trouble(facts: SourceFacts, settings: dict[str, Any]) -> list[str]:
    """Return what is wrong with the stream."""
    stream = facts.stream
    if stream is None:
        return []
    if stream.unit:
        return [stream.unit]
    behind = facts.now - stream.point
    said = []
    if behind > FRESH_SECONDS:
        said.append(f"it has not shown for {behind:.0f} s that it has everything{_because(stream.error)}")
    elif stream.lag > settings["lag_seconds"]:
        said.append(f"what is committed comes {stream.lag:.0f} s later")
    return [*said, *(words for words in (stream.broken, stream.semi_sync) if words)]


def _because(error: str) -> str:
    return f": {error}" if error else ""


def too_old(facts: SourceFacts, settings: dict[str, Any]) -> list[str]:
    """Return what is older than it may be."""
    if facts.chain is None:
        return []
    said = []
    limit = settings["rpo_minutes"] * 60.0 / 3
    if facts.now - facts.point > limit:
        said.append(f"the newest moment that can be restored is more than {limit:.0f} s ago")
    if facts.wal and facts.now - facts.wal.until > limit:
        said.append(f"the newest moment of PostgreSQL that can be restored is more than {limit:.0f} s ago")
    for kind, hours in limits_of(settings).items():
        made = facts.newest.get(kind)
        if made is not None and facts.now - made > hours * 3600.0:
            said.append(f"{_WORDS[kind]} are older than {hours} h" if kind == FILES else _older(kind, hours))
    return said


def _older(kind: str, hours: int) -> str:
    return f"{_WORDS[kind]} is older than {hours} h"


def limits_of(settings: dict[str, Any]) -> dict[str, int]:
    """Return after how many hours each kind is too old; the logs are too old by the recoverable point."""
    return {
        DATABASE: settings["database_hours"],
        FILES: settings["files_hours"],
        REDIS: settings["redis_hours"],
        POSTGRESQL: settings["postgresql_hours"],
    }


def retention(facts: SourceFacts) -> list[str]:
    """Return how much is out of its time."""
    return [f"{len(facts.removable)} snapshots are out of their time"] if facts.removable else []


def sound(facts: SourceFacts) -> bool:
    """Whether nothing speaks against removing what is old: of a damaged repository, or a broken chain, all is kept."""
    return not damage(facts) and not gap(facts)


def _steps(facts: SourceFacts) -> list[Step]:
    steps = []
    if facts.stream and needs_new_start(facts):
        step = Step(DOWN, FOLLOW, f"the binary log of {facts.name}", data={"source": facts.name})
        steps.append(step)
    if facts.removable and sound(facts):
        ids = [one.id for one in facts.removable]
        step = Step(
            RETENTION,
            FORGET,
            f"snapshots of {facts.name} that are out of their time",
            NO_UNDO,
            note=f"{len(ids)} now",
            data={"source": facts.name, "ids": ids},
        )
        steps.append(step)
    return steps


def needs_new_start(facts: SourceFacts) -> bool:
    """Whether writing and starting the unit can help: a server that does not answer is not helped by it."""
    stream = facts.stream
    if stream is None:
        return False
    return bool(stream.unit) or (facts.now - stream.point > FRESH_SECONDS and not stream.error)


def _cured_by_steps(facts: SourceFacts, settings: dict[str, Any]) -> bool:
    new_start = needs_new_start(facts)
    if not sound(facts) or (stream_trouble(facts, settings) and not new_start):
        return False
    limits = limits_of(settings)
    kinds = [kind for kind, made in facts.newest.items() if facts.now - made > limits.get(kind, 1e9) * 3600.0]
    if facts.wal and facts.now - facts.wal.until > settings["rpo_minutes"] * 60.0 / 3:
        return False  # no stream follows PostgreSQL
    return not kinds and (not too_old(facts, settings) or new_start)


def measures(facts: SourceFacts, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was measured of a source."""
    if facts.chain is None:
        return []
    limit = settings["rpo_minutes"] * 60.0 / 3
    age, chain = max(0.0, facts.now - facts.point), facts.chain
    share = facts.coverage.share(facts.now, _cycle(settings))
    found = [
        measure(f"recoverable point of {facts.name}, age", round(age, 3), "s", f"<= {limit:g}", ok=age <= limit),
        measure(f"window of {facts.name}, from", round(chain.since, 3), "epoch", "> 0", ok=chain.since > 0),
        measure(f"window of {facts.name}, to", round(facts.point, 3), "epoch", "> 0", ok=facts.point > 0),
        measure(f"ledger of {facts.name}", len(chain.ledger), "rows", ">= 0", ok=True),
        measure(f"data of {facts.name} that was read", round(100 * share, 1), "%", "100 in time", ok=not facts.damage),
    ]
    if facts.stream:
        lag, most = facts.stream.lag, settings["lag_seconds"]
        found.append(measure(f"stream of {facts.name}, lag", round(lag, 3), "s", f"<= {most}", ok=0 <= lag <= most))
    return found + (_of_wal(facts, facts.wal, limit) if facts.wal else [])


def _of_wal(facts: SourceFacts, wal: WalFacts, limit: float) -> list[dict[str, Any]]:
    name, age = part_name(facts.name), max(0.0, facts.now - wal.until)
    return [
        measure(f"recoverable point of {name}, age", round(age, 3), "s", f"<= {limit:g}", ok=age <= limit),
        measure(f"window of {name}, from", round(wal.since, 3), "epoch", "> 0", ok=wal.since > 0),
        measure(f"window of {name}, to", round(wal.until, 3), "epoch", "> 0", ok=wal.until > 0),
        measure(f"log of {name}", wal.segments, "segments", "> 0", ok=wal.segments > 0),
    ]


def _cycle(settings: dict[str, Any]) -> float:
    """Return within how many seconds every part is read, when a look comes at least twice a period."""
    return float(settings["read_parts"] * max(settings["read_hours"], 1) * 3600 * 1.5)
