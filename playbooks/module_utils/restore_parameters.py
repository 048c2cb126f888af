"""What the module of `restore-test` is told, with types; the role describes each."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.drill_mutation import KINDS, POSTGRESQL_KINDS

_TEXT: dict[str, Any] = {"type": "str", "required": True}
_NUMBER: dict[str, Any] = {"type": "int", "required": True}
_PLACES: dict[str, Any] = {"type": "list", "elements": "path", "required": True}

#: Its PostgreSQL; without a stanza it has none.
POSTGRESQL: dict[str, Any] = {
    "stanza": {"type": "str", "default": ""},
    "cipher_file": {"type": "str", "default": ""},
}
#: A source: its name in its backups, and the files that hold address and password of the repository to restore from.
SOURCE: dict[str, Any] = {
    "name": _TEXT,
    "address_file": {"type": "path", "required": True},
    "password_file": {"type": "path", "required": True, "no_log": False},
    "mariadb": {"type": "bool", "default": True},
    "postgresql": {"type": "dict", "options": POSTGRESQL, "apply_defaults": True},
    "probe": {"type": "list", "elements": "str", "default": []},
    "probe_dir": {"type": "str", "default": ""},
    "probe_user": {"type": "str", "default": "nobody"},
    "probe_environment": {"type": "dict", "default": {}},
}
OPTIONS: dict[str, Any] = {
    "sources": {"type": "list", "elements": "dict", "required": True, "options": SOURCE},
    "only": _TEXT,
    "backup": _TEXT,
    "mutation": {"type": "str", "required": True, "choices": ["", *KINDS, *POSTGRESQL_KINDS]},
    "rto_minutes": _NUMBER,
    "rpo_minutes": _NUMBER,
    "fall_back": _NUMBER,
    "content_seconds": _NUMBER,
    "scratch_dir": {"type": "path", "required": True},
    "report_dir": {"type": "path", "required": True},
    "metrics_file": _TEXT,
    "stream_dir": _TEXT,
    "state_dirs": _PLACES,
}
SETTINGS: dict[str, Any] = {"type": "dict", "required": True, "options": OPTIONS}
