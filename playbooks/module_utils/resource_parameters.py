"""What the modules about CPU and memory are told, with types; the role `high_resources` describes each."""

from __future__ import annotations

from typing import Any

_NAMES: dict[str, Any] = {"type": "list", "elements": "str"}

SETTINGS: dict[str, Any] = {
    "type": "dict",
    "required": True,
    "options": {
        "window": {"type": "float", "required": True},
        "scope": {"type": "str", "choices": ["auto", "machine", "processes"], "required": True},
        "cpu_target": {"type": "float", "required": True},
        "cpu_alarm": {"type": "float", "required": True},
        "load_target": {"type": "float", "required": True},
        "memory_target": {"type": "float", "required": True},
        "memory_alarm": {"type": "float", "required": True},
        "process_cpu": {"type": "float", "required": True},
        "php_memory": {"type": "int", "required": True},
        "worker_memory": {"type": "int", "required": True},
        "worker_max_time": {"type": "int", "required": True},
        "worker_max_jobs": {"type": "int", "required": True},
        "query_seconds": {"type": "int", "required": True},
        "spared_database_users": {**_NAMES, "required": True},
        "redis_memory": {"type": "int", "required": True},
        "redis_percent": {"type": "float", "required": True},
        "nginx_percent": {"type": "float", "required": True},
        "foreign_age": {"type": "int", "required": True},
        "foreign_memory": {"type": "float", "required": True},
        "spared_programs": {**_NAMES, "required": True},
        "kill_grace": {"type": "int", "required": True},
        "response_seconds": {"type": "float", "required": True},
        "requests": {"type": "int", "required": True},
        "metrics_url": {"type": "str", "required": True},
        "queue_metric": {"type": "str", "required": True},
        "queue_limit": {"type": "int", "required": True},
        "queue_window": {"type": "float", "required": True},
        "verify_wait": {"type": "int", "required": True},
        "evidence_bytes": {"type": "int", "required": True},
        "state_dirs": {"type": "list", "elements": "path", "required": True},
    },
}
