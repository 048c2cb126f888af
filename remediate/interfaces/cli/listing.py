"""`remediate list`: what runbooks there are.

The lines are kept beside a digest of the documents they were made from (`~/.cache/remediate/list.json`): checking
every card takes longer than the whole command may, and what was checked once stays true until a byte changes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from remediate import __version__
from remediate.catalog.discovery import content_directories
from remediate.catalog.fingerprint import catalogue_fingerprint
from remediate.interfaces.cli import kept

if TYPE_CHECKING:
    from remediate.domain.runbook import Runbook

_NAME = "list.json"


@click.command("list", help="List the runbooks.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.pass_obj
def list_command(site: Path, *, as_json: bool) -> int:
    """List all runbooks."""
    if as_json:
        click.echo(json.dumps([runbook.model_dump(mode="json") for runbook in _load(site)], indent=2))
        return 0
    for line in _kept(site) or _lines(site):
        click.echo(line)
    return 0


def _load(site: Path) -> tuple[Runbook, ...]:
    from remediate.catalog.loader import Catalogue  # noqa: PLC0415  # what is kept must not pay for it

    return Catalogue(content_directories(site)).load_all()


def _lines(site: Path) -> list[str]:
    lines = [_line(runbook) for runbook in _load(site)] or ["No runbooks were found."]
    _keep(site, lines)
    return lines


def _line(runbook: Runbook) -> str:
    from remediate.domain.times import span  # noqa: PLC0415  # what is kept must not pay for it

    promise = f"{runbook.severity.value}  RTO {span(runbook.rto):>6}"
    return f"{runbook.id:22} {promise}  {len(runbook.causes):2} causes  {runbook.title}"


def _kept(site: Path) -> list[str]:
    """Return the lines that were made from exactly these documents by this version; none when there are none."""
    try:
        before = json.loads(kept.read(_NAME) or "{}")
        lines = before["lines"] if before["made_from"] == _made_from(site) else ()
        return [str(line) for line in lines]
    except (OSError, ValueError, KeyError, TypeError):  # nothing kept, or not by us: it is made again
        return []


def _keep(site: Path, lines: list[str]) -> None:
    try:
        made_from = _made_from(site)
    except OSError:  # a document went away since it was read: the next call names the problem
        return
    kept.write(_NAME, json.dumps({"made_from": made_from, "lines": lines}))


def _made_from(site: Path) -> str:
    return catalogue_fingerprint(content_directories(site), __version__)
