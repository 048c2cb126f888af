"""What every module that deals with the stack is told about it, with types; the role `stack` describes each."""

from __future__ import annotations

from typing import Any

_NAMES: dict[str, Any] = {"type": "list", "elements": "str", "default": []}

STACK: dict[str, Any] = {
    "type": "dict",
    "default": {},
    "options": {
        "layout": {"type": "str", "choices": ["compose", "systemd", "none"], "default": "none"},
        "services": _NAMES,
        "units": {"type": "dict", "default": {}},
        "project_dir": {"type": "str", "default": ""},
        "compose_file": {"type": "str", "default": ""},
        "health_url": {"type": "str", "default": ""},
    },
}
