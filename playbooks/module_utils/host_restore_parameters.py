"""What the module of `host-restore` is told, with types; the role describes each."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.backup_parameters import REPOSITORY

_TEXT: dict[str, Any] = {"type": "str", "required": True}
_NUMBER: dict[str, Any] = {"type": "int", "required": True}

OPTIONS: dict[str, Any] = {
    "source": _TEXT,
    "anyway": {"type": "bool", "required": True},
    "repositories": {"type": "list", "elements": "dict", "required": True, "options": REPOSITORY},
    "database_service": _TEXT,
    "database_dir": _TEXT,
    "redis_service": _TEXT,
    "redis_dir": _TEXT,
    "content_seconds": _NUMBER,
    "health_urls": {"type": "list", "elements": "str", "required": True},
    "answer_wait": _NUMBER,
    "health_wait": _NUMBER,
    "hours": _NUMBER,
    "stage_dir": {"type": "path", "required": True},
    "state_dirs": {"type": "list", "elements": "path", "required": True},
}
SETTINGS: dict[str, Any] = {"type": "dict", "required": True, "options": OPTIONS}
