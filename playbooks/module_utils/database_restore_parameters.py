"""What the module of `database-restore` is told, with types; the role describes each."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.backup_parameters import REPOSITORY

_TEXT: dict[str, Any] = {"type": "str", "required": True}
_NUMBER: dict[str, Any] = {"type": "int", "required": True}

OPTIONS: dict[str, Any] = {
    "source": _TEXT,
    "to": _TEXT,
    "backup": _TEXT,
    "repositories": {"type": "list", "elements": "dict", "required": True, "options": REPOSITORY},
    "service": _TEXT,
    "workers": {"type": "list", "elements": "str", "required": True},
    "schema": _TEXT,
    "data_dir": _TEXT,
    "log_dir": _TEXT,
    "answer_wait": _NUMBER,
    "health_wait": _NUMBER,
    "stage_dir": {"type": "path", "required": True},
    "state_dirs": {"type": "list", "elements": "path", "required": True},
}
SETTINGS: dict[str, Any] = {"type": "dict", "required": True, "options": OPTIONS}
