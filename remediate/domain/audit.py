"""The audit trail: entries that are chained by hashes, and signed heads that vouch for the chain elsewhere.

The text of an event is the canonical JSON (RFC 8785) of its entry and its number; its hash is the sha256, in hex, of
the hash before it followed by that text. A stored event is its number, its text and its hash, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, NamedTuple

import rfc8785
from pydantic import AfterValidator, AwareDatetime, Field, JsonValue

from remediate.domain.value import Value

#: What the first event of a trail follows.
GENESIS = "0" * 64

#: The actor of what the engine does by itself.
ENGINE = "engine"


#: The largest whole number that canonical JSON can hold.
_LARGEST = 2**53 - 1


def writable(value: JsonValue) -> JsonValue:
    """Return a value with what canonical JSON cannot hold written as text.

    No host keeps its run out of the trail by what it answers.
    """
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case float() if not math.isfinite(value):
            return str(value)
        case int() if abs(value) > _LARGEST:
            return hex(value)
        case list():
            return [writable(item) for item in value]
        case dict():
            return {str(writable(name)): writable(item) for name, item in value.items()}
    return value


_Moment = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
_Text = Annotated[str, AfterValidator(writable)]
_Details = Annotated[dict[str, JsonValue], AfterValidator(writable)]


class AuditEntry(Value):
    """One thing that happened: who did what to what, and when."""

    at: _Moment
    #: A person's id, or `engine` for what the engine does by itself.
    actor: _Text
    #: A word from a small closed set, such as `run.moved`, `approval.given`, `token.revoked`.
    action: _Text
    #: What it was done to: the id of a run, a token, an incident; `RUN/...` for what belongs to a run.
    subject: _Text
    details: _Details = {}


class AuditEvent(Value):
    """An entry in its place: its number, and the hash that covers it and everything before it."""

    sequence: int
    entry: AuditEntry
    hash: str


class SignedHead(Value):
    """The newest event of a trail, signed: kept elsewhere, it shows later that nothing before it was changed or cut."""

    sequence: int = Field(ge=1)
    hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    at: AwareDatetime
    key_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    #: Ed25519 over the canonical JSON of the four fields above, in base64.
    signature: str


class Place(NamedTuple):
    """A place in the trail: everything up to this number is covered by this hash."""

    sequence: int
    hash: str


#: Where the first event is chained to.
BEGINNING = Place(0, GENESIS)

#: A stored event, as it was found: its number, its text and its hash.
StoredEvent = tuple[int, bytes, str]


def event_text(sequence: int, entry: AuditEntry) -> bytes:
    """Return the text of an event: what is stored, and what its hash covers."""
    return rfc8785.dumps({**entry.model_dump(mode="json"), "sequence": sequence})


def chained(previous: str, text: bytes) -> str:
    """Return the hash of an event that follows the one with the hash `previous`."""
    return hashlib.sha256(previous.encode() + text).hexdigest()


def following(last: Place, entry: AuditEntry) -> tuple[AuditEvent, bytes]:
    """Return the event that an entry becomes after the last one, and its text."""
    text = event_text(last.sequence + 1, entry)
    return AuditEvent(sequence=last.sequence + 1, entry=entry, hash=chained(last.hash, text)), text


def read_event(stored: StoredEvent) -> AuditEvent:
    """Return a stored event as a value; raises ValueError when its text is not that of an event."""
    sequence, text, digest = stored
    fields = json.loads(text)
    del fields["sequence"]
    return AuditEvent(sequence=sequence, entry=AuditEntry.model_validate(fields), hash=digest)


def concerns(entry: AuditEntry, subject: str) -> bool:
    """Return whether an entry is about a subject, or about what belongs to it: `RUN`, and `RUN/asked-2/omar/email`."""
    return entry.subject == subject or entry.subject.startswith(f"{subject}/")


def head_message(sequence: int, digest: str, at: datetime, key_id: str) -> bytes:
    """Return the bytes that the signature of a head covers."""
    moment = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return rfc8785.dumps({"sequence": sequence, "hash": digest, "at": moment, "key_id": key_id})


def signed_message(head: SignedHead) -> bytes:
    """Return the bytes that the signature of this head must cover."""
    return head_message(head.sequence, head.hash, head.at, head.key_id)


def head_line(head: SignedHead) -> str:
    """Return a head as one line of canonical JSON: how it is kept elsewhere."""
    message = json.loads(signed_message(head))
    return rfc8785.dumps({**message, "signature": head.signature}).decode()


class Due(StrEnum):
    """Whether a head has to be signed now, and why."""

    NOTHING_NEW = "nothing was recorded since the last head"
    NOT_YET = "the last head is recent enough"
    FIRST = "no head was signed yet"
    EVENTS = "enough was recorded since the last head"
    TIME = "the last head is old enough"
    BEHIND = "the trail ends before the last head: something was cut off"

    @property
    def now(self) -> bool:
        """Whether the trail has to be looked at, and signed where it holds."""
        return self not in {Due.NOTHING_NEW, Due.NOT_YET}


def head_due(newest: int, last: SignedHead | None, now: datetime, *, every_events: int, every: timedelta) -> Due:
    """Decide whether a head is due, from the number of the newest event and the newest head."""
    if newest == (last.sequence if last else 0):
        return Due.NOTHING_NEW
    if last is None:
        return Due.FIRST
    if newest < last.sequence:
        return Due.BEHIND
    if newest - last.sequence >= every_events:
        return Due.EVENTS
    return Due.TIME if now - last.at >= every else Due.NOT_YET
