"""Print how long each fault took to cure on the lab, beside the time its runbook has: what the scenarios wrote down.

Run the scenarios first (`make molecule SCENARIO=...`, or `make test`). A time goes from the first look at the broken
host to the proof that it is cured; it includes a second fix, which has to change nothing, and one more look.
"""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path

import yaml

from remediate.catalog.card import Card

ROOT = Path(__file__).parents[2]
TIMES = ROOT / ".lab" / "cure-times.csv"


def rto(role: str) -> timedelta:
    """Return how long a runbook may take."""
    card = yaml.safe_load((ROOT / "playbooks" / "roles" / role / "meta" / "runbook.yml").read_text(encoding="utf-8"))
    return Card.model_validate(card).rto


def rows() -> list[str]:
    """Return the lines of the table."""
    seconds: dict[tuple[str, str], dict[str, float]] = {}
    with TIMES.open(encoding="utf-8") as lines:
        for role, fault, layout, took in csv.reader(lines):
            seconds.setdefault((role, fault), {})[layout] = float(took)
    return [
        f"| {role.replace('_', '-')} | {fault} | {_shown(by.get('compose'))} | {_shown(by.get('systemd'))} | "
        f"{rto(role).total_seconds():.0f} s |"
        for (role, fault), by in sorted(seconds.items())
    ]


def _shown(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"


def main() -> None:
    """Print the table as the documentation has it."""
    print("| runbook | fault | compose | systemd | may take (RTO) |\n|---|---|---|---|---|")
    print("\n".join(rows()))


if __name__ == "__main__":
    main()
