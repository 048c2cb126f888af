"""`remediate whoami`: whom the person at the keyboard acts as, how that is known, and what they may do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from remediate.domain.identity import Permission, Principal, permissions
from remediate.domain.people import Grant
from remediate.interfaces.cli.site import opened
from remediate.interfaces.cli.text import printable


@click.command("whoami", help="Show whom you act as, how that is known, and what you may do.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.pass_obj
def whoami_command(path: Path, *, as_json: bool) -> int:
    """Show the principal."""
    with opened(path, executing=False) as site:
        principal = site.principal
    if as_json:
        click.echo(json.dumps(_document(principal), indent=2))
        return 0
    for line in _lines(principal):
        click.echo(line)
    return 0


def _document(principal: Principal) -> dict[str, object]:
    return {
        "person": principal.id,
        "name": principal.person.name,
        "service": principal.person.service,
        "channel": principal.channel,
        "level": principal.level,
        "grants": [
            {**grant.model_dump(mode="json"), "permissions": [entry.value for entry in carried]}
            for grant, carried in permissions(principal)
        ],
    }


def _lines(principal: Principal) -> Iterator[str]:
    kind = "service account" if principal.person.service else f"level {principal.level}"
    yield f"{principal.id} ({printable(principal.person.name)}), {kind}"
    yield f"Known by   {printable(principal.channel.replace(':', ' ', 1))}"
    for grant, carried in permissions(principal):
        yield f"{grant.role.value.capitalize():10} {_where(grant)}: {_words(carried)}"
    if not principal.grants:
        yield "May        do nothing"


def _where(grant: Grant) -> str:
    runbooks = f"runbook {', '.join(grant.runbooks)}" if grant.runbooks else "every runbook"
    return f"{runbooks} on {'group ' + ', '.join(grant.groups) if grant.groups else 'every host'}"


def _words(carried: tuple[Permission, ...]) -> str:
    return ", ".join(permission.words for permission in carried) or "nothing"
