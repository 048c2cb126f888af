"""Which snapshots are out of their time. Pure: snapshots and a moment go in, what may be removed comes out.

Everything is counted back from this host's own clock, never from the newest snapshot: whoever has a source could store
snapshots of the future, and good ones would be counted out by them. A snapshot of the future counts for nothing here,
and stays until its time has come and gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from ansible.module_utils.backup_manifest import DATABASE, FILES, LOGS, POSTGRESQL, REDIS, WAL
from ansible.module_utils.restic_repository import Snapshot

HOUR, DAY = 3600.0, 86400.0
#: Two clocks may differ by so much.
SKEW = 300.0
KINDS = (DATABASE, LOGS, FILES, REDIS, POSTGRESQL, WAL)


@dataclass(frozen=True)
class Rule:
    """How long snapshots of a kind are kept, in seconds: all of them, one of each day, one of each month."""

    all_within: float
    daily_within: float = 0.0
    monthly_within: float = 0.0


def rules_of(settings: Mapping[str, int]) -> dict[str, Rule]:
    """Return the rule of each kind."""
    hours, months = settings["keep_hours"] * HOUR, settings["keep_months"] * 31 * DAY
    return {
        DATABASE: Rule(hours, settings["keep_days"] * DAY, months),
        REDIS: Rule(hours, settings["keep_days"] * DAY),
        FILES: Rule(hours, settings["keep_file_days"] * DAY, months),
        LOGS: Rule(settings["keep_log_days"] * DAY),
        POSTGRESQL: Rule(hours, settings["keep_days"] * DAY, months),
        WAL: Rule(settings["keep_log_days"] * DAY),
    }


def removable(
    snapshots: Iterable[Snapshot], now: float, rules: Mapping[str, Rule], protected: Collection[str]
) -> list[Snapshot]:
    """Return what may go, the oldest first: never the newest of its kind, and never what is protected (ids)."""
    gone: list[Snapshot] = []
    past = [one for one in snapshots if one.made <= now + SKEW]
    for kind, rule in rules.items():
        ours = sorted((one for one in past if kind_of(one) == kind), key=_order)
        kept = _kept(ours, now, rule) | set(protected)
        gone += [one for one in ours if one.id not in kept]
    return sorted(gone, key=_order)


def _kept(snapshots: list[Snapshot], now: float, rule: Rule) -> set[str]:
    """Return the ids of what the rule keeps of snapshots of one kind, sorted by time."""
    if not snapshots:
        return set()
    kept = {one.id for one in snapshots if one.made > now - rule.all_within} | {snapshots[-1].id}
    kept |= _last_of_each(snapshots, now - rule.daily_within, lambda one: int(one.made // DAY))
    return kept | _last_of_each(snapshots, now - rule.monthly_within, _month)


def _last_of_each(snapshots: list[Snapshot], since: float, part: Callable[[Snapshot], object]) -> set[str]:
    return set({part(one): one.id for one in snapshots if one.made > since}.values())


def _month(snapshot: Snapshot) -> tuple[int, int]:
    moment = time.gmtime(snapshot.made)
    return moment.tm_year, moment.tm_mon


def _order(snapshot: Snapshot) -> tuple[float, str]:
    return snapshot.made, snapshot.id


def kind_of(snapshot: Snapshot) -> str:
    """Return the kind of a snapshot, or nothing: what is of no kind or of several was not made by us, and stays."""
    kinds = [kind for kind in KINDS if kind in snapshot.tags]
    return kinds[0] if len(kinds) == 1 else ""


def due(
    snapshots: Collection[Snapshot],
    now: float,
    rules: Mapping[str, Rule],
    protected: Collection[str],
    slack: float,
) -> list[Snapshot]:
    """Return what may go when some of it has been out of its time for longer than the slack, else nothing.

    Something comes out of its time with every shipment of logs; removing it rewrites a part of the repository.
    """
    gone = removable(snapshots, now, rules, protected)
    late = {one.id for one in removable(snapshots, now - slack, rules, protected)}
    return gone if any(one.id in late for one in gone) else []


def proven(snapshots: Collection[Snapshot], backup: str, began: float) -> set[str]:
    """Return the ids of the last chain that a drill has found good: its full copy, and the newest of the others then.

    `backup` is the begin of the full copy's id, `began` when the drill did, in seconds since 1970.
    """
    copies = {one.id for one in snapshots if backup and one.id.startswith(backup)}
    if not copies:
        return set()
    others = sorted((one for one in snapshots if one.made <= began), key=_order)
    newest = {kind_of(one): one.id for one in others if kind_of(one) not in {"", DATABASE}}
    return copies | set(newest.values())
