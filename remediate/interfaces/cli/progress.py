"""Shows a run while it goes on: phases and steps, one line each; on a terminal also what is going on right now."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Self

import click

from remediate.domain.run import TaskOutcome
from remediate.engine.events import PhaseBegan, PhaseEnded, PlanMade, RunEvent, StatusChanged, TaskEnded
from remediate.interfaces.cli.plan_text import diff_lines, plan_lines
from remediate.interfaces.cli.text import printable

_MARKS = {TaskOutcome.CHANGED: "*", TaskOutcome.FAILED: "!", TaskOutcome.UNREACHABLE: "!"}
_NAMES = {
    "diagnose": "looking",
    "snapshot": "writing down what will be touched",
    "fix": "fixing",
    "verify": "proving",
    "rollback": "putting back",
}


class Progress(AbstractContextManager["Progress"]):
    """Prints events as lines; `quiet` prints nothing, for a machine that wants JSON only."""

    def __init__(self, *, quiet: bool, every_action: bool = False, with_diff: bool = False) -> None:
        self._quiet = quiet
        self._every_action = every_action
        self._with_diff = with_diff
        self._status: Any = None if quiet or not sys.stdout.isatty() else _spinner()

    def __enter__(self) -> Self:
        """Show what is going on, where there is a terminal."""
        (self._status or nullcontext()).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal clean."""
        (self._status or nullcontext()).__exit__(kind, error, trace)

    def show(self, event: RunEvent) -> None:
        """Show one event."""
        if self._quiet:
            return
        for line in self._lines(event):
            self._print(line)

    def pause(self, question: Callable[[], bool]) -> bool:
        """Ask the person something without anything moving on the terminal."""
        if self._status is None:
            return question()
        self._status.stop()
        answer = question()
        self._status.start()
        return answer

    def _lines(self, event: RunEvent) -> list[str]:
        match event:
            case PhaseBegan(phase, check, hosts):
                self._busy(f"{_NAMES[phase.value]} on {', '.join(hosts)}{' (dry run)' if check else ''}")
                return []
            case PhaseEnded(phase, check, outcome, seconds):
                self._busy("")
                return [f"{phase.value + (' (dry run)' if check else ''):20} {outcome.value:10} {seconds:.1f} s"]
            case TaskEnded(_, task) if mark := _MARKS.get(task.outcome):
                said = f": {printable(task.message.splitlines()[0])[:300]}" if task.message else ""
                return [f"  {mark} {task.host}  {printable(task.task)} ({task.seconds:.1f} s){said}"]
            case StatusChanged(run, status, reason):
                return [f"{run.id}  {status.value.replace('_', ' ')}: {printable(reason)}"]
            case PlanMade(plan):
                diffs = diff_lines(plan) if self._with_diff else ()
                return [*plan_lines(plan, every_action=self._every_action), "", *diffs]
        return []

    def _print(self, line: str) -> None:
        if self._status is None:
            click.echo(line)
        else:
            self._status.console.print(line, soft_wrap=True)

    def _busy(self, what: str) -> None:
        if self._status is not None:
            self._status.update(printable(what))


def _spinner() -> Any:
    # Only a terminal pays for importing rich.
    from rich.console import Console  # noqa: PLC0415  # only a terminal pays for it
    from rich.status import Status  # noqa: PLC0415  # only a terminal pays for it

    return Status("", console=Console(markup=False, highlight=False, emoji=False))
