"""A switch that a person presses, such as `pause`: its position, and who pressed it why."""

from __future__ import annotations

from datetime import datetime

from remediate.domain.value import Value

#: While it is on, no run begins to change anything.
PAUSE = "pause"
_BREAKER = "breaker:"


def breaker_switch(runbook: str) -> str:
    """Return the name of the switch by which a person closes the circuit breaker of a runbook."""
    return _BREAKER + runbook


class Switch(Value):
    """A switch as it was last pressed."""

    name: str
    on: bool
    by: str
    reason: str
    at: datetime
    #: The newest attempt of the record when it was pressed: a breaker that was closed counts what came after it.
    after: int = 0
