"""`remediate runs`: what was done, newest first; and one run in full."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from remediate.domain.identity import Permission
from remediate.domain.run import PhaseRecord, Run, RunStatus, TaskOutcome, Transition
from remediate.domain.runbook import Phase
from remediate.interfaces.cli.document import run_document
from remediate.interfaces.cli.outcome import closing_lines
from remediate.interfaces.cli.plan_text import plan_lines
from remediate.interfaces.cli.site import opened
from remediate.interfaces.cli.text import moment, printable, printable_lines, span
from remediate.interfaces.library import Site


@click.group(
    "runs", invoke_without_command=True, help="Show what was done, newest first; `runs show RUN` shows one in full."
)
@click.option("--runbook", metavar="ID", help="Only runs of this runbook.")
@click.option("--limit", "count", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many runs.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.pass_context
def runs_command(ctx: click.Context, runbook: str | None, count: int, *, as_json: bool) -> int | None:
    """List runs."""
    if ctx.invoked_subcommand:
        return None
    with opened(ctx.obj, executing=False) as site:
        found = site.runs(limit=count, runbook=runbook)
    if as_json:
        click.echo(json.dumps([run.model_dump(mode="json", exclude={"plan"}) for run in found], indent=2))
        return 0
    for run in found:
        click.echo(_line(run))
    if not found:
        click.echo("No runs are recorded yet.")
    return 0


def _line(run: Run) -> str:
    took = span(run.duration) if run.duration else ""
    kind = " (check)" if run.check else " (child)" if run.parent else ""
    outcome = printable(run.outcome)[:100]
    return f"{run.id}  {run.runbook + kind:22} {run.status.value:16} {', '.join(run.hosts):30} {took:>12}  {outcome}"


@runs_command.command(
    "show", help="Show one run: plan, every phase and task, the proof, and the states it went through."
)
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--diff", "with_diffs", is_flag=True, help="Show the diff of every task.")
@click.option("--offline", is_flag=True, help="Do not ask the hosts of an interrupted run what it did there.")
@click.pass_obj
def show_run(path: Path, run: str, *, as_json: bool, with_diffs: bool, offline: bool) -> int:
    """Show one run."""
    with opened(path, executing=False) as site:
        found = site.run(run)
        phases = site.phases(found.id)
        if not offline and _unaccounted(found, phases) and _may_account(site, found):
            phases = _account(site, found)
        history = site.history(found.id)
        request, _ = site.approval(found.id)
        children = site.children(found.id)
    if as_json:
        click.echo(run_document(found, phases, history, children))
        return 0
    for line in _lines(found, phases, history, with_diffs=with_diffs):
        click.echo(line)
    for line in closing_lines(found, phases, request, children):
        click.echo(line)
    return 0


def _unaccounted(run: Run, phases: Sequence[PhaseRecord]) -> bool:
    """An interrupted fix whose hosts were not yet asked: Ansible's own record stops where it was killed."""
    fixing = any(record.phase is Phase.FIX and not record.check for record in phases)
    return run.status is RunStatus.INTERRUPTED and fixing and phases[-1].phase is not Phase.VERIFY


def _may_account(site: Site, run: Run) -> bool:
    return site.allows(Permission.ACCOUNT_FOR_RUN, runbook=run.runbook, hosts=run.hosts)


def _account(site: Site, run: Run) -> tuple[PhaseRecord, ...]:
    click.echo(f"Asking {', '.join(run.hosts)} what this run did there before it was interrupted ...", err=True)
    site.account(run)
    return site.phases(run.id)


def _lines(
    run: Run,
    phases: Sequence[PhaseRecord],
    history: Sequence[Transition],
    *,
    with_diffs: bool,
) -> Iterator[str]:
    yield f"Run        {run.id}{' (check: nothing is changed)' if run.check else ''}"
    yield f"Runbook    {run.runbook}"
    yield f"Hosts      {', '.join(run.hosts)}"
    yield f"By         {printable(run.requested_by)}, {moment(run.created_at)}" + (
        f": {printable(run.reason)}" if run.reason else ""
    )
    if run.parent:
        yield f"Parent     run {run.parent} handed over to it (depth {run.depth}); the incident is that one's"
    if run.parameters:
        yield "With       " + ", ".join(f"{name}={printable(str(value))}" for name, value in run.parameters.items())
    yield from plan_lines(run.plan) if run.plan else ()
    yield ""
    yield "History"
    yield from (f"  {moment(step.at)}  {step.to_status.value:16} {printable(step.reason)}" for step in history)
    yield ""
    yield "Phases"
    for record in phases:
        yield from _phase_lines(record, with_diffs=with_diffs)


def _phase_lines(record: PhaseRecord, *, with_diffs: bool) -> Iterator[str]:
    name = record.phase.value + (" (dry run)" if record.check else "")
    took = span(record.ended_at - record.started_at) if record.ended_at else "did not end"
    outcome = record.outcome.value if record.outcome else "broken off"
    yield f"  {record.sequence}. {name}: {outcome}, {took}, changed={record.changed}"
    for host, trouble in record.troubles.items():
        yield f"       {host}: {printable(trouble)}"
    for task in record.tasks:
        if task.outcome is not TaskOutcome.SKIPPED:
            said = f": {printable(task.message.splitlines()[0])}" if task.message else ""
            yield f"       {task.host}  {task.outcome.value:11} {task.seconds:6.2f} s  {printable(task.task)}{said}"
        if with_diffs and task.diff:
            yield from (f"           {line}" for line in printable_lines(task.diff).splitlines())
