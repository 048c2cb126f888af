"""The settings that all modules of disk-full take, with their types."""

from __future__ import annotations

from typing import Any

_PATHS: dict[str, Any] = {"type": "list", "elements": "path", "default": []}

SETTINGS: dict[str, Any] = {
    "type": "dict",
    "required": True,
    "options": {
        "mount": {"type": "str", "default": ""},
        "target_free": {"type": "int", "required": True},
        "material_percent": {"type": "float", "required": True},
        "exclude_mounts": _PATHS,
        "package_cache_dirs": _PATHS,
        "journal_dirs": _PATHS,
        "journal_days": {"type": "int", "required": True},
        "log_dirs": _PATHS,
        "log_days": {"type": "int", "required": True},
        "log_tail": {"type": "int", "required": True},
        "backup_dirs": _PATHS,
        "backup_days": {"type": "int", "required": True},
        "cache_dirs": _PATHS,
        "cache_days": {"type": "int", "required": True},
        "container_hours": {"type": "int", "required": True},
        "engine_socket": {"type": "path", "required": True},
        "hold": {"type": "str", "choices": ["auto", "none"], "default": "auto"},
        "hold_dir": {"type": "path", "required": True},
        "state_dirs": {"type": "list", "elements": "path", "required": True},
        "health_wait": {"type": "int", "required": True},
    },
}
