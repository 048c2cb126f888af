"""Whether a host is bare: nothing of an application runs on it, and no database holds anything."""

from __future__ import annotations

import os
from typing import Any

from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.remediate_stack import StackError

#: What every new server has.
_OWN = {"mysql", "performance_schema", "sys", "test", "lost+found"}


def not_bare(stack: dict[str, Any], data_dir: str) -> list[str]:
    """Return what speaks against it."""
    said = [f"{', '.join(schemas)} in the database ({data_dir})"] if (schemas := schemas_in(data_dir)) else []
    try:
        running = [name for name, state in stack_of(stack).status().items() if state.running]
    except StackError:
        running = []  # what is not even there does not run
    return [*said, f"{', '.join(running)} running"] if running else said


def schemas_in(data_dir: str) -> list[str]:
    """Return the schemas that have something in them, from the names below a server's data."""
    if not data_dir or not os.path.isdir(data_dir):
        return []
    names = [one.name for one in os.scandir(data_dir) if one.is_dir() and not one.name.startswith(("#", "."))]
    return sorted(name for name in names if name not in _OWN and _holds(os.path.join(data_dir, name)))


def _holds(path: str) -> bool:
    return any(not name.endswith("db.opt") for name in os.listdir(path))
