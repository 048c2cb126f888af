"""`remediate cancel RUN`: asks whoever carries a run to stop it, in order."""

from __future__ import annotations

from pathlib import Path

import click

from remediate.domain.run import RunStatus
from remediate.interfaces.cli.site import opened
from remediate.interfaces.cli.text import printable


@click.command("cancel", help="Stop a run: the running task is ended, and the state of the hosts is verified.")
@click.argument("run")
@click.pass_obj
def cancel_command(path: Path, run: str) -> int:
    """Cancel a run, whichever process carries it."""
    with opened(path, executing=False) as site:
        found = site.cancel(run)
    if found.status in {RunStatus.WITHDRAWN, RunStatus.CANCELED}:
        click.echo(f"{found.status.value.upper()}, nothing was changed  {printable(found.outcome)}")
    else:
        click.echo(f"Run {found.id} is asked to stop: its task is ended, then the state of the hosts is verified.")
        click.echo(f"  next     remediate runs show {found.id}")
    return 0
