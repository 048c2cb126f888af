"""Child runs: what a run hands over to other runbooks, how far that may go, and what their ends mean for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from remediate.domain.outcome import Decision
from remediate.domain.report import Finding
from remediate.domain.run import OWNED, WAITING, Run, RunStatus
from remediate.domain.runbook import Cause
from remediate.domain.value import Value

#: How many runs may stand above a run.
MOST_DEPTH = 2

#: Ends of a child after which its parent looks again. All others are a human's.
_WELL = frozenset({RunStatus.SUCCEEDED, RunStatus.NOT_NEEDED})


class HandOver(Value):
    """What is handed over to one runbook: because of which causes, and on which hosts."""

    runbook: str
    causes: tuple[str, ...]
    hosts: tuple[str, ...]


def hand_overs(causes: Mapping[str, Cause], findings: Mapping[str, Finding]) -> tuple[HandOver, ...]:
    """Return what another runbook has to cure, in the order found: one entry for each runbook."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for host, finding in findings.items():
        for cause in finding.causes:
            if runbook := causes[cause.id].hand_over:
                of_causes, of_hosts = found.setdefault(runbook, ({}, {}))
                of_causes[cause.id] = of_hosts[host] = None
    return tuple(
        HandOver(runbook=runbook, causes=tuple(of_causes), hosts=tuple(of_hosts))
        for runbook, (of_causes, of_hosts) in found.items()
    )


def obstacle(wanted: HandOver, line: Sequence[str], earlier: Iterable[Run]) -> str:
    """Why something may not be handed over, or an empty string.

    `line` names the runbooks of the run and of all runs above it, the topmost first; `earlier` are the children that
    the run has had.
    """
    way = " -> ".join((*line, wanted.runbook))
    if wanted.runbook in line:
        return f"a circle of hand-overs: {way}"
    if len(line) > MOST_DEPTH:
        return f"too many hand-overs, one below the other: {way}; at most {MOST_DEPTH} are made"
    for child in earlier:
        again = [host for host in wanted.hosts if host in child.hosts]
        if child.runbook == wanted.runbook and again:
            found = ", ".join(wanted.causes)
            return f"{', '.join(again)} was {told(child)}; that did not cure it, {found} is found again"
    return ""


def newest(children: Sequence[Run]) -> tuple[Run, ...]:
    """Return the children without the attempts that another one of them continues."""
    continued = {child.continues for child in children}
    return tuple(child for child in children if child.id not in continued)


def has_ended(child: Run) -> bool:
    """Return whether nothing is to be expected of a child any more; somebody goes on with one that was interrupted."""
    return child.status not in OWNED | WAITING | {RunStatus.INTERRUPTED}


def after_children(children: Iterable[Run]) -> Decision | None:
    """Decide how a run ends because of its children, all of which have ended; None: all is well, it looks again."""
    bad = [child for child in children if child.status not in _WELL]
    if not bad:
        return None
    reason = "; ".join(told(child) for child in bad)
    return Decision(status=_worst({child.status for child in bad}), reason=reason)


def _worst(ends: set[RunStatus]) -> RunStatus:
    """A cure that nobody can tell is no failure, and what a person stopped is neither."""
    if ends == {RunStatus.CANCELED}:
        return RunStatus.CANCELED
    return RunStatus.UNPROVEN if ends <= {RunStatus.CANCELED, RunStatus.UNPROVEN} else RunStatus.FAILED


def told(child: Run) -> str:
    """Name a child that has ended, and its end, in words."""
    end = child.status.value.replace("_", " ")
    return f"handed over to {child.runbook} (run {child.id}), which ended {end}: {child.outcome}"
