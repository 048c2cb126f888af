"""In-memory twins of every port: walk runbooks in tests without Ansible, a database, processes or waiting.

clock = FrozenClock()
executor = FakeExecutor([Host(name="web1", groups=("disk_full_targets",))])
executor.says("web1", Phase.DIAGNOSE, Finding(applies=False, summary="enough is free"))
remediation = Remediation(ports(executor=executor, clock=clock), catalogue)

Each twin passes the same contract tests as the real adapter that it stands for.
"""

from __future__ import annotations

from remediate.engine.alert_ports import Alerts
from remediate.engine.executor_ports import Executor
from remediate.engine.incident_ports import Incidents
from remediate.engine.monitoring import Silences
from remediate.engine.ports import Approvals, Clock, Locks, Outbox, Ports, Store, Switches, Workflows
from remediate.engine.schedule_ports import Schedules
from remediate.testing.alerts import MemoryAlerts
from remediate.testing.approvals import MemoryApprovals
from remediate.testing.audit import MemoryTarget, MemoryTrail, PlainKeys
from remediate.testing.clock import EPOCH, FrozenClock
from remediate.testing.executor import Answer, FakeExecutor, Silence
from remediate.testing.incidents import MemoryIncidents
from remediate.testing.locks import MemoryLocks
from remediate.testing.monitoring import FakeMessenger, FakeMonitoring, MemorySilences
from remediate.testing.outbox import FakeChannel, MemoryOutbox
from remediate.testing.schedules import MemorySchedules
from remediate.testing.store import MemoryStore
from remediate.testing.switches import MemorySwitches
from remediate.testing.tokens import MemoryTokens
from remediate.testing.workflows import InlineWorkflows

__all__ = [
    "EPOCH",
    "Answer",
    "FakeChannel",
    "FakeExecutor",
    "FakeMessenger",
    "FakeMonitoring",
    "FrozenClock",
    "InlineWorkflows",
    "MemoryAlerts",
    "MemoryApprovals",
    "MemoryIncidents",
    "MemoryLocks",
    "MemoryOutbox",
    "MemorySchedules",
    "MemorySilences",
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
    incidents: Incidents | None = None,
    silences: Silences | None = None,
    schedules: Schedules | None = None,
) -> Ports:
    """Return ports for a test: the ones that are given, and a twin for each of the others."""
    kept = approvals if isinstance(approvals, MemoryApprovals) else MemoryApprovals()
    return Ports(
        executor=executor or FakeExecutor(),
        store=store or MemoryStore(),
        approvals=approvals or kept,
        switches=switches or MemorySwitches(),
        locks=locks or MemoryLocks(),
        clock=clock or FrozenClock(),
        workflows=workflows or InlineWorkflows(),
        outbox=outbox or MemoryOutbox(),
        alerts=alerts or MemoryAlerts(),
        incidents=incidents or kept.book,
        silences=silences or MemorySilences(),
        schedules=schedules or MemorySchedules(),
    )
