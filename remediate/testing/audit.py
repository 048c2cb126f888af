"""The twins of the audit trail, of the key that signs its heads, and of a place that keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from threading import RLock

from remediate.domain.audit import (
    BEGINNING,
    AuditEntry,
    AuditEvent,
    Place,
    SignedHead,
    StoredEvent,
    concerns,
    following,
    head_message,
    signed_message,
)
from remediate.engine.ports import HeadKeys
from remediate.errors import DeliveryFailed, UsageError


class PlainKeys:
    """Implements the port `HeadKeys` without any secret: for tests, where nobody forges."""

    def __init__(self, name: str = "twin") -> None:
        self._public = f"plain {name}"

    def key_id(self) -> str:
        """Return the id of the key."""
        return _key_id(self._public)

    def public_key(self) -> str:
        """Return the key."""
        return self._public

    def sign(self, message: bytes) -> str:
        """Return the signature of a message."""
        return _signature(self._public, message)

    def checker(self, public_keys: str = "") -> Callable[[SignedHead], str]:
        """Return what says why a head cannot be trusted."""
        lines = public_keys.splitlines() if public_keys else [self._public]
        known = {_key_id(line): line for line in lines if line.startswith("plain ")}
        if not known:
            raise UsageError("There is no public key in it.")

        def check(head: SignedHead) -> str:
            if head.key_id not in known:
                return f"the head of event {head.sequence} was signed by an unknown key, {head.key_id}"
            if head.signature != _signature(known[head.key_id], signed_message(head)):
                return f"the signature of the head of event {head.sequence} is wrong"
            return ""

        return check


class MemoryTrail:
    """Implements the port `Trail` in memory, with the same chain."""

    def __init__(self, keys: HeadKeys | None = None) -> None:
        self._keys = keys or PlainKeys()
        self._lock = RLock()
        self._events: list[tuple[AuditEvent, bytes]] = []
        self._heads: list[SignedHead] = []
        self._sent: set[tuple[int, str]] = set()

    def note(self, entry: AuditEntry) -> AuditEvent:
        """Append an entry."""
        with self._lock:
            event, text = following(self.newest(), entry)
            self._events.append((event, text))
            return event

    def events(self, *, after: int = 0, subject: str = "") -> Iterator[AuditEvent]:
        """Yield the events after a number, oldest first."""
        with self._lock:
            known = [event for event, _ in self._events[after:]]
        return (event for event in known if not subject or concerns(event.entry, subject))

    def stored(self, *, after: int | None = None) -> Iterator[StoredEvent]:
        """Yield the events as they are stored."""
        with self._lock:
            known = self._events[after or 0 :]
        return ((event.sequence, text, event.hash) for event, text in known)

    def newest(self) -> Place:
        """Return the number and the hash of the newest event."""
        with self._lock:
            return Place(self._events[-1][0].sequence, self._events[-1][0].hash) if self._events else BEGINNING

    def sign_head(self, now: datetime) -> SignedHead | None:
        """Sign the newest event as a head and record it."""
        with self._lock:
            newest = self.newest()
            if newest.sequence == (self._heads[-1].sequence if self._heads else 0):
                return None
            key_id = self._keys.key_id()
            signature = self._keys.sign(head_message(newest.sequence, newest.hash, now, key_id))
            head = SignedHead(sequence=newest.sequence, hash=newest.hash, at=now, key_id=key_id, signature=signature)
            self._heads.append(head)
            return head

    def heads(self) -> tuple[SignedHead, ...]:
        """Return the heads that were signed here, oldest first."""
        return tuple(self._heads)

    def head_sent(self, head: SignedHead, target: str) -> None:
        """Record that a head reached another place."""
        self._sent.add((head.sequence, target))

    def unsent(self, targets: Sequence[str]) -> tuple[tuple[SignedHead, str], ...]:
        """Return the (head, target) pairs that are still to be sent."""
        newest = self._heads[-1:]
        return tuple(
            (head, target) for head in newest for target in targets if (head.sequence, target) not in self._sent
        )


class MemoryTarget:
    """Implements the port `HeadTarget`: keeps what it is sent, unless it is told to fail."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.received: list[SignedHead] = []
        #: Why it takes nothing at the moment.
        self.trouble = ""

    def send(self, head: SignedHead) -> None:
        """Keep a head."""
        if self.trouble:
            raise DeliveryFailed(self.trouble)
        self.received.append(head)


def _key_id(public: str) -> str:
    return hashlib.sha256(public.encode()).hexdigest()[:16]


def _signature(public: str, message: bytes) -> str:
    return hashlib.sha256(public.encode() + message).hexdigest()
