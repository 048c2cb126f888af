"""`remediate show`: what one runbook can do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from remediate.catalog.discovery import content_directories
from remediate.catalog.loader import Catalogue
from remediate.domain.parameter import choices_in_words, short_name
from remediate.domain.runbook import Cause, Parameter, Rollback, Runbook
from remediate.interfaces.cli.text import span


@click.command("show", help="Show one runbook: causes, levels, parameters.")
@click.argument("runbook")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.pass_obj
def show_command(site: Path, runbook: str, *, as_json: bool) -> int:
    """Show one runbook."""
    found = Catalogue(content_directories(site)).load(runbook)
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return 0
    for line in _lines(found):
        click.echo(line)
    return 0


def _lines(runbook: Runbook) -> Iterator[str]:
    yield f"{runbook.id}: {runbook.title}"
    yield f"Severity   {runbook.severity.value}"
    yield f"RTO        {span(runbook.rto)}"
    for alert in runbook.alerts:
        yield f"Alert      {alert.name} ({alert.severity.value})"
    yield "Causes"
    yield from (line for cause in runbook.causes.values() for line in _cause_lines(cause))
    yield "Parameters (--set NAME=VALUE, or --NAME VALUE with hyphens)"
    yield from (line for parameter in runbook.parameters.values() for line in _parameter_lines(parameter, runbook.role))


def _cause_lines(cause: Cause) -> Iterator[str]:
    if cause.hand_over:
        yield f"  {cause.id:22} handed over to {cause.hand_over}"
    else:
        yield f"  {cause.id:22} {_terms(cause)}"
    yield f"  {'':22} {cause.title}. Evidence: {cause.evidence}"


def _terms(cause: Cause) -> str:
    effects = f", effects: {', '.join(cause.effects)}" if cause.effects else ""
    undo = (
        f"cannot be undone: {cause.rollback_reason}"
        if cause.rollback is Rollback.NONE
        else f"undo {cause.rollback.value}"
    )
    return f"level {cause.approval}{effects}; {undo}"


def _parameter_lines(parameter: Parameter, role: str) -> Iterator[str]:
    default = "" if parameter.default is None else f", default {parameter.default}"
    choices = f", one of {choices_in_words(parameter)}" if parameter.choices else ""
    yield f"  {short_name(parameter.name, role):22} {parameter.type}{choices}{default}"
    yield f"  {'':22} {parameter.description}"
