"""The settings that the module of ssl-expiry takes, with their types."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.acme_client import Acme
from ansible.module_utils.host_step import StepError

_REQUIRED_TEXT: dict[str, Any] = {"type": "str", "required": True}
_REQUIRED_NUMBER: dict[str, Any] = {"type": "int", "required": True}

SETTINGS: dict[str, Any] = {
    "type": "dict",
    "required": True,
    "options": {
        "certificate": _REQUIRED_TEXT,
        "key": {"type": "str", "required": True, "no_log": False},
        "names": {"type": "list", "elements": "str", "default": []},
        "service": _REQUIRED_TEXT,
        "address": _REQUIRED_TEXT,
        "http_port": _REQUIRED_NUMBER,
        "https_port": _REQUIRED_NUMBER,
        "path": _REQUIRED_TEXT,
        "ca_bundle": {"type": "str", "default": ""},
        "server": _REQUIRED_TEXT,
        "server_ca_bundle": {"type": "str", "default": ""},
        "email": {"type": "str", "default": ""},
        "webroot": {"type": "str", "default": ""},
        "config_dir": _REQUIRED_TEXT,
        "work_dir": _REQUIRED_TEXT,
        "logs_dir": _REQUIRED_TEXT,
        "spare_dir": {"type": "str", "default": ""},
        "key_type": {"type": "str", "choices": ["ecdsa", "rsa"], "default": "ecdsa", "no_log": False},
        "renew_days": _REQUIRED_NUMBER,
        "min_days": _REQUIRED_NUMBER,
        "health_wait": _REQUIRED_NUMBER,
        "state_dirs": {"type": "list", "elements": "path", "required": True},
    },
}


def checked(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings; raises StepError with one sentence for what does not make sense."""
    for name in ("certificate", "key"):
        if not settings[name].startswith("/"):
            raise StepError(
                f"ssl_expiry_{name} is {settings[name]!r}; nothing was done: set it to the file that nginx reads"
            )
    if not settings["path"].startswith("/") or not settings["path"].isascii() or not settings["path"].isprintable():
        raise StepError(f"ssl_expiry_path is {settings['path']!r}; nothing was done: it is a path such as /health/live")
    if " " in settings["path"]:
        raise StepError(f"ssl_expiry_path is {settings['path']!r}; nothing was done: a path has no blanks")
    if not 0 < settings["renew_days"] < settings["min_days"]:
        raise StepError(
            f"ssl_expiry_renew_days is {settings['renew_days']} and ssl_expiry_min_days {settings['min_days']}; "
            "nothing was done: the first is at least 1, and less than the second"
        )
    if settings["health_wait"] < 1:
        raise StepError("ssl_expiry_health_wait is less than 1 second; nothing was done")
    return settings


def acme_of(settings: dict[str, Any]) -> Acme:
    """Return the server that certificates come from, and how it is asked."""
    return Acme(
        server=settings["server"],
        email=settings["email"],
        webroot=settings["webroot"],
        ca_bundle=settings["server_ca_bundle"],
        config_dir=settings["config_dir"],
        work_dir=settings["work_dir"],
        logs_dir=settings["logs_dir"],
    )
