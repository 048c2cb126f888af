"""`remediate resume`: lifts the pause; with a run goes on with it; `--breaker` lets a runbook pass again."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from remediate.domain.breaker import BreakerState
from remediate.interfaces.cli.progress import Progress
from remediate.interfaces.cli.runbook import asker, follow, show_end
from remediate.interfaces.cli.site import opened
from remediate.interfaces.cli.text import moment, printable
from remediate.interfaces.library import Site


@click.command("resume", help="Go on with RUN; without one lift the pause; with --breaker let a runbook pass again.")
@click.argument("run", required=False)
@click.option("--breaker", metavar="RUNBOOK", help="Close the circuit breaker of this runbook; the pause is left.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the record.")
@click.option("--yes", "-y", is_flag=True, help="Approve a plan of level 1 in advance.")
@click.pass_obj
def resume_command(path: Path, run: str | None, breaker: str | None, reason: str, *, yes: bool) -> int:
    """Go on with a run, lift the pause, or close a breaker."""
    if run is not None:
        return _go_on(path, run, yes=yes)
    with opened(path, executing=False) as site:
        click.echo(_close_breaker(site, breaker, reason) if breaker else _lift_pause(site, reason))
    return 0


def _go_on(path: Path, run: str, *, yes: bool) -> int:
    """Go on with a run that was approved and is carried by nothing, or that was interrupted."""
    at_terminal = sys.stdin.isatty()
    with opened(path) as site, Progress(quiet=False) as progress:
        ask = asker(progress, said_yes=yes, can_ask=at_terminal)
        ended = follow(site.resume_run(run, ask=ask, patient=at_terminal), progress)
        show_end(site, ended, as_json=False)
    return ended.exit_code


def _lift_pause(site: Site, reason: str) -> str:
    pause = site.resume(reason)
    if pause is None:
        return "The site is not paused; nothing was changed."
    return f"RESUMED  paused by {printable(pause.by)} since {moment(pause.at)}: {printable(pause.reason)}"


def _close_breaker(site: Site, runbook: str, reason: str) -> str:
    stood = site.close_breaker(runbook, reason)
    if stood.state is BreakerState.CLOSED:
        return f"The breaker of {runbook} is not open: {stood.failures} end(s) without a cure; nothing was changed."
    return f"CLOSED  the breaker of {runbook}: its last {stood.failures} ends without a cure count no more"
