"""JSON documents, for machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import click

from remediate.domain.run import PhaseRecord, Run, Transition

_Thing = TypeVar("_Thing")


def run_document(
    run: Run, phases: Sequence[PhaseRecord], history: Sequence[Transition], children: Sequence[Run] = ()
) -> str:
    """Return a run with its plan, its phases, every task, its history, and where its child runs stand."""
    return json.dumps(
        {
            **run.model_dump(mode="json"),
            "exit_code": run.exit_code,
            "changed": sum(record.changed for record in phases if not record.check),
            "phases": [{**record.model_dump(mode="json"), "changed": record.changed} for record in phases],
            "history": [transition.model_dump(mode="json") for transition in history],
            "children": [child.model_dump(mode="json", exclude={"plan"}) for child in children],
        },
        indent=2,
    )


def print_each(
    found: Sequence[_Thing],
    document: Callable[[_Thing], object],
    lines: Callable[[_Thing], Iterable[str]],
    *,
    as_json: bool,
    nothing: str,
) -> None:
    """Print things as one JSON document, or each by its lines; `nothing` is what a person reads when there are none."""
    if as_json:
        click.echo(json.dumps([document(one) for one in found], indent=2))
        return
    for one in found:
        for line in lines(one):
            click.echo(line)
    if not found:
        click.echo(nothing)
