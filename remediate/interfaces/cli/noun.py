"""A noun of the command line: commands of its own, and runbooks under a shorter name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import click

from remediate.catalog.discovery import content_directories, find_runbooks
from remediate.errors import UnknownRunbook


class Noun(click.Group):
    """A group of which some commands are runbooks: those are looked for only when they are used."""

    #: By the name of the command: its runbook, and what the list of commands says about it.
    runbooks: Mapping[str, tuple[str, str]] = {}
    #: What makes the command of a runbook: of its name, of the runbook's, of the site's directory.
    make: Callable[[str, str, Path], click.Command]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, without loading anything."""
        return sorted({*super().list_commands(ctx), *self.runbooks})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; raises UnknownRunbook where it is a runbook that this site does not have."""
        if cmd_name not in self.runbooks:
            return super().get_command(ctx, cmd_name)
        runbook = self.runbooks[cmd_name][0]
        site: Path = ctx.obj
        if runbook not in find_runbooks(content_directories(site)):
            raise UnknownRunbook(
                f"`{ctx.command_path} {cmd_name}` is the runbook {runbook}, which this site does not have.",
                next_step=f"see `remediate list`; a runbook is playbooks/{runbook}.yml with its role",
            )
        return type(self).make(cmd_name, runbook, site)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list from what is known without loading."""
        own = {name: command.get_short_help_str() for name, command in self.commands.items()}
        told = {**own, **{name: text for name, (_, text) in self.runbooks.items()}}
        with formatter.section("Commands"):
            formatter.write_dl(sorted(told.items()))
