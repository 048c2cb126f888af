"""`remediate approve`, `reject` and `escalate`: the words of the people who decide."""

from __future__ import annotations

from pathlib import Path

import click

from remediate.domain.approval import Answer
from remediate.domain.identity import Permission
from remediate.domain.run import Run, RunStatus
from remediate.interfaces.cli.outcome import waiting_lines
from remediate.interfaces.cli.progress import Progress
from remediate.interfaces.cli.runbook import follow, show_end
from remediate.interfaces.cli.site import opened
from remediate.interfaces.cli.text import printable
from remediate.interfaces.library import Site


@click.command("approve", help="Approve the plan that a run waits with.")
@click.argument("run")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the record.")
@click.option("--digest", default="", metavar="DIGEST", help="The plan that you saw: any other one is not approved.")
@click.option(
    "--override",
    is_flag=True,
    help="Emergency: two people may together approve what is above their level. Needs --reason.",
)
@click.option(
    "--wait/--no-wait", default=True, help="Watch the run to its end; carry it out here if nothing else does."
)
@click.pass_obj
def approve_command(path: Path, run: str, *, reason: str, digest: str, override: bool, wait: bool) -> int:
    """Approve, and see it done."""
    answer = Answer.OVERRIDDEN if override else Answer.APPROVED
    with opened(path, executing=wait) as site:
        answered = site.answer(run, answer, reason, digest=digest)
        if answered.status is not RunStatus.APPROVED:
            click.echo(f"Recorded. {_still_wanted(site, answered)}")
            click.echo(f"  next     others answer: remediate approvals show {answered.id}")
            return 0
        click.echo(f"APPROVED  {printable(answered.outcome)}")
        return _see_done(site, answered) if wait else _left_to_others(site, answered)


def _still_wanted(site: Site, run: Run) -> str:
    from remediate.domain.approval import tally  # noqa: PLC0415  # only an answer that was not the last one pays for it

    request, answers = site.approval(run.id)
    return f"Run {run.id} goes on waiting: {printable(tally(request, answers).reason)}." if request else ""


def _left_to_others(site: Site, run: Run) -> int:
    if not site.carried_elsewhere(run):
        click.echo(f"  next     nothing carries it out yet: remediate resume {run.id}")
    return 0


def _see_done(site: Site, run: Run) -> int:
    if site.carried_elsewhere(run):
        going = site.follow(run.id)
    elif site.allows(Permission.RESUME_RUN, runbook=run.runbook, hosts=run.hosts):
        click.echo("No service is running, so this command carries it out.")
        going = site.resume_run(run.id)
    else:
        click.echo("No service is running, and you are no operator: nothing is done yet.")
        click.echo(f"  next     an operator types: remediate resume {run.id}")
        return 0
    with Progress(quiet=False) as progress:
        ended = follow(going, progress)
    show_end(site, ended, as_json=False)
    return ended.exit_code


@click.command("reject", help="Reject the plan that a run waits with: nothing is done.")
@click.argument("run")
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the record and for whoever asked.")
@click.pass_obj
def reject_command(path: Path, run: str, *, reason: str) -> int:
    """Reject."""
    with opened(path, executing=False) as site:
        rejected = site.answer(run, Answer.REJECTED, reason)
    click.echo(f"REJECTED, nothing was changed  {printable(rejected.outcome)}")
    click.echo(f"  record   run {rejected.id}; what was found stays an open incident")
    return 0


@click.command("escalate", help="Ask a higher level at once: for a breach, lost data, or a concern of safety or law.")
@click.argument("run")
@click.option("--to", "level", type=click.IntRange(2, 4), required=True, help="The level to ask.")
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the record and for whoever is asked.")
@click.pass_obj
def escalate_command(path: Path, run: str, *, level: int, reason: str) -> int:
    """Ask a higher level."""
    with opened(path, executing=False) as site:
        request = site.escalate(run, level, reason)
    who = ", ".join(request.asked) or "nobody is there"
    click.echo(f"Level {request.asked_level} is asked now: {who}.")
    for line in waiting_lines(request):
        click.echo(line)
    return 0
