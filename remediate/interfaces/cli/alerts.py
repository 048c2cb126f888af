"""`remediate alerts`: what was delivered and decided; whether the policy fits what others have loaded; old alerts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from remediate.domain.alert import Alert, AlertRecord
from remediate.domain.alert_check import Misfitting
from remediate.domain.alert_replay import MOST_BYTES, read_replay
from remediate.domain.response_rule import Decided
from remediate.errors import UsageError
from remediate.interfaces.cli.site import opened
from remediate.interfaces.cli.text import moment, printable
from remediate.interfaces.library import Site

_as_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")


@click.group("alerts", help="Show alerts that were delivered; compare the policy with what is loaded; try old alerts.")
def alerts_command() -> None:
    """Group the commands about alerts."""


@alerts_command.command("list", help="List alerts, newest first, and what was decided about each.")
@click.option("--open", "only_open", is_flag=True, help="Only those that still fire.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@_as_json
@click.pass_obj
def list_command(path: Path, limit: int, *, only_open: bool, as_json: bool) -> int:
    """List alerts."""
    with opened(path, executing=False) as site:
        found = site.alerts(only_open=only_open, limit=limit)
    if as_json:
        click.echo(json.dumps([record.model_dump(mode="json") for record in found], indent=2))
        return 0
    for record in found:
        click.echo(_line(record))
    if not found:
        click.echo("No alert fires." if only_open else "No alerts were delivered yet.")
    return 0


def _line(record: AlertRecord) -> str:
    state = "firing" if record.is_open else "resolved"
    alert = record.alert
    about = printable(alert.labels.get("instance", "-"))[:40]
    run = f"  run {record.answer.run_id}" if record.answer.run_id else ""
    return (
        f"{alert.fingerprint}  {moment(alert.starts_at)}  {state:8}  {printable(alert.name)[:40]:24} {about:30} "
        f"{record.answer.decision.value}{run}"
    )


@alerts_command.command("show", help="Show each time that an alert has fired, by its fingerprint.")
@click.argument("fingerprint")
@_as_json
@click.pass_obj
def show_command(path: Path, fingerprint: str, *, as_json: bool) -> int:
    """Show an alert."""
    with opened(path, executing=False) as site:
        found = site.alert_history(fingerprint)
    if not found:
        raise UsageError(f"There is no alert {fingerprint!r}.", next_step="see `remediate alerts list`")
    if as_json:
        click.echo(json.dumps([record.model_dump(mode="json") for record in found], indent=2))
        return 0
    for line in _lines(found):
        click.echo(line)
    return 0


def _lines(found: Sequence[AlertRecord]) -> Iterator[str]:
    newest = found[0].alert
    yield f"Alert      {printable(newest.name)} ({newest.fingerprint}), from {printable(newest.source)}"
    for name, value in sorted(newest.labels.items()):
        yield f"  {printable(name)[:60]:20} {printable(value)[:200]}"
    yield f"Fired      {len(found)} time(s)"
    for record in found:
        over = f"resolved {moment(record.resolved_at)}" if record.resolved_at else "still fires"
        yield f"  {moment(record.alert.starts_at)}  {over}; delivered {record.deliveries} time(s)"
        yield f"    {record.answer.decision.value}: {printable(record.answer.reason)}"
        if record.answer.run_id:
            yield f"    run {record.answer.run_id}: see `remediate runs show {record.answer.run_id}`"
        if record.incident_id:
            yield f"    incident {record.incident_id}: see `remediate incident show {record.incident_id}`"


@alerts_command.command("check", help="Compare policy and cards with what Prometheus and Alertmanager have loaded.")
@_as_json
@click.pass_obj
def check_command(path: Path, *, as_json: bool) -> int:
    """Compare; the exit code is 1 when something does not fit."""
    with opened(path, executing=False) as site:
        found = site.check_alerts()
    code = 1 if any(not one.note for one in found) else 0
    if as_json:
        click.echo(json.dumps([one.model_dump(mode="json") for one in found], indent=2))
        return code
    for line in _check_lines(found):
        click.echo(line)
    if code == 0:
        click.echo("Everything fits.")
    return code


def _check_lines(found: Sequence[Misfitting]) -> Iterator[str]:
    for one in sorted(found, key=lambda one: one.note):
        yield f"{'[note]' if one.note else '[FIX]'}  {one.source}  {one.kind.value}: {printable(one.about)}"
        yield f"  what     {printable(one.what)}"
        yield f"  next     {printable(one.remedy)}"


@alerts_command.command("replay", help="Show what old alerts would do now; nothing is done, and nothing is recorded.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--source", metavar="NAME", help="The source that they came from, where there are several.")
@_as_json
@click.pass_obj
def replay_command(path: Path, file: Path, source: str | None, *, as_json: bool) -> int:
    """Decide about the alerts of a file: deliveries of a webhook, or what Alertmanager's API lists."""
    with opened(path, executing=False) as site:
        name = source or _only_source(site)
        if name not in site.settings.sources:
            raise UsageError(f"There is no source {name!r}.", next_step="see `sources:` in remediate.yml")
        with file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        read = read_replay(content, name, site.settings.sources[name].kind)
        found = site.replay_alerts(read.alerts)
    if as_json:
        click.echo(json.dumps({"alerts": _documents(found), "refused": list(read.refused)}, indent=2))
        return 0
    for line in _replay_lines(found, read.refused):
        click.echo(line)
    return 0


def _documents(found: Sequence[tuple[Alert, Decided]]) -> list[dict[str, object]]:
    return [{"alert": alert.model_dump(mode="json"), "decided": one.model_dump(mode="json")} for alert, one in found]


def _only_source(site: Site) -> str:
    names = list(site.settings.sources)
    if len(names) != 1:
        raise UsageError(
            f"There are {len(names)} sources: which one did they come from?", next_step="name it with --source NAME"
        )
    return names[0]


def _replay_lines(found: Sequence[tuple[Alert, Decided]], refused: Sequence[str]) -> Iterator[str]:
    for alert, decided in found:
        answer = decided.answer
        what = f"{answer.runbook} on {decided.host}" if decided.host else "nothing"
        yield f"{moment(alert.starts_at)}  {printable(alert.name)[:40]:24} {answer.decision.value:14} {what}"
        yield f"  because  {printable(answer.reason)}"
        if decided.parameters:
            given = ", ".join(f"{name}={value!r}" for name, value in sorted(decided.parameters.items()))
            yield f"  with     {printable(given)[:300]}"
    yield from (f"cannot be read: {printable(one)}" for one in refused)
    starting = sum(bool(decided.host) for _, decided in found)
    yield f"{len(found)} alert(s), {starting} of them would start a run; nothing was done."
    yield "The storm policy is asked when a run begins: `remediate storm` shows where it stands now."
