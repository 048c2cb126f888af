"""What the module of the runbook is told, with types; the role `database_failure` describes each."""

from __future__ import annotations

from typing import Any

_NAMES: dict[str, Any] = {"type": "list", "elements": "str", "required": True}
_PLACES: dict[str, Any] = {"type": "list", "elements": "path", "required": True}
_NUMBER: dict[str, Any] = {"type": "int", "required": True}
_TEXT: dict[str, Any] = {"type": "str", "required": True}

OPTIONS: dict[str, Any] = {
    "service": _TEXT,
    "workers": _NAMES,
    "application": _NAMES,
    "schema": _TEXT,
    "env_file": _TEXT,
    "data_dir": _TEXT,
    "settings_file": _TEXT,
    "error_log": _TEXT,
    "backup_dirs": _PLACES,
    "scratch_dir": _TEXT,
    "idle_seconds": _NUMBER,
    "keep_users": _NAMES,
    "connections_percent": _NUMBER,
    "max_connections_limit": _NUMBER,
    "disk_used_percent": _NUMBER,
    "recovery_limit": _NUMBER,
    "check_megabytes": _NUMBER,
    "answer_wait": _NUMBER,
    "health_wait": _NUMBER,
    "error_window": _NUMBER,
    "latency_ms": _NUMBER,
    "dependencies_url": _TEXT,
    "state_dirs": _PLACES,
}
SETTINGS: dict[str, Any] = {"type": "dict", "required": True, "options": OPTIONS}
