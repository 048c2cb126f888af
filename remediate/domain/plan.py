"""A plan: what was found on each host, what will be done, what cannot be undone, and the digest that binds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

from pydantic import JsonValue

from remediate.domain.digest import digest
from remediate.domain.report import Action, Finding, Undo
from remediate.domain.value import Value


class HostPlan(Value):
    """What will be done to one host."""

    finding: Finding
    diff: str = ""

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions in the order in which they are done."""
        return self.finding.actions


class Plan(Value):
    """What a run will do, as shown to the person who decides."""

    runbook: str
    hosts: dict[str, HostPlan]
    #: The causes found that another runbook cures, each with that runbook: this plan does nothing about them.
    hand_overs: dict[str, str] = {}
    level: int
    level_reasons: tuple[str, ...]
    #: How many people of the level have to approve.
    people: int = 1
    made_at: datetime
    #: Until when it may be approved and carried out.
    expires_at: datetime
    #: sha256 over the canonical JSON of `binds`.
    digest: str
    #: Everything that decides what will be done: when any of it differs by the start, the plan is stale.
    binds: dict[str, JsonValue]

    @property
    def irreversible(self) -> tuple[tuple[str, Action], ...]:
        """Every (host, action) that nobody can undo."""
        return tuple(
            (host, action) for host, plan in self.hosts.items() for action in plan.actions if action.undo is Undo.NONE
        )

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes found on any host, in the order found."""
        found = (cause.id for plan in self.hosts.values() for cause in plan.finding.causes)
        return tuple(dict.fromkeys(found))

    @property
    def enough(self) -> bool:
        """Whether the actions are expected to cure every host."""
        return all(plan.finding.enough for plan in self.hosts.values())


def bound(
    *,
    decided_by: Mapping[str, str],
    runbook: str,
    parameters: Mapping[str, JsonValue],
    hosts: Mapping[str, HostPlan],
    policy: str,
    nonce: str,
    expires_at: datetime,
) -> dict[str, JsonValue]:
    """Return what a plan binds: content, inventory and versions (`decided_by`), request, work per host, validity.

    The work is what is done to which targets and the dry run's diff, not how many bytes that frees: sizes change all
    the time, and an approval that is stale by every line of a log would be no approval.
    """
    work: dict[str, JsonValue] = {
        host: {"actions": [list(action.key) for action in plan.actions], "diff": plan.diff}
        for host, plan in sorted(hosts.items())
    }
    return {
        **decided_by,
        "runbook": runbook,
        "parameters": dict(parameters),
        "work": work,
        "policy": policy,
        "nonce": nonce,
        "expires_at": expires_at.isoformat(),
    }


def digest_of(binds: Mapping[str, JsonValue]) -> str:
    """Return the digest of a plan that binds this."""
    return digest(binds)


#: What a part of a plan is called when it differs.
_PARTS = {
    "content": "the playbooks of the run",
    "source": "the playbooks",
    "inventory": "the inventory or its variables",
    "ansible_core": "the version of ansible-core",
    "collections": "the installed collections",
    "parameters": "the parameters",
    "policy": "the policy in remediate.yml",
    "expires_at": "the validity",
}


def differences(planned: Mapping[str, JsonValue], now: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """Name every part in which two bindings differ, in words."""
    changed = [name for name in sorted({*planned, *now}) if planned.get(name) != now.get(name)]
    named = [_PARTS.get(name, name) for name in changed if name != "work"]
    if "work" in changed:
        named += _different_work(planned.get("work"), now.get("work"))
    return tuple(named)


def _different_work(planned: JsonValue, now: JsonValue) -> list[str]:
    before, after = (value if isinstance(value, dict) else {} for value in (planned, now))
    if set(before) != set(after):
        return [f"the hosts ({', '.join(sorted(set(before) ^ set(after)))})"]
    return [f"what would be done on {host}" for host in sorted(before) if before[host] != after[host]]


def strayed(planned: Iterable[Action], snapshotted: Iterable[Action]) -> tuple[Action, ...]:
    """Return the actions of a snapshot that the plan did not hold: with any of these the plan is stale."""
    agreed = Counter(action.key for action in planned)
    return tuple(action for action in snapshotted if action.key not in agreed)
