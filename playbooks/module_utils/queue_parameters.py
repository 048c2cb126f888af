"""The settings that the modules of queue-failure take, with their types."""

from __future__ import annotations

import re
from typing import Any

_COUNT: dict[str, Any] = {"type": "int", "required": True}
_TEXT: dict[str, Any] = {"type": "str", "default": ""}
_NAMES: dict[str, Any] = {"type": "list", "elements": "str", "default": []}

SETTINGS: dict[str, Any] = {
    "type": "dict",
    "required": True,
    "options": {
        "queues": _NAMES,
        "redis_host": _TEXT,
        "redis_port": _COUNT,
        "redis_db": _COUNT,
        "redis_prefix": _TEXT,
        "redis_env_file": _TEXT,
        "redis_dir": {"type": "path", "required": True},
        "redis_dump": _TEXT,
        "redis_aof": _TEXT,
        "redis_persistence": {"type": "str", "choices": ["auto", "none"], "default": "auto"},
        "database": _TEXT,
        "failed_table": _TEXT,
        "database_defaults_file": _TEXT,
        "metrics_url": _TEXT,
        "depth_metric": _TEXT,
        "handled_metric": _TEXT,
        "backlog": _COUNT,
        "drain": _COUNT,
        "workers_add": _COUNT,
        "workers_max": _COUNT,
        "stuck": _COUNT,
        "sample": _COUNT,
        "poison_attempts": _COUNT,
        "poison_failures": _COUNT,
        "poison_ignore": _NAMES,
        "window": _COUNT,
        "health_wait": _COUNT,
        "state_dirs": {"type": "list", "elements": "path", "required": True},
    },
}

#: Numbers and their least value: below, the question has no meaning.
_LEAST = {
    "redis_port": 1,
    "redis_db": 0,
    "backlog": 1,
    "drain": 1,
    "workers_add": 1,
    "workers_max": 1,
    "stuck": 1,
    "sample": 1,
    "poison_attempts": 2,
    "poison_failures": 2,
    "window": 0,
    "health_wait": 0,
}
_KEY = re.compile(r"[A-Za-z0-9_.:{}-]*")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_$]{1,64}")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|")


def mistake_in(settings: dict[str, Any]) -> str:
    """Return what is wrong with settings, in one sentence that names the input, or nothing."""
    for name, least in _LEAST.items():
        if settings[name] < least:
            return f"queue_failure_{name} is {settings[name]} and must be at least {least}"
    if not settings["queues"]:
        return "queue_failure_queues is empty: name the queues that the workers take jobs from"
    patterns = {
        "redis_prefix": _KEY,
        "database": _IDENTIFIER,
        "failed_table": _IDENTIFIER,
        "redis_dump": _FILE_NAME,
        "redis_aof": _FILE_NAME,
    }
    for name, pattern in patterns.items():
        if not pattern.fullmatch(settings[name]):
            return f"queue_failure_{name} is {settings[name]!r}, which is no such name"
    if wrong := [queue for queue in settings["queues"] if not queue or not _KEY.fullmatch(queue)]:
        return f"queue_failure_queues names {wrong[0]!r}, which is no name of a queue"
    return ""
