"""`remediate rollback RUN`: takes back what a run did."""

from __future__ import annotations

from pathlib import Path

import click

from remediate.domain.run import RunStatus
from remediate.interfaces.cli.progress import Progress
from remediate.interfaces.cli.runbook import follow, show_end
from remediate.interfaces.cli.site import opened


@click.command(
    "rollback", help="Put back what a run took away; refuses, and changes nothing, where something newer stands."
)
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document at the end, and nothing else.")
@click.pass_obj
def rollback_command(path: Path, run: str, *, as_json: bool) -> int:
    """Roll back one run; ends with 0 when everything was put back, which is what was asked for."""
    with opened(path) as site, Progress(quiet=as_json) as progress:
        ended = follow(site.rollback(run), progress)
        show_end(site, ended, as_json=as_json)
    return 0 if ended.status is RunStatus.ROLLED_BACK else ended.exit_code
