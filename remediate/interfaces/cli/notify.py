"""`remediate notify`: prove that channels work, and see what was sent."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import click

from remediate.domain.notice import Notice
from remediate.errors import UsageError
from remediate.interfaces.cli.site import opened
from remediate.interfaces.cli.text import moment, printable, span
from remediate.interfaces.library import Site


@click.group("notify", help="Prove that the channels work, and see what was sent to whom.")
def notify_command() -> None:
    """Group the commands about notices."""


@notify_command.command("test", help="Send a real notice and say whether it arrived; ends with 6 when one did not.")
@click.option("--channel", metavar="NAME", default="", help="Only over this channel.")
@click.option("--person", "people", multiple=True, metavar="ID", help="To this person (default: you); may be repeated.")
@click.option("--everybody", is_flag=True, help="To everybody.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.pass_obj
def test_notify(path: Path, channel: str, people: tuple[str, ...], *, everybody: bool, as_json: bool) -> int:
    """Send test notices."""
    with opened(path, executing=False) as site:
        chosen = tuple(site.settings.people.by_id) if everybody else people or (_you(site),)
        found = site.try_channels(chosen, channel=channel)
    if as_json:
        click.echo(json.dumps([notice.model_dump(mode="json") for notice in found], indent=2))
    else:
        for notice in sorted(found, key=lambda one: one.key):
            click.echo(f"{notice.channel:16} {notice.person:16} {_outcome(notice)}")
    return 0 if all(notice.delivered_at for notice in found) else 6


@notify_command.command("list", help="List what was sent, newest first: when, to whom, how often tried, what failed.")
@click.option("--run", "run_id", metavar="RUN", default="", help="Only what was sent about this run.")
@click.option("--limit", "count", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.pass_obj
def list_notices(path: Path, run_id: str, count: int, *, as_json: bool) -> int:
    """List notices."""
    with opened(path, executing=False) as site:
        found = site.notices(run=run_id, limit=count)
    if as_json:
        click.echo(json.dumps([notice.model_dump(mode="json") for notice in found], indent=2))
        return 0
    for notice in found:
        click.echo(f"{moment(notice.created_at)}  {notice.key}")
        click.echo(f"  {printable(notice.subject)}")
        click.echo(f"  {_outcome(notice)}")
    if not found:
        click.echo("Nothing was sent yet.")
    return 0


def _outcome(notice: Notice) -> str:
    error = printable(notice.last_error)
    tries = "1 attempt" if notice.attempts == 1 else f"{notice.attempts} attempts"
    if notice.delivered_at:
        return f"delivered {moment(notice.delivered_at)} after {span(notice.delivered_at - notice.created_at)}, {tries}"
    if notice.given_up_at:
        return f"NOT DELIVERED, {tries}: {error}"
    if not notice.attempts:
        return f"waiting, due {moment(notice.next_at)}"
    return f"not delivered yet, {tries}, next {moment(notice.next_at)}" + (f": {error}" if error else "")


def _you(site: Site) -> str:
    user = getpass.getuser()
    if person := site.settings.people.for_os_user(user):
        return person.id
    raise UsageError(
        f"remediate.yml does not say which person the user {user} is.",
        next_step="name somebody with --person ID, or map the user: `os_users` in the section `people`",
    )
