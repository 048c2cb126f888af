"""`remediate audit`: prove that the trail was not changed, export it, sign it, and tell the timeline of a run."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from remediate.domain.audit import head_line
from remediate.engine.audit import AuditReport
from remediate.interfaces.cli.audit_text import event_line, export_line, heads_in, report_lines
from remediate.interfaces.cli.text import printable
from remediate.interfaces.library import Site

_File = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("audit", help="The audit trail: who did what to what, and when, chained so that a change is seen.")
def audit_command() -> None:
    """Hold the commands about the audit trail."""


@audit_command.command(
    "verify", help="Check the whole trail, and name the first event that was changed, moved or lost."
)
@click.option("--head", "heads", multiple=True, type=_File, metavar="FILE", help="Heads that were kept elsewhere.")
@click.option(
    "--public-key", "keys", type=_File, metavar="FILE", help="The keys that signed them (default: this site's)."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.pass_obj
def verify_trail(path: Path, heads: tuple[Path, ...], keys: Path | None, *, as_json: bool) -> int:
    """Verify; ends with 0 when the trail holds, 1 when it does not, 6 when a head cannot be trusted."""
    kept = [head for file in heads for head in heads_in(file)]
    with Site(path, executing=False) as site:
        report = site.audit.verify(kept, keys.read_text(encoding="utf-8", errors="replace") if keys else "")
    if as_json:
        click.echo(json.dumps(_document(report), indent=2))
    else:
        for line in report_lines(report):
            click.echo(line)
    if not report.verdict.intact:
        return 1
    return 6 if report.doubts else 0


@audit_command.command("export", help="Write the trail to standard output, one event a line, oldest first.")
@click.option("--after", default=0, type=click.IntRange(0), metavar="N", help="Only events after this number.")
@click.option("--format", "_format", default="jsonl", type=click.Choice(["jsonl"]), help="JSON lines.")
@click.pass_obj
def export_trail(path: Path, after: int, _format: str) -> int:
    """Stream the trail; whoever stops reading ends it."""
    with Site(path, executing=False) as site:
        try:
            for stored in site.audit.trail.stored(after=after or None):
                sys.stdout.write(export_line(stored) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            # Python would complain once more when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


@audit_command.command("show", help="Show the timeline of one run: who did what, and when.")
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.pass_obj
def show_timeline(path: Path, run: str, *, as_json: bool) -> int:
    """Show what the trail says about one run."""
    with Site(path, executing=False) as site:
        found = site.run(run)
        events = list(site.audit.trail.events(subject=found.id))
    if as_json:
        click.echo(json.dumps([event.model_dump(mode="json") for event in events], indent=2))
        return 0
    click.echo(f"Run {found.id}: {found.runbook} on {', '.join(found.hosts)}")
    for event in events:
        click.echo(event_line(event))
    return 0


@audit_command.command("head", help="Sign the newest event now, send the head to its targets, and print it.")
@click.pass_obj
def sign_head(path: Path) -> int:
    """Print the newest head as one line; ends with 1 when the trail was changed, and is not signed then."""
    with Site(path, executing=False) as site:
        report = site.sign_head()
        heads = site.audit.trail.heads()
    if report.broken:
        click.echo(f"remediate: No head was signed: {printable(report.broken.reason)}.", err=True)
        click.echo("  next: see `remediate audit verify`, and keep the database as it is", err=True)
        return 1
    for target, why in report.unsent:
        click.echo(f"The head was not sent to {printable(target)}: {printable(why)}. It is tried again.", err=True)
    click.echo(
        head_line(heads[-1]) if heads else "Nothing is recorded yet, so there is nothing to sign.", err=not heads
    )
    return 0


@audit_command.command("key", help="Print the public key that heads of this site are checked with.")
@click.pass_obj
def show_key(path: Path) -> int:
    """Print the key as PEM on standard output, and its id beside it."""
    with Site(path, executing=False) as site:
        click.echo(f"key id {site.audit.keys.key_id()}", err=True)
        click.echo(site.audit.keys.public_key(), nl=False)
    return 0


def _document(report: AuditReport) -> dict[str, object]:
    verdict = report.verdict
    return {
        "intact": verdict.intact,
        "events": verdict.checked,
        "flaw": verdict.flaw.value if verdict.flaw else None,
        "first_bad": verdict.first_bad,
        "first_bad_at_latest": verdict.first_bad_at_latest,
        "reason": verdict.reason,
        "heads": {"outside": report.outside, "recorded": report.inside},
        "doubts": report.doubts,
        "notes": report.notes,
    }
