"""The audit trail as lines: its verdict, its events, and heads that are read back from a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import JsonValue, ValidationError

from remediate.domain.audit import AuditEvent, SignedHead, StoredEvent
from remediate.engine.audit import AuditReport
from remediate.errors import UsageError
from remediate.interfaces.cli.text import moment, printable


def report_lines(report: AuditReport) -> Iterator[str]:
    """Yield the verdict about the trail, what it rests on, and what could not be told."""
    verdict = report.verdict
    if verdict.intact:
        yield f"INTACT  {verdict.checked} events"
    else:
        yield f"BROKEN  first bad event: {_first_bad(report)}"
        yield f"  what     {printable(verdict.reason)}"
        yield f"  holds    {verdict.checked} events before it"
        yield "  next     keep the database as it is, and ask who could write to it since the last good event"
    yield f"  heads    {report.outside} from outside, {report.inside} in the record"
    yield from (f"  DOUBT    {printable(doubt)}" for doubt in report.doubts)
    if report.doubts:
        yield "  next     name the keys that signed with --public-key, or the heads as they were first kept with --head"
    yield from (f"  note     {printable(note)}" for note in report.notes)


def _first_bad(report: AuditReport) -> str:
    first, latest = report.verdict.first_bad, report.verdict.first_bad_at_latest
    return str(first) if first == latest else f"between {first} and {latest}"


def export_line(stored: StoredEvent) -> str:
    """Return a stored event as one line of JSON in ASCII; `body` is the exact text that the hash covers."""
    sequence, text, digest = stored
    return json.dumps({"sequence": sequence, "hash": digest, "body": text.decode("utf-8", "surrogateescape")})


def event_line(event: AuditEvent) -> str:
    """Return an event as one line: when, who, what, and its details."""
    entry = event.entry
    told = printable(_told(entry.details))
    return f"  {moment(entry.at)}  {printable(entry.actor):12} {printable(entry.action):18} {told}"


def _told(details: dict[str, JsonValue]) -> str:
    if {"from", "to"} <= details.keys():
        reason = f": {details['reason']}" if details.get("reason") else ""
        return f"{details['from']} -> {details['to']}{reason}"
    return ", ".join(f"{name}={_short(value)}" for name, value in details.items() if value not in ("", [], {}, None))


def _short(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "+".join(_short(item) for item in value)
    if isinstance(value, dict):
        return "+".join(value)
    return str(value)


def heads_in(path: Path) -> Iterator[SignedHead]:
    """Yield the heads in a file: one a line, as they were written, logged or mailed.

    Lines without a brace are passed over; raises UsageError at one that holds something else, and when there is none.
    """
    count = 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if (at := line.find("{")) >= 0:
                yield _head(path, number, line[at:])
                count += 1
    if not count:
        raise UsageError(f"{path} holds no head.", next_step="`remediate audit head` prints what it should hold")


def _head(path: Path, number: int, text: str) -> SignedHead:
    try:
        return SignedHead.model_validate_json(text)
    except ValidationError as error:
        raise UsageError(
            f"{path}:{number}: this is no signed head: {error.errors()[0]['msg']}. Nothing was checked.",
            next_step="name a file that holds only heads, one a line",
        ) from error
