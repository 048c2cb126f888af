"""Opens the site of a command as the person who types it, and tells about runs that were interrupted before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from remediate.adapters.token_file import read_token
from remediate.interfaces.cli.text import printable
from remediate.interfaces.library import Site


@contextmanager
def opened(path: Path, *, executing: bool = True) -> Iterator[Site]:
    """Open a site; runs whose process was killed are marked, and named once to the person."""
    with Site(path, executing=executing, token=_token()) as site:
        for run in site.recover():
            click.echo(
                f"Run {run.id} ({run.runbook} on {', '.join(run.hosts)}) was interrupted: {printable(run.outcome)}.",
                err=True,
            )
            click.echo(f"  what it had done: `remediate runs show {run.id}`", err=True)
        for run in site.left_alone():
            click.echo(
                f"Run {run.id} ({run.runbook} on {', '.join(run.hosts)}) was handed over, and nobody goes on with it: "
                f"`remediate resume {run.id}` does.",
                err=True,
            )
        yield site


def _token() -> str | None:
    """Return the token of the file that `--token-file` or REMEDIATE_TOKEN_FILE names."""
    file: str | None = click.get_current_context().meta["remediate.token_file"]
    return None if file is None else read_token(Path(file).expanduser())
