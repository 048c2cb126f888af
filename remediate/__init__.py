"""Incident runbooks that prove the cure, can be undone, ask the right person and survive their own crash.

import remediate

with remediate.open("/etc/remediate") as site:
    plan = site.plan("disk-full", hosts=["landsraad"])
    run = site.apply(plan)
    for event in run.events():
        print(event)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from remediate.domain.plan import Plan
    from remediate.domain.run import Run, RunStatus
    from remediate.domain.runbook import Runbook
    from remediate.errors import RemediateError
    from remediate.interfaces.library import PlannedRun, Site, open_site
    from remediate.interfaces.live import LiveRun

__version__ = "0.1.0"

#: Where each public name lives; loaded on first use, so that `remediate --help` does not pay for all of it.
_HOME = {
    "LiveRun": "remediate.interfaces.live",
    "Plan": "remediate.domain.plan",
    "PlannedRun": "remediate.interfaces.library",
    "RemediateError": "remediate.errors",
    "Run": "remediate.domain.run",
    "RunStatus": "remediate.domain.run",
    "Runbook": "remediate.domain.runbook",
    "Site": "remediate.interfaces.library",
    "open": "remediate.interfaces.library",
}

__all__ = ["LiveRun", "Plan", "PlannedRun", "RemediateError", "Run", "RunStatus", "Runbook", "Site", "open"]

if TYPE_CHECKING:
    open = open_site  # noqa: A001  # `remediate.open(path)` reads as what it does


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'remediate' has no attribute {name!r}")
    import importlib  # noqa: PLC0415  # only a first use of a public name pays for it

    return getattr(importlib.import_module(_HOME[name]), "open_site" if name == "open" else name)
