"""`remediate token`: makes, lists and revokes the tokens by which people act."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from remediate.catalog.duration import parse_duration
from remediate.domain.identity import Token
from remediate.domain.people import Role
from remediate.errors import UsageError
from remediate.interfaces.cli.site import opened
from remediate.interfaces.cli.text import moment, printable


@click.group("token", help="Make, list and revoke API tokens; each acts as one person.")
def token_command() -> None:
    """Hold the commands below together."""


@token_command.command("make", help="Make a token for PERSON and print it, once; nothing else goes to the output.")
@click.argument("person")
@click.option("--label", default="", metavar="TEXT", help="Where it is used: `laptop`, `chat bot`.")
@click.option("--expires", default="90d", show_default=True, metavar="SPAN", help="How long it lives, at most 366d.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice([role.value for role in Role]),
    help="Carry only this role of the person; may be repeated.",
)
@click.pass_obj
def make_token(path: Path, person: str, *, label: str, expires: str, roles: tuple[str, ...]) -> int:
    """Make a token. What is said about it goes to the error output, so that the output can be a file."""
    lifetime = _span(expires)
    with opened(path, executing=False) as site:
        token, text = site.make_token(person, label=label, lifetime=lifetime, roles=[Role(role) for role in roles])
    click.echo(text)
    click.echo(
        f"Token {token.id} of {token.person}, until {moment(token.expires_at)}. It is not shown again.", err=True
    )
    click.echo(
        "  next: keep it in a file of mode 0600 and name that with --token-file or REMEDIATE_TOKEN_FILE", err=True
    )
    return 0


@token_command.command("list", help="List tokens, newest first: all of them for an admin or auditor, else your own.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.pass_obj
def list_tokens(path: Path, *, as_json: bool) -> int:
    """List tokens."""
    with opened(path, executing=False) as site:
        found = site.tokens()
    if as_json:
        click.echo(json.dumps([token.model_dump(mode="json") for token in found], indent=2))
        return 0
    now = datetime.now(UTC)
    for token in found:
        click.echo(_line(token, now))
    if not found:
        click.echo("There are no tokens.")
    return 0


@token_command.command("revoke", help="Revoke a token by its id; whoever shows it from now on is refused.")
@click.argument("token")
@click.pass_obj
def revoke_token(path: Path, token: str) -> int:
    """Revoke a token."""
    with opened(path, executing=False) as site:
        revoked = site.revoke_token(token)
    assert revoked.revoked_at is not None  # noqa: S101  # that is what revoking is
    click.echo(f"Token {revoked.id} of {revoked.person} is revoked since {moment(revoked.revoked_at)}.")
    return 0


def _span(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--expires: {error}.") from error


def _line(token: Token, now: datetime) -> str:
    roles = ",".join(token.roles) or "all roles"
    used = f"used {moment(token.used_at)}" if token.used_at else "never used"
    return f"{token.id}  {token.person:16} {_state(token, now):31} {used:26} {roles}  {printable(token.label)}"


def _state(token: Token, now: datetime) -> str:
    if token.revoked_at is not None:
        return f"revoked {moment(token.revoked_at)}"
    return f"{'expired' if token.expires_at <= now else 'until'} {moment(token.expires_at)}"
