"""`remediate incident`: what is wrong now, who has taken it on, how long it took; and what people do about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import click

from remediate.domain.audit import AuditEvent
from remediate.domain.incident import Incident, IncidentTimes, means
from remediate.engine.incidents import IncidentView
from remediate.interfaces.cli.audit_text import event_line
from remediate.interfaces.cli.site import opened
from remediate.interfaces.cli.text import moment, printable, span

_as_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")


@click.group("incident", help="Show incidents, take them on, call a higher level, close them by hand.")
def incident_command() -> None:
    """Group the commands about incidents."""


@incident_command.command("list", help="List incidents, newest first, with the times of those that are shown.")
@click.option("--all", "every_one", is_flag=True, help="Also those that are closed.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@_as_json
@click.pass_obj
def list_command(path: Path, limit: int, *, every_one: bool, as_json: bool) -> int:
    """List incidents."""
    with opened(path, executing=False) as site:
        found = site.incidents(only_open=not every_one, limit=limit)
    if as_json:
        document = {"incidents": [_document(one) for one in found], "means": means(found).model_dump(mode="json")}
        click.echo(json.dumps(document, indent=2))
        return 0
    for one in found:
        click.echo(_line(one))
    if not found:
        click.echo("No incidents." if every_one else "No incident is open.")
        return 0
    for line in _mean_lines(found):
        click.echo(line)
    return 0


def _document(incident: Incident) -> dict[str, object]:
    times = incident.times.model_dump(mode="json") | {"kept": incident.times.kept}
    return {**incident.model_dump(mode="json"), "stage": incident.stage.value, "times": times}


def _line(one: Incident) -> str:
    kind = "" if one.kind.value == "incident" else f" ({one.kind.value})"
    who = one.acknowledged_by or (f"level {one.level} called" if one.level else "-")
    return (
        f"{one.id}  {one.severity.value}  {one.stage.value + kind:14} since {moment(one.opened_at)}  "
        f"{printable(who):16} {printable(one.title)[:100]}"
    )


def _mean_lines(found: tuple[Incident, ...]) -> Iterator[str]:
    mean = means(found)
    known = {"detect": mean.detect, "acknowledge": mean.acknowledge, "resolve": mean.resolve}
    said = ", ".join(f"to {word} {_span(value)}" for word, value in known.items() if value is not None)
    if said:
        yield f"Mean time  {said}"
    if mean.judged:
        yield f"In time    {mean.kept} of {mean.judged}"


@incident_command.command("show", help="Show one incident: its times, alerts, runs, and everything that happened.")
@click.argument("incident")
@click.option("--brief", is_flag=True, help="Without the timeline.")
@_as_json
@click.pass_obj
def show_command(path: Path, incident: str, *, brief: bool, as_json: bool) -> int:
    """Show one incident."""
    with opened(path, executing=False) as site:
        view = site.incident(incident)
        events = () if brief else site.timeline(view.incident.id)
    if as_json:
        document = {
            "incident": _document(view.incident),
            "runs": [run.model_dump(mode="json", exclude={"plan"}) for run in view.runs],
            "alerts": [record.model_dump(mode="json") for record in view.alerts],
            "timeline": [event.model_dump(mode="json") for event in events],
        }
        click.echo(json.dumps(document, indent=2))
        return 0
    for line in _lines(view, events):
        click.echo(line)
    return 0


def _lines(view: IncidentView, events: tuple[AuditEvent, ...]) -> Iterator[str]:
    one = view.incident
    yield f"Incident   {one.id}  {one.severity.value}  {one.stage.value}: {printable(one.title)}"
    if one.note:
        yield f"Note       {printable(one.note)}"
    yield f"Known      since {moment(one.opened_at)}"
    if one.acknowledged_at:
        yield f"Taken on   by {printable(one.acknowledged_by)}, {moment(one.acknowledged_at)}"
    if one.level:
        yield f"Called     level {one.level}" + (f", {moment(one.escalated_at)}" if one.escalated_at else "")
    if one.closed_at:
        yield f"Closed     by {printable(one.closed_by or 'engine')}, {moment(one.closed_at)}"
    yield from _time_lines(one.times)
    for record in view.alerts:
        state = "fires" if record.is_open else "resolved"
        yield f"Alert      {printable(record.alert.name)} {state}  {printable(record.key)}"
    for run in view.runs:
        status = run.status.value.replace("_", " ")
        yield f"Run        {run.id}  {run.runbook}  {status}: {printable(run.outcome)}"
    if events:
        yield "Timeline"
        yield from map(event_line, events)
    yield from _next(one)


def _time_lines(times: IncidentTimes) -> Iterator[str]:
    known = {"detected": times.detected, "taken on": times.acknowledged, "over": times.resolved}
    said = ", ".join(f"{word} after {_span(value)}" for word, value in known.items() if value is not None)
    if said:
        yield f"Times      {said}"
    if times.target:
        kept = {True: "kept", False: "MISSED", None: "goes on"}[times.kept]
        yield f"Target     {_span(times.target)}: {kept}"


def _span(duration: timedelta | None) -> str:
    return span(timedelta(seconds=round(duration.total_seconds(), 1))) if duration is not None else "-"


def _next(one: Incident) -> Iterator[str]:
    if one.closed_at:
        return
    if not one.acknowledged_at:
        yield f"  next     remediate incident ack {one.id}"
    yield f"           remediate incident escalate {one.id} --to {min(one.level + 1, 4)} --reason TEXT"
    yield f"           remediate incident resolve {one.id} --reason TEXT"


@incident_command.command("ack", help="Take an incident on: nobody else is called because of silence.")
@click.argument("incident")
@click.pass_obj
def ack_command(path: Path, incident: str) -> int:
    """Take an incident on."""
    with opened(path, executing=False) as site:
        taken = site.acknowledge_incident(incident)
    click.echo(f"Taken on   {taken.id} by {printable(taken.acknowledged_by)}")
    return 0


@incident_command.command("escalate", help="Call a higher level at once; anybody may who sees the incident.")
@click.argument("incident")
@click.option("--to", "level", required=True, type=click.IntRange(1, 4), help="The level to call.")
@click.option("--reason", required=True, metavar="TEXT", help="Why.")
@click.pass_obj
def escalate_command(path: Path, incident: str, level: int, reason: str) -> int:
    """Call a higher level."""
    with opened(path) as site:
        called = site.escalate_incident(incident, level, reason)
    click.echo(f"Called     level {called.level} for {called.id}")
    return 0


@incident_command.command("resolve", help="Close an incident by hand.")
@click.argument("incident")
@click.option("--reason", required=True, metavar="TEXT", help="What has ended it.")
@click.pass_obj
def resolve_command(path: Path, incident: str, reason: str) -> int:
    """Close an incident."""
    with opened(path, executing=False) as site:
        closed = site.resolve_incident(incident, reason)
    click.echo(f"Closed     {closed.id}: {printable(closed.note)}")
    return 0
