"""`remediate drill`: restores that were tried, what each proved, where their times are going; try one now."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import click

from remediate.domain.drill import RESTORE_TEST, Drill, Trend, evidence, exit_code, model_of, report_digest, trends
from remediate.domain.report import DrillVerdict
from remediate.domain.run import Run
from remediate.errors import UsageError
from remediate.interfaces.cli.document import print_each
from remediate.interfaces.cli.noun import Noun
from remediate.interfaces.cli.runbook import runbook_command, show_end
from remediate.interfaces.cli.site import opened
from remediate.interfaces.cli.text import moment, printable, size, span
from remediate.interfaces.drill_page import drill_page, model_words
from remediate.interfaces.library import Site

_as_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
_MOST = 1000


def _ending(site: Site, run: Run, as_json: bool) -> int:  # as `Ending` has it
    """Show what a run of drills proved, and end with the worst of it."""
    show_end(site, run, as_json=as_json)
    made = [one for one in site.drills(limit=_MOST) if one.run_id == run.id]
    if not as_json:
        for one in made:
            click.echo(f"  drill    {_line(one)}")
    return exit_code(run, [one.report for one in made])


class _Drills(Noun):
    runbooks = {"run": (RESTORE_TEST, "Try a restore now; the exit code says what it proved.")}

    @staticmethod
    def make(name: str, runbook: str, site: Path) -> click.Command:
        """Return the command of the restore test; its option for one source is `--source` here."""
        return runbook_command(runbook, site, name=name, ending=_ending, other_names={"only": "source"})


@click.group("drill", cls=_Drills, help="Try a restore; show what drills proved, and where their times are going.")
def drill_command() -> None:
    """Group the commands about drills."""


@drill_command.command("list", help="List drills, newest first.")
@click.option("--source", default="", metavar="NAME", help="Only of this source.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, _MOST), help="How many.")
@_as_json
@click.pass_obj
def list_command(path: Path, source: str, limit: int, *, as_json: bool) -> int:
    """List drills."""
    with opened(path, executing=False) as site:
        found = site.drills(source=source, limit=limit)
    nothing = "No drill was made: `remediate drill run` makes one."
    print_each(found, _document, lambda one: [_line(one)], as_json=as_json, nothing=nothing)
    return 0


def _document(one: Drill) -> dict[str, object]:
    return {"run_id": one.run_id, "host": one.host, "digest": report_digest(one.report), "report": evidence(one.report)}


def _line(one: Drill) -> str:
    report = one.report
    measured = (
        f"RTO {_against(report.rto_seconds, report.rto_target)}, RPO {_against(report.rpo_seconds, report.rpo_target)}"
    )
    said = measured if report.verdict in {DrillVerdict.PASS, DrillVerdict.RTO_MISS, DrillVerdict.RPO_MISS} else ""
    why = printable(report.reason)[:100]
    about = f"{moment(one.ended_at)}  {one.run_id}  {printable(report.source):16} {report.verdict.value:16}"
    return f"{about} {'; '.join(filter(None, (said, why)))}"


def _against(seconds: float, target: float) -> str:
    return f"{_span(seconds)} of {_span(target)}"


def _span(seconds: float) -> str:
    return span(timedelta(seconds=min(round(seconds, 1), 1e9)))


@dataclass(frozen=True)
class _Shown:
    """A drill, and where the times of its source are going."""

    drill: Drill
    rto: Trend
    rpo: Trend


@drill_command.command("show", help="Show one drill whole: the evidence, and where the times of its source are going.")
@click.argument("run")
@click.option("--source", default="", metavar="NAME", help="The source, where the run was about several.")
@click.option("--html", "file", default="", metavar="FILE", help="Write it as one page that needs nothing else.")
@_as_json
@click.pass_obj
def show_command(path: Path, run: str, source: str, file: str, *, as_json: bool) -> int:
    """Show one drill."""
    with opened(path, executing=False) as site:
        drill = site.drill(run, source=source)
        shown = _Shown(drill, *trends(site.drills(source=drill.report.source, limit=_MOST)))
    if file:
        _write(Path(file), drill_page(shown.drill, shown.rto, shown.rpo))
    if as_json:
        click.echo(json.dumps(_whole(shown), indent=2))
    elif file:
        click.echo(f"Written    {printable(file)}")
    else:
        for line in _lines(shown):
            click.echo(line)
    return 0


def _write(file: Path, page: str) -> None:
    """Write a page, readable for its owner only: it names hosts and backups. Raises UsageError when it cannot be."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as opened_file:  # noqa: PTH123  # a descriptor with its mode
            opened_file.write(page)
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror}.", next_step="name another --html FILE"
        ) from error


def _whole(shown: _Shown) -> dict[str, object]:
    going = {"rto": shown.rto.model_dump(mode="json"), "rpo": shown.rpo.model_dump(mode="json")}
    model = model_of(shown.drill.report)
    return {**_document(shown.drill), "trend": going, "model": model.model_dump(mode="json") if model else None}


def _lines(shown: _Shown) -> Iterator[str]:
    report, backup = shown.drill.report, shown.drill.report.backup
    yield f"Drill      {shown.drill.run_id} of {printable(report.source)} on {printable(shown.drill.host)}"
    yield f"Verdict    {report.verdict.value}: {printable(report.reason)}"
    yield f"Restored   {printable(backup.id)} (snapshot {printable(backup.snapshot)}, {printable(backup.repository)})"
    for one in report.passed_over:
        yield f"Bad        {printable(one.id)}: {printable(one.reason)}"
    if report.position:
        compared = f"{report.tables_compared} of {report.tables_total} tables compared"
        yield f"Up to      {printable(report.position)}; {compared}"
    for phase in report.phases:
        yield f"  {phase.name:8} {_span(phase.seconds):>12}  {size(phase.bytes)}"
    yield f"RTO        {_against(report.rto_seconds, report.rto_target)}; {shown.rto.forecast.words}"
    yield f"RPO        {_against(report.rpo_seconds, report.rpo_target)}; {shown.rpo.forecast.words}"
    if model := model_of(report):
        yield f"Model      {model_words(model, report.rto_target)}"
    yield f"Evidence   sha256 {report_digest(report)}"
    yield f"           the audit trail holds it too: remediate audit show {shown.drill.run_id}"
