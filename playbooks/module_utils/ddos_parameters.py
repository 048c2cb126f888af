"""The settings that the modules of ddos-attack take, with their types."""

from __future__ import annotations

from typing import Any

_INTEGER: dict[str, Any] = {"type": "int", "required": True}
_NUMBER: dict[str, Any] = {"type": "float", "required": True}
_TEXTS: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
_NUMBERS: dict[str, Any] = {"type": "list", "elements": "int", "required": True}

#: Who is never blocked.
GUARD: dict[str, Any] = {
    "private_ranges": _TEXTS,
    "allow": _TEXTS,
    "monitoring": _TEXTS,
    "operators": _TEXTS,
    "trusted_proxies": _TEXTS,
}

SETTINGS: dict[str, Any] = {
    "type": "dict",
    "required": True,
    "options": {
        **GUARD,
        "access_log": {"type": "str", "default": ""},
        "log_bytes": _INTEGER,
        "window": _INTEGER,
        "http_ports": _NUMBERS,
        "flood_rate": _NUMBER,
        "bandwidth": _NUMBER,
        "source_rate": _NUMBER,
        "source_connections": _INTEGER,
        "prefix_addresses": _INTEGER,
        "block_seconds": _INTEGER,
        "block_most": _INTEGER,
        "limits_file": {"type": "str", "default": ""},
        "limit_rate": _INTEGER,
        "limit_burst": _INTEGER,
        "limit_connections": _INTEGER,
        "refusals": _NUMBERS,
        "ban_hits": _INTEGER,
        "ban_window": _INTEGER,
        "ban_seconds": _INTEGER,
        "ban_dir": {"type": "path", "required": True},
        "paths_file": {"type": "str", "default": ""},
        "expensive_paths": _TEXTS,
        "path_share": _NUMBER,
        "settle": _INTEGER,
        "state_dirs": {"type": "list", "elements": "path", "required": True},
    },
}
