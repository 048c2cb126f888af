"""`remediate backup`: what was last said of backups; the runbooks about them under shorter names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from remediate.domain.report import Verdict
from remediate.interfaces.cli.document import print_each
from remediate.interfaces.cli.noun import Noun
from remediate.interfaces.cli.plan_text import measure_lines
from remediate.interfaces.cli.runbook import runbook_command
from remediate.interfaces.cli.site import opened
from remediate.interfaces.cli.text import moment, printable
from remediate.interfaces.recovery_desk import BackupStanding

_SAID = {Verdict.CURED: "ok", Verdict.NOT_CURED: "BAD", Verdict.CANNOT_TELL: "cannot tell"}
_MARKS = {Verdict.CURED: "ok  ", Verdict.NOT_CURED: "BAD ", Verdict.CANNOT_TELL: "??  "}


class _Backups(Noun):
    runbooks = {
        "create": ("backup-create", "Make the backups that are due."),
        "verify": ("backup-verify", "Check the backups that there are."),
        "restore": ("database-restore", "Restore a database from its backups."),
    }

    @staticmethod
    def make(name: str, runbook: str, site: Path) -> click.Command:
        """Return the command of a runbook under its shorter name."""
        return runbook_command(runbook, site, name=name)


@click.group("backup", cls=_Backups, help="Make, check and restore backups; show what was last said of them.")
def backup_command() -> None:
    """Group the commands about backups."""


@backup_command.command("list", help="Show what the last run about backups said on each host.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.pass_obj
def list_command(path: Path, *, as_json: bool) -> int:
    """List what is known of backups."""
    with opened(path, executing=False) as site:
        found = site.backups()
    print_each(
        found,
        _document,
        _lines,
        as_json=as_json,
        nothing="Nothing is known of backups: `remediate backup verify` looks at them.",
    )
    return 0


def _document(one: BackupStanding) -> dict[str, object]:
    said = one.verification.model_dump(mode="json", include={"verdict", "checks", "measures"})
    about = {"runbook": one.runbook, "host": one.host, "run_id": one.run_id}
    return {**about, "ended_at": one.ended_at.isoformat().replace("+00:00", "Z"), **said}


def _lines(one: BackupStanding) -> Iterator[str]:
    verdict = _SAID[one.verification.verdict]
    yield f"{printable(one.host)}  {one.runbook}: {verdict}, {moment(one.ended_at)}, run {one.run_id}"
    for check in one.verification.checks:
        yield f"  {_MARKS[check.verdict]} {printable(check.name)}: {printable(check.detail)}"
    yield from measure_lines(one.verification.measures)
