"""Reads a file of old alerts: what Alertmanager posted, or what its API lists. Pure; everything in it is hostile."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from remediate.domain.alert import Alert
from remediate.domain.alert_payload import SourceKind, read_active, read_delivery
from remediate.domain.text import quoted
from remediate.domain.value import Value
from remediate.errors import UnreadableDelivery

#: A longer file is cut into several by whoever has it.
MOST_BYTES = 64 * 1024 * 1024


class Replayed(Value):
    """The alerts of a file, in its order, and why some of it could not be read."""

    alerts: tuple[Alert, ...]
    refused: tuple[str, ...] = ()


def read_replay(content: bytes, source: str, kind: SourceKind) -> Replayed:
    """Return the alerts of a file: one delivery, a list of them, one for each line, or a list as the API gives it.

    Raises UnreadableDelivery when nothing in it is one of these.
    """
    if len(content) > MOST_BYTES:
        raise UnreadableDelivery(f"The file is longer than {MOST_BYTES // 1024 // 1024} MiB.", next_step="cut it")
    alerts: list[Alert] = []
    refused: list[str] = []
    for number, document in enumerate(_documents(content), 1):
        try:
            alerts += _alerts(document, source, kind)
        except (UnreadableDelivery, ValueError) as error:
            refused.append(f"{number}: {quoted(str(error), 200)}")
    if not alerts and refused:
        raise UnreadableDelivery("\n  ".join(["Nothing in the file is an alert:", *refused[:20]]))
    return Replayed(alerts=tuple(alerts), refused=tuple(refused))


def _documents(content: bytes) -> Sequence[Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return [_line(line) for line in content.splitlines() if line.strip()]
    return found if isinstance(found, list) else [found]


def _line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return quoted(line[:80].decode("utf-8", "replace"))


def _alerts(document: Any, source: str, kind: SourceKind) -> Sequence[Alert]:
    if isinstance(document, dict) and "fingerprint" in document:
        return [read_active(document, source)]
    if not isinstance(document, dict):
        raise ValueError("no delivery and no alert")
    return read_delivery(json.dumps(document).encode(), source, kind).alerts
