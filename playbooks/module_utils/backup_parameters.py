"""What the module of `backup-create` is told, with types; the role describes each."""

from __future__ import annotations

from typing import Any

_TEXT: dict[str, Any] = {"type": "str", "required": True}
_NUMBER: dict[str, Any] = {"type": "int", "required": True}
_PLACES: dict[str, Any] = {"type": "list", "elements": "path", "required": True}

#: A repository: the name people know it by, and the files that hold its address and its password.
REPOSITORY: dict[str, Any] = {
    "name": _TEXT,
    "address_file": {"type": "path", "required": True},
    "password_file": {"type": "path", "required": True, "no_log": False},
}
OPTIONS: dict[str, Any] = {
    "source": _TEXT,
    "repositories": {"type": "list", "elements": "dict", "required": True, "options": REPOSITORY},
    "database_service": _TEXT,
    "database_dir": _TEXT,
    "redis_service": _TEXT,
    "files": _PLACES,
    "postgresql_stanza": _TEXT,
    "postgresql_user": _TEXT,
    "postgresql_port": _NUMBER,
    "postgresql_config": {"type": "path", "required": True},
    "postgresql_repository": {"type": "path", "required": True},
    "postgresql_hours": _NUMBER,
    "postgresql_full_days": _NUMBER,
    "postgresql_archive_seconds": _NUMBER,
    "wal_minutes": _NUMBER,
    "database_hours": _NUMBER,
    "logs_minutes": _NUMBER,
    "files_hours": _NUMBER,
    "redis_hours": _NUMBER,
    "tables": _NUMBER,
    "content_seconds": _NUMBER,
    "metrics_file": _TEXT,
    "stage_dir": {"type": "path", "required": True},
    "state_dirs": _PLACES,
}
SETTINGS: dict[str, Any] = {"type": "dict", "required": True, "options": OPTIONS}
