"""The command `remediate`: finds its commands without importing them, so that help is quick at 3 a.m."""

from __future__ import annotations

import importlib
import os
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from remediate.catalog.discovery import content_directories, find_runbooks, find_site, readme_title
from remediate.errors import EngineFailure, RemediateError, UnknownRunbook
from remediate.interfaces.cli import help_page

#: name -> (module below this package, what the list of commands says about it)
_COMMANDS = {
    "alerts": ("alerts", "Show alerts; compare the policy with what is loaded; try old alerts."),
    "apply": ("apply", "Carry out exactly a plan that was made earlier."),
    "approvals": ("approvals", "Show what waits for approval."),
    "approve": ("answer", "Approve the plan that a run waits with."),
    "audit": ("audit", "Prove that the record was not changed; export it, sign it."),
    "backup": ("backup", "Make, check and restore backups; show what was last said of them."),
    "cancel": ("cancel", "Stop a run."),
    "doctor": ("doctor", "Check that every host can be worked on."),
    "drill": ("drill", "Try a restore; show what drills proved, and where their times are going."),
    "escalate": ("answer", "Ask a higher level at once."),
    "incident": ("incident", "Show incidents, take them on, call for more, close them."),
    "init": ("init", "Make a remediate.yml and an inventory to start from."),
    "list": ("listing", "List the runbooks."),
    "notify": ("notify", "Prove that people can be reached; show what was sent."),
    "oncall": ("oncall", "Show who is on call, who is next, and what is handed over."),
    "pause": ("pause", "Let no run begin to change anything."),
    "plan": ("runbook", "Show what a runbook would do; changes nothing."),
    "reject": ("answer", "Reject the plan that a run waits with."),
    "resume": ("resume", "Go on with a run; lift the pause; let a stopped runbook pass again."),
    "rollback": ("rollback", "Take back what a run did."),
    "runs": ("runs", "Show what was done."),
    "schedule": ("schedule", "Show what is run by itself, when; run it now."),
    "serve": ("serve", "Work for the whole site: carry runs, keep deadlines, send notices."),
    "show": ("catalogue", "Show one runbook: causes, levels, parameters."),
    "storm": ("storm", "Show what holds runs back now, and until when."),
    "token": ("tokens", "Make, list and revoke API tokens."),
    "whoami": ("whoami", "Show whom you act as, how that is known, and what you may do."),
}


class Commands(click.Group):
    """The fixed commands, and one command per runbook of the site."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, without loading anything."""
        return sorted({*_COMMANDS, *_runbooks(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the module of one command."""
        if cmd_name in _COMMANDS:
            module = importlib.import_module(f"remediate.interfaces.cli.{_COMMANDS[cmd_name][0]}")
            command: click.Command = getattr(module, f"{cmd_name}_command")
            return command
        if cmd_name in _runbooks(ctx):
            module = importlib.import_module("remediate.interfaces.cli.runbook")
            loaded: click.Command = module.runbook_command(cmd_name, _site(ctx))
            return loaded
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is answered with the nearest name."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f"did you mean `remediate {near[0]}`? " if near else ""
            raise UnknownRunbook(
                f"There is no runbook or command {args[0]!r}.",
                next_step=f"{hint}see `remediate list` and `remediate --help`",
            )
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        """Make the page of `--help`; where nothing else was asked for, it is kept for the next time."""
        page = super().get_help(ctx)
        if sys.argv[1:] in help_page.ASKING:
            help_page.keep_page(page)
        return page

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the two lists from what is known without loading."""
        runbooks = _runbooks(ctx)
        with formatter.section("Runbooks"):
            formatter.write_dl(
                [(name, readme_title(role)) for name, role in runbooks.items()] or [("none", "no playbooks were found")]
            )
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


def _site(ctx: click.Context) -> Path:
    named = ctx.params.get("site")
    return Path(named).expanduser().absolute() if named else find_site(Path.cwd(), os.environ)


def _runbooks(ctx: click.Context) -> dict[str, Path]:
    return find_runbooks(content_directories(_site(ctx)))


def _version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:  # click's signature of a callback
    if wanted:
        from remediate import __version__  # noqa: PLC0415  # help must not pay for it

        click.echo(f"remediate {__version__}")
        ctx.exit()


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--site", metavar="DIR", help="Directory of remediate.yml (default: here or above, then /etc/remediate).")
@click.option(
    "--token-file",
    metavar="FILE",
    envvar="REMEDIATE_TOKEN_FILE",
    help="Act as the person of the token in this file (mode 0600); also REMEDIATE_TOKEN_FILE.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@click.pass_context
def cli(ctx: click.Context, site: str | None, token_file: str | None) -> None:
    """Repair production hosts by runbooks: diagnose, plan, fix, prove the cure, and undo."""
    ctx.meta["remediate.token_file"] = token_file
    ctx.obj = _site(ctx) if site is None else Path(site).expanduser().absolute()


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the code that the design gives to how it ended."""
    # pydantic would read the metadata of every installed package in search of plugins: slow, and none may act here.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        code: Any = cli.main(args=arguments, prog_name="remediate", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("remediate: stopped; nothing more is done.", err=True)
        sys.stdout.flush()
        # A walk that goes on in its thread would be waited for; its supervisor ends everything when we are gone.
        os._exit(130)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except RemediateError as error:
        show_error(error)
        code = error.exit_code
    except Exception as error:  # noqa: BLE001  # the border of the program: a traceback's exit code 1 means "rolled back"
        show_error(_defect(error))
        code = EngineFailure.exit_code
    sys.exit(code if isinstance(code, int) else 0)


def _defect(error: Exception) -> RemediateError:
    """Say what broke and where, and what is known about the hosts: nothing."""
    import traceback  # noqa: PLC0415  # help must not pay for it

    place = traceback.extract_tb(error.__traceback__)[-1]
    return EngineFailure(
        f"A defect of this program: {type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno}).",
        next_step="look at `remediate runs` for what was done so far; nothing more is done now",
    )


def show_error(error: RemediateError) -> None:
    """Print an error for a person: what happened, then what to do next."""
    from remediate.interfaces.cli.text import printable_lines  # noqa: PLC0415  # help must not pay for it

    click.echo(f"remediate: {printable_lines(error.message)}", err=True)
    if error.next_step:
        click.echo(f"  next: {printable_lines(error.next_step)}", err=True)
