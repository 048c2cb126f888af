"""`remediate doctor`: can every host be worked on, before it has to be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from remediate.domain.host import explain
from remediate.interfaces.cli.site import opened
from remediate.interfaces.cli.text import printable, size


@click.command("doctor", help="Check SSH, sudo, Python, layout and free hold space of every host.")
@click.option(
    "--limit", "-l", "hosts", multiple=True, metavar="HOST", help="Only this host, by its exact name; may be repeated."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.pass_obj
def doctor_command(path: Path, hosts: tuple[str, ...], *, as_json: bool) -> int:
    """Look at all hosts; ends with 6 when one of them cannot be worked on."""
    with opened(path) as site:
        answers = site.inspect(hosts)
    ill = [host for host, answer in answers.items() if isinstance(answer, str) or answer.get("problems")]
    if as_json:
        click.echo(json.dumps(answers, indent=2))
    else:
        for host, answer in answers.items():
            for line in _lines(host, answer):
                click.echo(line)
        click.echo(f"{len(answers) - len(ill)} of {len(answers)} hosts are ready.")
    return 6 if ill else 0


def _lines(host: str, answer: Mapping[str, object] | str) -> Iterator[str]:
    if isinstance(answer, str):
        trouble = explain(answer)
        yield f"{host}: NOT READY: {printable(trouble.what)}"
        if trouble.next_step:
            yield f"  next: {trouble.next_step}"
        return
    problems = answer.get("problems")
    yield f"{host}: {'NOT READY' if problems else 'ready'}"
    yield f"  ssh      connected as {printable(str(answer['user']))}, Python {printable(str(answer['python']))}"
    yield "  sudo     becomes root"
    yield f"  layout   {printable(str(answer['layout']))}: {printable(str(answer['services']))}"
    yield f"  hold     {printable(str(answer['hold_path']))}: {size(_whole(answer['hold_free_bytes']))} free"
    for problem in problems if isinstance(problems, list) else []:
        yield f"  PROBLEM  {printable(str(problem))}"


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
