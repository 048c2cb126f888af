"""Ansible's events, reduced to what is recorded, in plain values that travel over a pipe.

Everything in an event comes from the host and is hostile: it is cut to a size, and never interpreted.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

_OUTCOMES = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
    "runner_on_skipped": "skipped",
    "runner_item_on_ok": "ok",
    "runner_item_on_failed": "failed",
}
_MESSAGE_SIZE = 4_000
_DIFF_SIZE = 200_000


def reduced(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the task that an event is about, or None for events that end no task."""
    outcome = _OUTCOMES.get(event.get("event", ""))
    if outcome is None:
        return None
    data = event["event_data"]
    result = data.get("res") or {}
    failed = outcome == "failed" and not data.get("ignore_errors")
    return {
        "host": data["host"],
        "task": _recordable(data.get("task", "")),
        "module": data.get("resolved_action") or data.get("task_action", ""),
        "outcome": "changed"
        if outcome == "ok" and result.get("changed")
        else "ok"
        if outcome == "failed" and not failed
        else outcome,
        "started_at": data.get("start") or event["created"],
        "seconds": float(data.get("duration") or 0),
        "message": _message(result) if outcome in {"failed", "unreachable"} else "",
        "diff": _recordable(_diff(result.get("diff"))[:_DIFF_SIZE]),
        "item": event["event"].startswith("runner_item"),
        "report": _report(result),
    }


def is_failure(event: Mapping[str, Any]) -> bool:
    """Return whether a task failed, or its host was not reached; also where the playbook does not mind."""
    return _OUTCOMES.get(event.get("event", "")) in {"failed", "unreachable"}


def _message(result: Mapping[str, Any]) -> str:
    """What a failed task said, without what `no_log` hides."""
    parts = [str(result.get(key) or "").strip() for key in ("msg", "module_stderr", "stderr")]
    return _recordable("\n".join(dict.fromkeys(part for part in parts if part))[:_MESSAGE_SIZE])


def _recordable(text: str) -> str:
    """Return text without lone surrogates: the name of a file need not be text, a record must be."""
    return text.encode("utf-8", "backslashreplace").decode()


def _report(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a `set_stats` task set for this host."""
    stats = result.get("ansible_stats")
    return dict(stats["data"]) if isinstance(stats, dict) and isinstance(stats.get("data"), dict) else {}


def _diff(diff: object) -> str:
    """Return Ansible's before and after as a unified diff, as `--diff` shows it."""
    entries = diff if isinstance(diff, list) else [diff]
    return "".join(_one_diff(entry) for entry in entries if isinstance(entry, dict))


def _one_diff(entry: Mapping[str, Any]) -> str:
    if entry.get("prepared"):
        return str(entry["prepared"]).rstrip("\n") + "\n"
    before, after = _text(entry.get("before")), _text(entry.get("after"))
    if before == after:
        return ""
    headers = (str(entry.get("before_header") or "before"), str(entry.get("after_header") or "after"))
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), *headers, lineterm="", n=1)
    return "\n".join(lines) + "\n"


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, indent=2, sort_keys=True)
