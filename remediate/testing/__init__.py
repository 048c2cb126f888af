"""In-memory twins of every port: walk runbooks in tests without Ansible, a database, processes or waiting.

clock = FrozenClock()
executor = FakeExecutor([Host(name="web1", groups=("disk_full_targets",))])
executor.says("web1", Phase.DIAGNOSE, Finding(applies=False, summary="enough is free"))
remediation = Remediation(ports(executor=executor, clock=clock), catalogue)

Each twin passes the same contract tests as the real adapter that it stands for.
"""

from __future__ import annotations

from remediate.engine.alert_ports import Alerts
from remediate.engine.ports import Approvals, Clock, Executor, Locks, Outbox, Ports, Store, Switches, Workflows
from remediate.testing.alerts import MemoryAlerts
from remediate.testing.approvals import MemoryApprovals
from remediate.testing.audit import MemoryTarget, MemoryTrail, PlainKeys
from remediate.testing.clock import EPOCH, FrozenClock
from remediate.testing.executor import Answer, FakeExecutor, Silence
from remediate.testing.locks import MemoryLocks
from remediate.testing.outbox import FakeChannel, MemoryOutbox
from remediate.testing.store import MemoryStore
from remediate.testing.switches import MemorySwitches
from remediate.testing.tokens import MemoryTokens
from remediate.testing.workflows import InlineWorkflows

__all__ = [
    "EPOCH",
    "Answer",
    "FakeChannel",
    "FakeExecutor",
    "FrozenClock",
    "InlineWorkflows",
    "MemoryAlerts",
    "MemoryApprovals",
    "MemoryLocks",
    "MemoryOutbox",
    "MemoryStore",
    "MemorySwitches",
    "MemoryTarget",
    "MemoryTokens",
    "MemoryTrail",
    "PlainKeys",
    "Silence",
    "ports",
]


def ports(  # noqa: PLR0913  # one per port
    *,
    executor: Executor | None = None,
    store: Store | None = None,
    approvals: Approvals | None = None,
    switches: Switches | None = None,
    locks: Locks | None = None,
    clock: Clock | None = None,
    workflows: Workflows | None = None,
    outbox: Outbox | None = None,
    alerts: Alerts | None = None,
) -> Ports:
    """Return ports for a test: the ones that are given, and a twin for each of the others."""
    return Ports(
        executor=executor or FakeExecutor(),
        store=store or MemoryStore(),
        approvals=approvals or MemoryApprovals(),
        switches=switches or MemorySwitches(),
        locks=locks or MemoryLocks(),
        clock=clock or FrozenClock(),
        workflows=workflows or InlineWorkflows(),
        outbox=outbox or MemoryOutbox(),
        alerts=alerts or MemoryAlerts(),
    )
