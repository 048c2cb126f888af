"""`remediate init`: a remediate.yml and an inventory to start from."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from remediate.catalog.discovery import FILE_NAME, example_inventory
from remediate.errors import UsageError

_SETTINGS = """\
# One site: what is looked after from here. Every field: docs/reference/settings.md
version: 1
inventory: inventory
# Where runs are recorded; created with mode 0700.
state: ~/.local/state/remediate
ansible:
  forks: 10
  connect_timeout: 10s

# Everybody by id, how they are reached, and up to which level they decide (1 on call, 2 lead, 3 manager, 4 head).
#people:
#  nadia:
#    name: Nadia Petrova
#    email: nadia@example.org
#    phone: "+49 30 1234567"
#    chat: "@nadia"
#    level: 1
#    roles: [operator, approver]
#    os_users: [nadia]
#  omar:
#    name: Omar Haddad
#    email: omar@example.org
#    level: 1
#    roles: [operator, {role: approver, runbooks: [disk-full]}]

# Who is on call, week by week: docs/how-to/on-call.md
#on_call:
#  time_zone: Europe/Berlin
#  handover: {day: monday, time: "09:00"}
#  start: 2026-11-30
#  order: [nadia, omar]
#  overrides:
#    - {from: 2026-12-24 18:00, to: 2026-12-26 09:00, person: omar, as: primary, reason: Christmas}
#  swaps:
#    - {week: 2027-01-11, give: nadia, take: omar}
#  absences:
#    - {person: nadia, from: 2027-02-01 09:00, to: 2027-02-03 09:00}

# Which plans need a higher level here than their cards ask for: docs/how-to/approvals.md
#policy:
#  - {runbook: disk-full, groups: [application], level: 1, reason: the application earns the money}

# How people are told, and over which channels at which severity: docs/how-to/notifications.md
#channels:
#  mail: {kind: email, host: mail.example.org, from: remediate@example.org}
#  team: {kind: webhook, url: "https://hooks.example.org/remediate", secret: "env:TEAM_HOOK_SECRET"}
#notify:
#  SEV4: [mail]
"""


@click.command("init", help="Make a remediate.yml and an inventory to start from.")
@click.argument("directory", type=click.Path(path_type=Path), default=".")
def init_command(directory: Path) -> int:
    """Write the files; nothing that exists is ever overwritten."""
    wanted = {directory / FILE_NAME, directory / "inventory"}
    if existing := sorted(str(path) for path in wanted if path.exists()):
        raise UsageError(
            f"{', '.join(existing)} exists already; nothing was written.",
            next_step="name an empty directory: `remediate init DIR`",
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copytree(example_inventory(), directory / "inventory")
        (directory / FILE_NAME).write_text(_SETTINGS)
    except OSError as error:
        raise UsageError(f"{directory} cannot be written: {error.strerror}.") from error
    click.echo(f"Wrote {directory / FILE_NAME} and {directory / 'inventory'}.")
    click.echo("  next: name your hosts in inventory/hosts.yml, then run `remediate doctor`")
    return 0
