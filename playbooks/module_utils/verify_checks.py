"""What proves that backups are well: all that a look can find is looked for again, and shown to the monitoring."""

from __future__ import annotations

from typing import Any

from ansible.module_utils import host_metrics, verify_decision
from ansible.module_utils.host_checks import CURED, NOT_CURED, Check, check
from ansible.module_utils.host_step import Seen
from ansible.module_utils.postgresql_state import part_name
from ansible.module_utils.verify_facts import SourceFacts


def seen(facts: list[SourceFacts], settings: dict[str, Any]) -> Seen:
    """Say of every source whether it is well."""
    found = Seen()
    for one in facts:
        said = {
            "repository": verify_decision.damage(one),
            "chain": verify_decision.gap(one),
            "age": verify_decision.too_old(one, settings),
            "retention": verify_decision.retention(one),
            **({"stream": verify_decision.stream_trouble(one, settings)} if one.stream else {}),
        }
        found.checks += [_check(f"{name} of {one.name}", words) for name, words in said.items()]
        found.measures += verify_decision.measures(one, settings)
    return found


def _check(name: str, trouble: list[str]) -> Check:
    return check(name, NOT_CURED if trouble else CURED, "; ".join(trouble) or "as it should be")


def show(facts: list[SourceFacts], settings: dict[str, Any]) -> None:
    """Show to the monitoring what was found; a stream shows itself how far it is."""
    samples: list[tuple[str, dict[str, str], float]] = []
    for one in facts:
        about = {"source": one.name}
        whole = verify_decision.sound(one)
        samples.append(("remediate_backup_check_ok", about, 1.0 if whole else 0.0))
        samples.append(("remediate_backup_check_timestamp_seconds", about, one.now))
        if one.stream:
            samples.append(("remediate_backup_stream_wanted", about, 1.0))
        else:
            samples.append(("remediate_backup_recoverable_point_timestamp_seconds", about, one.point))
        if one.wal:
            # Nobody else shows it: no stream follows PostgreSQL.
            part = {"source": part_name(one.name)}
            samples.append(("remediate_backup_recoverable_point_timestamp_seconds", part, one.wal.until))
    host_metrics.show(settings["metrics_file"], samples)
