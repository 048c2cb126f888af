"""`remediate serve`: works for the whole site, until it is told to stop."""

from __future__ import annotations

import getpass
import os
import re
import signal
import sys
from functools import partial
from importlib.resources import files
from pathlib import Path
from threading import Event
from types import FrameType

import click

from remediate.errors import StateUnusable, UsageError
from remediate.interfaces.cli.text import printable
from remediate.interfaces.library import BesideSite, Site


@click.command(
    "serve", help="Carry runs, keep the deadlines of approvals and send notices, until it is stopped (Ctrl-C, SIGTERM)."
)
@click.option("--unit", is_flag=True, help="Print a systemd unit for this site instead, and end.")
@click.pass_obj
def serve_command(path: Path, *, unit: bool) -> int:
    """Serve; running work is asked to stop, and waited for, when the service is."""
    if unit:
        click.echo(_unit(path), nl=False)
        return 0
    stop = Event()

    def told(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)
    with Site(path, service=True) as site:
        click.echo(f"Serving {printable(str(path))}. Ctrl-C stops it.")
        try:
            site.serve(stop, _http(site, stop))
        finally:
            if left := site.carried:
                click.echo(f"Left behind, because it did not stop: {', '.join(left)}. It is interrupted now.", err=True)
                sys.stdout.flush()
                # Threads would be waited for without end; the supervisors end everything of Ansible when we are gone.
                os._exit(0 if sys.exc_info()[0] is None else StateUnusable.exit_code)
    click.echo("Stopped.")
    return 0


def _unit(path: Path) -> str:
    """Return the systemd unit for this site, program and user; raises UsageError for a path that it cannot hold."""
    program = Path(sys.argv[0]).absolute()
    values = {"@USER@": getpass.getuser(), "@PROGRAM@": str(program), "@SITE@": str(path.absolute())}
    unit = files("remediate.interfaces.cli").joinpath("remediate.service").read_text()
    for name, value in values.items():
        if not re.fullmatch(r"[A-Za-z0-9/_.@:+-]+", value):
            raise UsageError(
                f"{printable(value)!r} cannot stand in a unit.",
                next_step="write the unit by hand: docs/how-to/service.md",
            )
        unit = unit.replace(name, value)
    return unit


def _http(site: Site, stop: Event) -> BesideSite | None:
    """Return what answers HTTP beside the service, where the settings say so."""
    if site.settings.http is None:
        return None
    # A fifth of a second of imports, which no other command has to wait for.
    from remediate.interfaces.http.server import serving  # noqa: PLC0415  # only a service that listens pays

    return partial(serving, site, stop, lambda address: click.echo(f"Listening at {printable(address)}."))
