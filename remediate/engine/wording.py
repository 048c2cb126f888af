"""What a message says about a run, in plain words; whatever came from outside is quoted, never trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from remediate.domain.plan import HostPlan, Plan
from remediate.domain.report import Action, Undo
from remediate.domain.run import Run, RunStatus
from remediate.domain.runbook import Rollback, Runbook
from remediate.domain.text import quoted, size
from remediate.domain.times import moment

#: A message is read on a telephone at night: beyond these it counts, and says where everything is.
_HOSTS_SHOWN, _LINES_SHOWN = 10, 12
_UNDO = {Undo.HELD: "held, can be put back", Undo.NONE: "CANNOT BE UNDONE", Undo.NOT_NEEDED: "nothing is lost"}

#: How a run ended, and what is said about it.
ENDINGS = {
    RunStatus.SUCCEEDED: "Cured, and proven",
    RunStatus.FAILED: "NOT cured",
    RunStatus.UNPROVEN: "Cannot tell whether it is cured",
    RunStatus.ROLLED_BACK: "Rolled back: everything that was held is put back",
    RunStatus.ROLLBACK_FAILED: "NOT rolled back: look at the hosts",
    RunStatus.NOT_NEEDED: "Nothing was wrong, nothing was done",
    RunStatus.CANCELED: "Stopped by a person",
    RunStatus.INTERRUPTED: "INTERRUPTED: it is not known what was done",
    RunStatus.EXPIRED: "Expired, nothing was done, the incident stays open",
    RunStatus.PARKED: "Refused by policy: a person has to look",
}


def facts(run: Run, runbook: Runbook, severity: str, valid_until: datetime | None) -> Iterator[str]:
    """Yield what the message is about: run, runbook, who asked and why, and until when an answer counts."""
    yield f"Run          {run.id}"
    yield f"Runbook      {runbook.id}: {quoted(runbook.title)}"
    yield f"Severity     {severity}"
    yield f"Asked by     {quoted(run.requested_by, 100)}, {moment(run.created_at)}"
    if run.reason:
        yield f"Because      {quoted(run.reason)}"
    if valid_until:
        yield f"Valid until  {moment(valid_until)}; after that nothing is done, and the incident stays open"


def symptoms(plan: Plan) -> Iterator[str]:
    """Yield what is wrong on each host, with the evidence for it."""
    yield "What is wrong"
    for host, host_plan in _first(plan.hosts.items(), _HOSTS_SHOWN):
        yield f"  {host}: {quoted(host_plan.finding.summary)}"
        yield from _capped(_evidence(host_plan), "    ")
    yield from _more(len(plan.hosts) - _HOSTS_SHOWN, "host(s)")


def effects(plan: Plan, runbook: Runbook) -> Iterator[str]:
    """Yield what will be done, how far it reaches, and what nobody can undo."""
    yield "What will be done"
    for host, host_plan in _first(plan.hosts.items(), _HOSTS_SHOWN):
        yield f"  {host}: {len(host_plan.actions)} action(s)"
        yield from _capped((_action(action) for action in host_plan.actions), "    ")
        if not host_plan.finding.enough:
            yield "    this is not expected to be enough to cure the host"
    yield from _more(len(plan.hosts) - _HOSTS_SHOWN, "host(s)")
    yield ""
    yield "How far it reaches"
    yield f"  {len(plan.hosts)} host(s): {', '.join(name for name, _ in _first(plan.hosts.items(), 30))}"
    caused = [runbook.causes[cause] for cause in plan.causes if cause in runbook.causes]
    found = dict.fromkeys(effect.value for cause in caused for effect in cause.effects)
    yield f"  effects: {', '.join(found) or 'none besides the cure'}"
    yield from (f"  level {plan.level}: {quoted(reason)}" for reason in plan.level_reasons)
    yield ""
    yield "What cannot be undone"
    final = [f"{cause.id}: {quoted(cause.rollback_reason)}" for cause in caused if cause.rollback is Rollback.NONE]
    final += [f"{host}: {quoted(action.verb, 60)} {quoted(action.target)}" for host, action in plan.irreversible]
    yield from _capped(final or ["nothing"], "  ")
    ways = [(host, one.finding.way_back) for host, one in plan.hosts.items() if one.finding.way_back]
    if ways:
        yield ""
        yield "If it goes wrong"
        yield from _capped((f"{host}: {quoted(way.sentence)}" for host, way in ways), "  ")


def commands(lines: Sequence[str]) -> Iterator[str]:
    """Yield what to type; no message offers a link, so that a false one cannot either."""
    yield "What to type"
    yield from (f"  {line}" for line in lines)
    yield ""
    yield "No message of remediate has a link to click on: decide with these commands only."


def _evidence(host_plan: HostPlan) -> Iterator[str]:
    for measure in host_plan.finding.measures:
        if not measure.ok:
            wanted = f"{measure.value:g} {quoted(measure.unit, 20)} (wanted {quoted(measure.wanted, 60)})"
            yield f"{quoted(measure.name, 100)}: {wanted}"
    for cause in host_plan.finding.causes:
        yield from (f"{cause.id}: {quoted(line)}" for line in cause.evidence)


def _action(action: Action) -> str:
    amount = f" ({size(action.bytes)})" if action.bytes else ""
    return f"{quoted(action.verb, 60)} {quoted(action.target)}{amount} [{_UNDO[action.undo]}]"


def _first(items: Iterable[tuple[str, HostPlan]], count: int) -> list[tuple[str, HostPlan]]:
    return list(items)[:count]


def _capped(lines: Iterable[str], indent: str) -> Iterator[str]:
    listed = list(lines)
    yield from (f"{indent}{line}" for line in listed[:_LINES_SHOWN])
    yield from _more(len(listed) - _LINES_SHOWN, "line(s)", indent)


def _more(count: int, what: str, indent: str = "  ") -> Iterator[str]:
    if count > 0:
        yield f"{indent}and {count} more {what}"
