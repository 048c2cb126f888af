"""`remediate pause`: from now on no run begins to change anything."""

from __future__ import annotations

from pathlib import Path

import click

from remediate.interfaces.cli.site import opened
from remediate.interfaces.cli.text import printable


@click.command(
    "pause", help="Let no run begin to change anything; what is changing hosts goes on to its end. See `resume`."
)
@click.option("--reason", required=True, metavar="TEXT", help="Why, for everybody who is refused.")
@click.pass_obj
def pause_command(path: Path, reason: str) -> int:
    """Pause the site."""
    with opened(path, executing=False) as site:
        runs = site.pause(reason)
    acting = [run for run in runs if run.acting]
    click.echo(f"PAUSED  {printable(reason)}")
    click.echo(f"  {len(acting)} run(s) are changing hosts now and go on to their end")
    for run in acting:
        click.echo(f"    {run.run_id}  {run.runbook} on {', '.join(run.hosts)} is {run.status.value}")
    click.echo(f"  {len(runs) - len(acting)} run(s) look or wait, and are refused before they change anything")
    click.echo("  next     remediate resume --reason TEXT")
    return 0
