"""What the module of `application-restore` is told, with types; the role describes each."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.backup_parameters import REPOSITORY

_TEXT: dict[str, Any] = {"type": "str", "required": True}
_PATHS: dict[str, Any] = {"type": "list", "elements": "path", "required": True}

OPTIONS: dict[str, Any] = {
    "source": _TEXT,
    "to": _TEXT,
    "repositories": {"type": "list", "elements": "dict", "required": True, "options": REPOSITORY},
    "paths": _PATHS,
    "keep": _PATHS,
    "services": {"type": "list", "elements": "str", "required": True},
    "health_wait": {"type": "int", "required": True},
    "stage_dir": {"type": "path", "required": True},
    "state_dirs": _PATHS,
}
SETTINGS: dict[str, Any] = {"type": "dict", "required": True, "options": OPTIONS}
