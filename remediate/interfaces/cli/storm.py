"""`remediate storm`: where every rule of the storm policy stands, and when it ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from remediate.domain.breaker import Breaker, BreakerState
from remediate.domain.storm_position import FreezePosition, StormPosition, Usage
from remediate.interfaces.cli.site import opened
from remediate.interfaces.cli.text import moment, printable


@click.command("storm", help="Show what holds runs back now: pause, freezes, breakers, cooldowns, attempts, fleet.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.pass_obj
def storm_command(path: Path, *, as_json: bool) -> int:
    """Show the position of every rule."""
    with opened(path, executing=False) as site:
        found = site.storm()
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return 0
    for line in storm_lines(found):
        click.echo(line)
    return 0


def storm_lines(found: StormPosition) -> Iterator[str]:
    """Yield the position of every rule, in the order in which they are asked."""
    pause = found.pause
    yield from _listed(
        "Pause", [f"ON by {printable(pause.by)} since {moment(pause.at)}: {printable(pause.reason)}"] if pause else []
    )
    yield from _listed("Freezes", (line for freeze in found.freezes for line in _freeze_lines(freeze)))
    yield from _listed("Acting", found.acting)
    yield from _listed("Cooldown", (f"{e.runbook} on {e.host} until {moment(e.until)}" for e in found.cooldowns))
    yield from _listed("Attempts", (_usage(usage, "tried") for usage in found.attempts))
    yield from _listed("Recurrence", (_usage(usage, "cured") for usage in found.recurrences))
    yield from _listed(
        "Fleet", (f"{e.group}: {len(e.hosts)} of {e.room} ({', '.join(e.hosts)}; {e.size} hosts)" for e in found.fleet)
    )
    yield from _listed("Breakers", (_breaker(breaker) for breaker in found.breakers))
    yield from _listed("Budget", [_usage(found.budget, "runs")] if found.budget else [])


def _listed(name: str, lines: Iterable[str]) -> Iterator[str]:
    for index, line in enumerate(list(lines) or ["-"]):
        yield f"{name if index == 0 else '':11}{line}"


def _freeze_lines(freeze: FreezePosition) -> Iterator[str]:
    about = [*(f"group {group}" for group in freeze.groups), *freeze.runbooks, *(["hard"] if freeze.hard else [])]
    name = f"{freeze.name} ({', '.join(about)})" if about else freeze.name
    said = f"{printable(name)}: {printable(freeze.reason)}"
    if freeze.now:
        yield f"NOW until {moment(freeze.now.ends)}  {said}"
    if freeze.next:
        yield f"from {moment(freeze.next.begins)} until {moment(freeze.next.ends)}  {said}"
    for group in freeze.unknown_groups:
        yield f"WARNING  {printable(freeze.name)} names the group {printable(group)}, which the inventory does not have"


def _usage(usage: Usage, word: str) -> str:
    what = f"{usage.runbook} on {usage.host} " if usage.runbook else ""
    full = "USED UP, " if usage.used >= usage.most else ""
    return f"{what}{word} {usage.used} of {usage.most}; {full}one more from {moment(usage.free_at)}"


def _breaker(breaker: Breaker) -> str:
    ends = f"{breaker.runbook}: {breaker.failures} end(s) in a row without a cure"
    if breaker.until is None:
        return ends
    if breaker.state is BreakerState.OPEN:
        return f"OPEN  {ends}; one run may try from {moment(breaker.until)}"
    return f"HALF OPEN  {ends}; one run may try since {moment(breaker.until)}"
