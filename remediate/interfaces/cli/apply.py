"""`remediate apply PLAN`: carries out exactly the plan that `remediate plan` made, or refuses it as stale."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from remediate.interfaces.cli.progress import Progress
from remediate.interfaces.cli.runbook import asker, follow, show_end
from remediate.interfaces.cli.site import opened


@click.command("apply", help="Carry out exactly a plan that was made earlier; it is stale when anything has changed.")
@click.argument("plan")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the record.")
@click.option("--yes", "-y", is_flag=True, help="Approve a plan of level 1 in advance.")
@click.option("--wait/--no-wait", "patient", default=None, help="Wait for an approval (default: at a terminal).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document at the end, and nothing else.")
@click.pass_obj
def apply_command(path: Path, plan: str, *, reason: str, yes: bool, patient: bool | None, as_json: bool) -> int:
    """Carry out a plan."""
    at_terminal = not as_json and sys.stdin.isatty()
    with opened(path) as site, Progress(quiet=as_json) as progress:
        ask = asker(progress, said_yes=yes, can_ask=at_terminal)
        going = site.apply(plan, reason=reason, ask=ask, patient=at_terminal if patient is None else patient)
        run = follow(going, progress)
        show_end(site, run, as_json=as_json)
    return run.exit_code
