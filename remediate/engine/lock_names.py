"""The names of locks that are no runs' and no hosts': what commands hold while they look after runs."""

from __future__ import annotations


def waiting_lock(run_id: str) -> str:
    """Return the name of the lock of the command that waits for a run: it carries it on when it is approved."""
    return f"waits-{run_id}"


def family_lock(run_id: str) -> str:
    """Return the name of the lock of the command that carries what a run was handed over to, and then the run."""
    return f"family-{run_id}"
