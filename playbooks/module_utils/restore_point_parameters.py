"""What the module of restore points is told, with types; the role `restore_point` says where each comes from."""

from __future__ import annotations

from typing import Any

_TEXT: dict[str, Any] = {"type": "str", "required": True}
_PLACE: dict[str, Any] = {"type": "path", "required": True}

OPTIONS: dict[str, Any] = {
    "service": _TEXT,
    "data_dir": _TEXT,
    "log_dir": _TEXT,
    "backup_dir": _PLACE,
    "restore_dir": _PLACE,
    "state_dirs": {"type": "list", "elements": "path", "required": True},
}
SETTINGS: dict[str, Any] = {"type": "dict", "required": True, "options": OPTIONS}
