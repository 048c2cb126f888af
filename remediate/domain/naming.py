"""The two spellings of a runbook's name: `disk-full` for people, `disk_full` for Ansible."""

from __future__ import annotations


def role_name(runbook_id: str) -> str:
    """Return the role, playbook and variable prefix of a runbook: `disk-full` -> `disk_full`."""
    return runbook_id.replace("-", "_")


def runbook_id(role: str) -> str:
    """Return the id of a runbook from its role's name: `disk_full` -> `disk-full`."""
    return role.replace("_", "-")
