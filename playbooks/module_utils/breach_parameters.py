"""The settings that the modules of data-breach take, with their types."""

from __future__ import annotations

from typing import Any

_NAMES: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
_PATHS: dict[str, Any] = {"type": "list", "elements": "path", "default": []}

CREDENTIALS = ("database", "app_key", "redis", "ssh", "tokens")

#: What a look for an intruder needs to know.
SCAN: dict[str, Any] = {
    "known_users": _NAMES,
    "known_keys": {**_NAMES, "no_log": False},
    "known_schedules": _PATHS,
    "known_programs": _PATHS,
    "known_files": _PATHS,
    "open_dirs": {"type": "list", "elements": "path", "default": []},
    "egress": _NAMES,
    "responders": _NAMES,
    "code_dirs": _PATHS,
    "upload_dirs": _PATHS,
    "deploy_seconds": {"type": "int", "default": 600},
}
#: What replacing credentials needs to know.
ROTATION: dict[str, Any] = {
    "env_file": {"type": "str", "default": ""},
    "app_service": {"type": "str", "default": "scheduler"},
    "database_service": {"type": "str", "default": "mysql"},
    "redis_service": {"type": "str", "default": "redis"},
    "rotate": {"type": "list", "elements": "str", "choices": list(CREDENTIALS), "default": list(CREDENTIALS)},
    "restart_services": _NAMES,
    "token_command": {**_NAMES, "no_log": False},
    "new_keys": {"type": "dict", "default": {}, "no_log": False},
}
#: What goes into the evidence.
EVIDENCE: dict[str, Any] = {
    "evidence_roots": _PATHS,
    "evidence_files": {"type": "int", "default": 200000},
    "evidence_file_mib": {"type": "int", "default": 64},
    "evidence_lines": {"type": "int", "default": 5000},
    "evidence_database": {"type": "str", "choices": ["none", "schema", "full"], "default": "schema"},
    "database_name": {"type": "str", "default": ""},
    "state_dirs": {"type": "list", "elements": "path", "required": True},
}
SETTINGS: dict[str, Any] = {
    "type": "dict",
    "required": True,
    "options": {
        **SCAN,
        **ROTATION,
        **EVIDENCE,
        "app_storage": {"type": "str", "default": ""},
        "containment": {"type": "bool", "default": True},
        "containment_seconds": {"type": "int", "default": 300},
        "health_wait": {"type": "int", "default": 30},
    },
}
