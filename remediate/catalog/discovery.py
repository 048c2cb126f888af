"""Finds the site and its runbooks by looking at directory entries only.

This is all that `remediate --help` needs, so nothing here may import more than the standard library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from remediate.domain.naming import runbook_id

FILE_NAME = "remediate.yml"


def find_site(start: Path, environment: Mapping[str, str]) -> Path:
    """Return the directory of the site: `REMEDIATE_SITE`, or the nearest one upwards, or /etc/remediate.

    A directory is a site when it has a `remediate.yml`; the directory one is in also counts when it has an `inventory`.
    """
    if named := environment.get("REMEDIATE_SITE"):
        return Path(named).expanduser().absolute()
    for directory in (start, *start.parents):
        if (directory / FILE_NAME).is_file():
            return directory
    if (start / "inventory").exists():
        return start
    return Path("/etc/remediate")


def content_directories(site: Path) -> tuple[Path, ...]:
    """Return where runbooks are searched: the site's own `playbooks/` first, then what came with the program."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "content" / "playbooks"
    if not shipped.is_dir():
        shipped = package.parent / "playbooks"
    return tuple(dict.fromkeys(path.resolve() for path in (site / "playbooks", shipped) if path.is_dir()))


def find_runbooks(directories: Sequence[Path]) -> dict[str, Path]:
    """Return the role directory of every runbook id; the first directory that holds a runbook wins.

    A runbook is a role with a card (`meta/runbook.yml`). Only directory entries are read: `--help` uses this.
    """
    found: dict[str, Path] = {}
    for directory in directories:
        for card in sorted(directory.glob("roles/*/meta/runbook.yml")):
            role = card.parent.parent
            found.setdefault(runbook_id(role.name), role)
    return dict(sorted(found.items()))


def readme_title(role: Path) -> str:
    """Return the first heading of a role's README, for a list that must be quick; empty when there is none."""
    try:
        with (role / "README.md").open(encoding="utf-8") as lines:
            return next((line.removeprefix("# ").strip() for line in lines if line.startswith("# ")), "")
    except OSError:
        return ""


def example_inventory() -> Path:
    """Return the inventory that a user starts from, as it came with the program."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "content" / "inventory"
    return shipped if shipped.is_dir() else package.parent / "inventory" / "example"
