"""One command per runbook, with typed options from its parameters; and `plan`, which only looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from remediate.catalog.discovery import content_directories
from remediate.catalog.loader import Catalogue
from remediate.domain.parameter import short_name
from remediate.domain.plan import Plan
from remediate.domain.run import Run, RunStatus
from remediate.domain.runbook import Parameter, Runbook
from remediate.errors import UsageError
from remediate.interfaces.cli.document import run_document
from remediate.interfaces.cli.outcome import closing_lines
from remediate.interfaces.cli.progress import Progress
from remediate.interfaces.cli.site import opened
from remediate.interfaces.library import Site
from remediate.interfaces.live import Going

_SETTABLE = {"dict"}


#: What a command ends with, and may show before it does.
Ending = Callable[[Site, Run, bool], int]


def _shown_by_itself(site: Site, run: Run, as_json: bool) -> int:  # as `Ending` has it
    show_end(site, run, as_json=as_json)
    return run.exit_code


def runbook_command(
    runbook_id: str,
    site: Path,
    *,
    name: str = "",
    ending: Ending = _shown_by_itself,
    other_names: Mapping[str, str] | None = None,
) -> click.Command:
    """Return the command of one runbook; raises InvalidDocument when its documents are wrong.

    It may have another name, another ending, and other names for options besides: `{"only": "source"}`.
    """
    runbook = Catalogue(content_directories(site)).load(runbook_id)
    return click.Command(
        name or runbook.id,
        callback=_carry_out(runbook, ending),
        params=[*_general_options(applying=True), *_typed_options(runbook, other_names or {})],
        help=f"{runbook.title}. {runbook.severity.value}; see `remediate show {runbook.id}`.",
    )


def _carry_out(runbook: Runbook, ending: Ending) -> Callable[..., int]:
    @click.pass_obj
    def command(site: Path, /, **options: Any) -> int:
        given = _given(options, runbook)
        return _run(site, runbook.id, options, given, ending)

    return command


@click.command("plan", help="Show what a runbook would do on its hosts; changes nothing, needs no approval.")
@click.argument("runbook")
@click.pass_obj
def plan_command(site: Path, /, runbook: str, **options: Any) -> int:
    """Look, and show the plan."""
    options = {**options, "check": True, "yes": False}
    return _run(site, runbook, options, _assignments(options["assignments"]))


def _general_options(*, applying: bool) -> list[click.Parameter]:
    options: list[click.Parameter] = [
        click.Option(
            ["--limit", "-l", "hosts"],
            multiple=True,
            metavar="HOST",
            help="Host to work on, by its exact name; may be repeated.",
        ),
        click.Option(
            ["--set", "-s", "assignments"],
            multiple=True,
            metavar="NAME=VALUE",
            help="Set a parameter; may be repeated.",
        ),
        click.Option(["--reason"], default="", metavar="TEXT", help="Why, for the record."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document at the end, and nothing else."),
        click.Option(["--all", "every_action"], is_flag=True, help="List every single action of the plan."),
        click.Option(["--diff", "with_diff"], is_flag=True, help="Show the dry run's diff of every host."),
    ]
    if applying:
        options += [
            click.Option(["--check"], is_flag=True, help="Show what would be done; change nothing on any host."),
            click.Option(["--yes", "-y"], is_flag=True, help="Approve a plan of level 1 in advance."),
            click.Option(
                ["--wait/--no-wait", "patient"],
                default=None,
                help="Wait until somebody approves, where that is needed (default: at a terminal).",
            ),
            click.Option(
                ["--override-storm"],
                is_flag=True,
                help="Pass the rules about storms that a person may pass. Needs --reason; it is recorded.",
            ),
        ]
    return options


plan_command.params += _general_options(applying=False)


def _typed_options(runbook: Runbook, other_names: Mapping[str, str]) -> list[click.Parameter]:
    settable = (parameter for parameter in runbook.parameters.values() if parameter.type not in _SETTABLE)
    return [_option(parameter, runbook.role, other_names) for parameter in settable]


def _option(parameter: Parameter, role: str, other_names: Mapping[str, str]) -> click.Option:
    name = short_name(parameter.name, role)
    metavar = "|".join(map(str, parameter.choices)) or {"list": "A,B,C"}.get(parameter.type, parameter.type.upper())
    known = "" if parameter.default in (None, "", [], {}) else f" Default: {_shown(parameter.default)}."
    other = [f"--{other_names[name]}"] if name in other_names else []
    return click.Option(
        [*other, f"--{name.replace('_', '-')}", f"parameter_{parameter.name}"],
        metavar=metavar,
        help=f"{parameter.description}{known}",
    )


def _shown(default: object) -> str:
    return ",".join(map(str, default)) if isinstance(default, list) else str(default)


def _given(options: dict[str, Any], runbook: Runbook) -> dict[str, object]:
    typed = {name: options.get(f"parameter_{name}") for name in runbook.parameters}
    return {
        **{name: value for name, value in typed.items() if value is not None},
        **_assignments(options["assignments"]),
    }


def _assignments(assignments: tuple[str, ...]) -> dict[str, object]:
    """Return the values of `--set name=value`; raises UsageError for one without `=`."""
    if wrong := [text for text in assignments if "=" not in text]:
        raise UsageError(f"--set wants NAME=VALUE, not {', '.join(map(repr, wrong))}.")
    return {name: value for name, _, value in (text.partition("=") for text in assignments)}


def _run(
    path: Path,
    runbook: str,
    options: dict[str, Any],
    parameters: dict[str, object],
    ending: Ending = _shown_by_itself,
) -> int:
    with (
        opened(path) as site,
        Progress(
            quiet=options["as_json"], every_action=options["every_action"], with_diff=options["with_diff"]
        ) as progress,
    ):
        live = site.start(
            runbook,
            hosts=options["hosts"],
            parameters=parameters,
            reason=options["reason"],
            check=options["check"],
            override_reason=_override(options),
            patient=_patient(options),
            ask=asker(progress, said_yes=options["yes"], can_ask=not options["as_json"] and sys.stdin.isatty()),
        )
        return ending(site, follow(live, progress), options["as_json"])


def _override(options: dict[str, Any]) -> str:
    """The reason for passing the rules about storms; raises UsageError when it is missing."""
    if not options.get("override_storm"):
        return ""
    if not options["reason"].strip():
        raise UsageError("--override-storm needs a reason: others will ask.", next_step="add --reason TEXT")
    return str(options["reason"])


def _patient(options: dict[str, Any]) -> bool:
    """Whether to wait for people: as was said, or else where somebody sits at a terminal."""
    said: bool | None = options.get("patient")
    return said if said is not None else not options["as_json"] and sys.stdin.isatty()


def asker(progress: Progress, *, said_yes: bool, can_ask: bool) -> Callable[[Plan], bool | None]:
    """Return what asks whoever sits at the terminal, where somebody does."""

    def ask(_plan: Plan) -> bool | None:
        if said_yes:
            return True
        return progress.pause(lambda: click.confirm("Carry out this plan?", default=False)) if can_ask else None

    return ask


def follow(live: Going, progress: Progress) -> Run:
    """Show a run until it ends. Ctrl-C asks it to stop, in order; a second one leaves at once."""
    events = live.events()
    stopping = False
    while True:
        try:
            for event in events:
                progress.show(event)
            return live.wait()
        except KeyboardInterrupt:
            if stopping:
                raise
            stopping = True
            click.echo(
                "Stopping: the running task is ended, then the state is verified. (Ctrl-C again leaves at once.)",
                err=True,
            )
            live.stop()
            events = live.events()


def show_end(site: Site, run: Run, *, as_json: bool) -> None:
    """Print how a run ended: as a document, or in words with what to type next."""
    if as_json:
        click.echo(run_document(run, site.phases(run.id), site.history(run.id), site.children(run.id)))
        return
    request = site.approval(run.id)[0] if run.status is RunStatus.WAITING_APPROVAL else None
    for line in closing_lines(run, site.phases(run.id), request, site.children(run.id)):
        click.echo(line)
