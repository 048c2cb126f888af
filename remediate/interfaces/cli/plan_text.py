"""A plan, a verification and a rollback as text for a person who decides at night."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from posixpath import dirname

from remediate.domain.plan import HostPlan, Plan
from remediate.domain.report import Action, Measure, Undo
from remediate.interfaces.cli.text import printable, size

_ACTIONS_SHOWN = 12
_UNDO_WORDS = {Undo.HELD: "held", Undo.NONE: "CANNOT BE UNDONE", Undo.NOT_NEEDED: "nothing is lost"}


def plan_lines(plan: Plan, *, every_action: bool = False) -> Iterator[str]:
    """Yield the plan: per host what is wrong, what will be done, what cannot be undone; then who must approve."""
    for host, host_plan in plan.hosts.items():
        yield from _host_lines(host, host_plan, every_action=every_action)
        yield from _hand_over_lines(host, host_plan, plan.hand_overs)
    yield ""
    yield f"Approval   {_approval(plan)}"
    yield f"Reaches    {len(plan.hosts)} host(s): {', '.join(plan.hosts)}"
    yield f"Digest     {plan.digest[:16]}"


def _approval(plan: Plan) -> str:
    if plan.hand_overs and not any(host_plan.actions for host_plan in plan.hosts.values()):
        return "none here: what it is handed over to asks for its own"
    people = f", {plan.people} people" if plan.people > 1 else ""
    reasons = f" ({printable('; '.join(plan.level_reasons))})" if plan.level_reasons else ": nobody has to approve"
    return f"level {plan.level}{people}{reasons}"


def _hand_over_lines(host: str, plan: HostPlan, hand_overs: Mapping[str, str]) -> Iterator[str]:
    """Yield the causes that another runbook cures; what it does about them stands in a plan of its own."""
    for cause in plan.finding.causes:
        if runbook := hand_overs.get(cause.id):
            yield f"  {'handed':8} {cause.id}: handed over to {runbook}, before anything else is done"
            yield f"             what it would do: `remediate plan {runbook} --limit {host}`"


def diff_lines(plan: Plan) -> Iterator[str]:
    """Yield what the dry run said would change on each host, as Ansible's diff."""
    for host, host_plan in plan.hosts.items():
        yield f"Diff of {host}"
        yield from (f"  {printable(line)}" for line in host_plan.diff.splitlines())
        yield ""


def _host_lines(host: str, plan: HostPlan, *, every_action: bool) -> Iterator[str]:
    finding = plan.finding
    yield ""
    yield f"{host}: {printable(finding.summary)}"
    yield from measure_lines(finding.measures)
    for cause in finding.causes:
        yield f"  cause    {cause.id}"
        yield from (f"             {printable(line)}" for line in cause.evidence)
    yield from action_lines(finding.actions, every_action=every_action)
    if not finding.enough:
        yield "  WARNING  this is not expected to be enough to cure the host"
    for note in finding.notes:
        yield f"  note     {printable(note)}"
    if finding.way_back:
        yield f"  back     {printable(finding.way_back.sentence)}"


def measure_lines(measures: Iterable[Measure]) -> Iterator[str]:
    """Yield one line per measured value."""
    for measure in measures:
        value = f"{measure.value:g} {printable(measure.unit)}"
        mark = "ok " if measure.ok else "BAD"
        yield f"  {mark}      {printable(measure.name)}: {value} (wanted {printable(measure.wanted)})"


def action_lines(actions: Sequence[Action], *, every_action: bool = False, verb: str = "will") -> Iterator[str]:
    """Yield the actions, grouped by cause and directory where there are many."""
    for cause, of_cause in groupby(actions, key=lambda action: action.cause):
        listed = list(of_cause)
        total = sum(action.bytes for action in listed)
        yield f"  {verb:8} {cause}: {len(listed)} action(s), {size(total)}"
        shown = listed if every_action or len(listed) <= _ACTIONS_SHOWN else []
        yield from (_action_line(action) for action in shown)
        yield from (_group_line(where, group) for where, group in _by_directory([] if shown else listed))


def _action_line(action: Action) -> str:
    undo = _UNDO_WORDS[action.undo] + (f"; {printable(action.note)}" if action.note else "")
    return f"             {printable(action.verb)} {printable(action.target)}  {size(action.bytes)}  [{undo}]"


def _by_directory(actions: list[Action]) -> list[tuple[str, list[Action]]]:
    groups: dict[str, list[Action]] = {}
    for action in actions:
        groups.setdefault(dirname(action.target) or action.target, []).append(action)
    return list(groups.items())


def _group_line(directory: str, actions: list[Action]) -> str:
    undo = ", ".join(sorted({_UNDO_WORDS[action.undo] for action in actions}))
    amount = size(sum(action.bytes for action in actions))
    what = f"{printable(actions[0].verb)} {len(actions)} in {printable(directory)}"
    return f"             {what}  {amount}  [{undo}]  (each one: --all)"
