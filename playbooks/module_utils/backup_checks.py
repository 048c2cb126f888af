"""What proves a backup that was just made: it is in every repository, complete by its manifest, and new enough."""

from __future__ import annotations

import os
from typing import Any

from ansible.module_utils import backup_facts, backup_manifest, host_metrics, postgresql_state
from ansible.module_utils.backup_facts import Facts, Held
from ansible.module_utils.backup_manifest import BadManifestError
from ansible.module_utils.backup_shelf import manifest_of
from ansible.module_utils.host_checks import CURED, NOT_CURED, Check, check
from ansible.module_utils.host_step import Seen, measure
from ansible.module_utils.restic_repository import RepositoryError, Snapshot

#: What was new enough when a run began, so that it made no other, may have become too old since: the proof gives it as
#: long as the phases of a run may take. How old backups are at every moment, the metrics and backup-verify tell.
_RUN_SECONDS = 65 * 60.0
#: Whoever gives no time wants a backup now; monitoring, which has no use for that, is told this.
_NOW_SECONDS = 3600.0


def seen(settings: dict[str, Any]) -> Seen:
    """Look at every repository."""
    facts = backup_facts.look(settings)
    found = Seen()
    for held in facts.held:
        if held.trouble or held.missing:
            found.checks.append(check(held.repository.name, NOT_CURED, held.trouble or "there is no repository"))
            continue
        for kind, wanted in backup_facts.limits_of(settings).items():
            limit = wanted + _RUN_SECONDS
            found.checks.append(_look(facts, held, kind, limit))
            found.measures += _measures(facts, held, kind, limit)
    return found


def show(settings: dict[str, Any]) -> None:
    """Show to the monitoring when the newest backup of each kind was made, and how old it may become."""
    samples: list[tuple[str, dict[str, str], float]] = []
    facts = backup_facts.look(settings)
    for held in facts.held:
        for kind, limit in backup_facts.limits_of(settings).items():
            about = {"source": settings["source"], "repository": held.repository.name, "kind": kind}
            made = held.newest[kind].made if kind in held.newest else 0.0
            samples.append(("remediate_backup_made_timestamp_seconds", about, made))
            samples.append(("remediate_backup_limit_seconds", about, limit or _NOW_SECONDS))
    host_metrics.show(settings["metrics_file"], samples)


def _look(facts: Facts, held: Held, kind: str, limit: float) -> Check:
    name = f"{kind} in {held.repository.name}"
    age = held.age(kind, facts.now)
    if age is None:
        return check(name, NOT_CURED, "there is none")
    if age >= limit:
        return check(name, NOT_CURED, f"the newest is {age / 60:.0f} min old")
    try:
        trouble = _trouble(held, held.newest[kind])
    except RepositoryError as error:
        trouble = str(error)
    return check(name, NOT_CURED, trouble) if trouble else check(name, CURED, "it is there as its manifest says")


def _trouble(held: Held, snapshot: Snapshot) -> str:
    """Return what the snapshot lacks of what its manifest says, or nothing."""
    content = held.repository.content(snapshot.id)
    path = manifest_of(snapshot)
    if path not in content:
        return f"snapshot {snapshot.id[:8]} has no manifest"
    try:
        manifest = backup_manifest.read(held.repository.read(snapshot.id, path), f"snapshot {snapshot.id[:8]}")
    except BadManifestError as error:
        return str(error)
    if state := manifest.postgresql:
        said = postgresql_state.lacking(state, postgresql_state.below(content, state.repository))
        return f"snapshot {snapshot.id[:8]}: {said}" if said else ""
    sizes = {os.path.basename(one): content.get(one) for one in snapshot.paths}
    wrong = [part.name for part in manifest.files if sizes.get(part.name) != part.bytes]
    return f"snapshot {snapshot.id[:8]} has not the whole of {', '.join(wrong)}" if wrong else ""


def _measures(facts: Facts, held: Held, kind: str, limit: float) -> list[dict[str, Any]]:
    age = held.age(kind, facts.now)
    if age is None:
        return []
    name = f"age of {kind} in {held.repository.name}"
    return [measure(name, round(age / 60, 2), "min", f"< {limit / 60:g}", ok=age < limit)]
