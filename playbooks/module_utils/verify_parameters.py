"""What the module of `backup-verify` is told, with types; the role describes each."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.restore_parameters import SOURCE as RESTORED

_TEXT: dict[str, Any] = {"type": "str", "required": True}
_NUMBER: dict[str, Any] = {"type": "int", "required": True}
_PATH: dict[str, Any] = {"type": "path", "required": True}

#: The server whose binary log is followed; without an address, none is.
STREAM: dict[str, Any] = {
    "address": {"type": "str", "default": ""},
    "port": {"type": "int", "default": 3306},
    "user": {"type": "str", "default": ""},
    "password_file": {"type": "str", "default": "", "no_log": False},
    "semi_sync": {"type": "bool", "default": False},
    "semi_sync_fsync": {"type": "bool", "default": True},
}
#: A source as `restore-test` knows it, and its stream.
SOURCE: dict[str, Any] = {
    **RESTORED,
    "stream": {"type": "dict", "options": STREAM, "apply_defaults": True},
}
OPTIONS: dict[str, Any] = {
    "sources": {"type": "list", "elements": "dict", "required": True, "options": SOURCE},
    "only": _TEXT,
    "rpo_minutes": _NUMBER,
    "lag_seconds": _NUMBER,
    "database_hours": _NUMBER,
    "files_hours": _NUMBER,
    "redis_hours": _NUMBER,
    "postgresql_hours": _NUMBER,
    "read_parts": _NUMBER,
    "read_hours": _NUMBER,
    "keep_hours": _NUMBER,
    "keep_days": _NUMBER,
    "keep_log_days": _NUMBER,
    "keep_file_days": _NUMBER,
    "keep_months": _NUMBER,
    "slack_hours": _NUMBER,
    "metrics_file": _TEXT,
    "stream_dir": _PATH,
    "report_dir": _PATH,
    "evidence_dir": _PATH,
    "state_dirs": {"type": "list", "elements": "path", "required": True},
}
SETTINGS: dict[str, Any] = {"type": "dict", "required": True, "options": OPTIONS}
