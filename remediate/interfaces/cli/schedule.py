"""`remediate schedule`: what is run by itself, when it is next, what was last, what holds it back; run it now."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import click

from remediate.engine.schedule_book import ScheduleStanding
from remediate.interfaces.cli.document import print_each
from remediate.interfaces.cli.progress import Progress
from remediate.interfaces.cli.runbook import asker, follow, show_end
from remediate.interfaces.cli.site import opened
from remediate.interfaces.cli.text import moment, printable, span


@click.group("schedule", help="Show what is run by itself, when; run it now.")
def schedule_command() -> None:
    """Group the commands about schedules."""


@schedule_command.command(
    "list", help="Show each schedule: when it is next, how its last run ended, what holds it back."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.pass_obj
def list_command(path: Path, *, as_json: bool) -> int:
    """List schedules."""
    with opened(path, executing=False) as site:
        found = site.schedules()
    print_each(
        found,
        _document,
        _lines,
        as_json=as_json,
        nothing="Nothing is run by itself: see docs/how-to/schedules-and-drills.md.",
    )
    return 0


def _document(one: ScheduleStanding) -> dict[str, object]:
    return {
        **one.schedule.model_dump(mode="json", exclude={"hosts", "jitter", "missed", "zone"}),
        "time_zone": one.schedule.zone.key,
        "jitter_seconds": one.schedule.jitter.total_seconds(),
        "missed_seconds": one.schedule.missed.total_seconds(),
        "hosts": list(one.hosts),
        "next": _iso(one.next.begins) if one.next else None,
        "last": one.last.model_dump(mode="json") if one.last else None,
        "run": one.run.model_dump(mode="json", exclude={"plan"}) if one.run else None,
        "overdue_seconds": one.overdue.late.total_seconds(),
        "held_back": list(one.held_back),
    }


def _iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _lines(one: ScheduleStanding) -> Iterator[str]:
    begins = moment(one.next.begins) if one.next else "never"
    yield f"{one.schedule.name}  {one.schedule.runbook} on {', '.join(map(printable, one.hosts)) or 'no host'}"
    yield f"  when     {one.schedule.cron} ({one.schedule.zone.key}); next {begins}"
    if one.last:
        yield f"  last     {one.last.decision.value}: {printable(one.last.reason)}"
    if one.run:
        status = one.run.status.value.replace("_", " ")
        yield f"  run      {one.run.id} {status}, {moment(one.run.updated_at)}: {printable(one.run.outcome)}"
    if one.overdue.late:
        late = span(timedelta(minutes=one.overdue.late // timedelta(minutes=1)))
        yield f"  OVERDUE  for {late}: no run has given an answer since"
    for why in one.held_back:
        yield f"  held     {printable(why)}"


@schedule_command.command("run", help="Run now what a schedule runs, as yourself; its next time stays as it is.")
@click.argument("name")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the record.")
@click.option("--yes", "-y", is_flag=True, help="Approve a plan of level 1 in advance.")
@click.option("--wait/--no-wait", "patient", default=None, help="Wait for an approval (default: at a terminal).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document at the end, and nothing else.")
@click.pass_obj
def run_command(path: Path, name: str, *, reason: str, yes: bool, patient: bool | None, as_json: bool) -> int:
    """Run a schedule by hand."""
    at_terminal = not as_json and sys.stdin.isatty()
    with opened(path) as site, Progress(quiet=as_json) as progress:
        ask = asker(progress, said_yes=yes, can_ask=at_terminal)
        patience = at_terminal if patient is None else patient
        run = follow(site.run_schedule(name, reason=reason, ask=ask, patient=patience), progress)
        show_end(site, run, as_json=as_json)
    return run.exit_code
