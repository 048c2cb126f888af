"""`remediate approvals`: what waits for somebody; and everything that the person who decides has to see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from remediate.domain.approval import HIGHEST_LEVEL, ApprovalDecision, ApprovalRequest, Asking, tally
from remediate.domain.run import Run
from remediate.interfaces.cli.outcome import waiting_lines
from remediate.interfaces.cli.plan_text import diff_lines, plan_lines
from remediate.interfaces.cli.site import opened
from remediate.interfaces.cli.text import moment, printable


@click.group("approvals", invoke_without_command=True, help="Show what waits for approval.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.pass_context
def approvals_command(ctx: click.Context, *, as_json: bool) -> int:
    """List the open requests, or run a subcommand."""
    return 0 if ctx.invoked_subcommand else _list(ctx.obj, as_json=as_json)


def _list(path: Path, *, as_json: bool) -> int:
    with opened(path, executing=False) as site:
        waiting = site.approvals()
    if as_json:
        click.echo(json.dumps([request.model_dump(mode="json") for request in waiting], indent=2))
        return 0
    for request in waiting:
        click.echo(_line(request))
    click.echo("Everything about one: remediate approvals show RUN" if waiting else "Nothing waits for approval.")
    return 0


def _line(request: ApprovalRequest) -> str:
    who = ", ".join(request.asked) or "nobody is there"
    what = f"{request.runbook} on {', '.join(request.hosts)}"
    return (
        f"{request.run_id}  {request.severity.value}  level {request.level}  {what}  "
        f"asked: level {request.asked_level} ({who})  valid until {moment(request.expires_at)}"
    )


@approvals_command.command("show", help="Show what a plan would do, and who has said what to it.")
@click.argument("run")
@click.option("--all", "every_action", is_flag=True, help="List every single action of the plan.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.pass_obj
def show_command(path: Path, run: str, *, every_action: bool, as_json: bool) -> int:
    """Show one request with its plan, the dry run's diff, and the answers so far."""
    with opened(path, executing=False) as site:
        found = site.run(run)
        request, answers = site.approval(run)
    if as_json:
        document = {
            "run": found.model_dump(mode="json"),
            "request": request.model_dump(mode="json") if request else None,
            "answers": [answer.model_dump(mode="json") for answer in answers],
        }
        click.echo(json.dumps(document, indent=2))
        return 0
    for line in _lines(found, request, answers, every_action=every_action):
        click.echo(line)
    return 0


def _lines(
    run: Run, request: ApprovalRequest | None, answers: tuple[ApprovalDecision, ...], *, every_action: bool
) -> Iterator[str]:
    yield f"Run        {run.id}  {run.status.value.replace('_', ' ')}: {printable(run.outcome)}"
    yield f"Runbook    {run.runbook} on {', '.join(run.hosts)}"
    because = f": {printable(run.reason)}" if run.reason else ""
    yield f"Asked by   {printable(run.requested_by)} ({run.started_by.value}), {moment(run.created_at)}{because}"
    if run.plan:
        yield from plan_lines(run.plan, every_action=every_action)
        yield from ("", *diff_lines(run.plan))
        yield from _lost(run)
    if request is None:
        yield "It asks for no approval."
        return
    yield from _answer_lines(answers)
    if request.state is Asking.OPEN:
        yield f"Answered   {printable(tally(request, answers).reason)}"
        yield from waiting_lines(request)
        yield from _choices(request)
    else:
        yield f"It asks for no approval any more: it is {request.state.value}."


def _answer_lines(answers: tuple[ApprovalDecision, ...]) -> Iterator[str]:
    for answer in answers:
        said = f": {printable(answer.reason)}" if answer.reason else ""
        who = f"{answer.person} (level {answer.level}, {printable(answer.channel)})"
        yield f"  {moment(answer.at)}  {who} {answer.answer.value}{said}"


def _choices(request: ApprovalRequest) -> Iterator[str]:
    yield f"  next     remediate approve {request.run_id} --digest {request.digest[:12]}"
    yield f"           remediate reject {request.run_id} --reason TEXT"
    if request.asked_level < HIGHEST_LEVEL:
        yield f"           remediate escalate {request.run_id} --to {request.asked_level + 1} --reason TEXT"
    if request.level > 1:
        yield f"           remediate approve {request.run_id} --override --reason TEXT   (emergency: two people)"


def _lost(run: Run) -> Iterator[str]:
    irreversible = run.plan.irreversible if run.plan else ()
    if not irreversible:
        yield "Undo       everything that is taken away is held and can be put back"
    for host, action in irreversible[:12]:
        yield f"CANNOT BE UNDONE  {host}: {printable(action.verb)} {printable(action.target)}"
    if len(irreversible) > 12:
        yield f"CANNOT BE UNDONE  and {len(irreversible) - 12} more"
