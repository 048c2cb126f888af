"""Whether a stored audit trail still holds, and where it does not: pure, and quick enough for a long trail."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC
from enum import StrEnum

import rfc8785

from remediate.domain.audit import BEGINNING, Place, SignedHead, StoredEvent, chained
from remediate.domain.value import Value


class Flaw(StrEnum):
    """What is wrong with a trail, at its first bad event."""

    #: A number is not there, or one is there that no event can have.
    MISSING = "missing"
    #: The row holds the text of another event.
    MISPLACED = "misplaced"
    #: Text and hash do not belong together.
    EDITED = "edited"
    #: The hash fits, and the text is not one that this program writes.
    FORGED = "forged"
    #: A head vouches for events that are not there: cut off, or an older copy was put in place.
    CUT_OFF = "cut_off"
    #: The chain holds in itself, and is not the one that a head vouches for.
    REWRITTEN = "rewritten"


class TrailVerdict(Value):
    """Whether a trail holds; where it does not, the first bad event and what is wrong with it."""

    #: How many events were looked at and hold.
    checked: int
    #: The number of the last event that holds.
    last: int
    flaw: Flaw | None = None
    first_bad: int | None = None
    #: Where only a head tells that something was rewritten, the first bad event lies between `first_bad` and this one.
    first_bad_at_latest: int | None = None
    reason: str = ""

    @property
    def intact(self) -> bool:
        """Whether nothing wrong was found."""
        return self.flaw is None


def verify(
    stored: Iterable[StoredEvent],
    heads: Iterable[SignedHead] = (),
    start: Place = BEGINNING,
    *,
    own: Iterable[SignedHead] = (),
) -> TrailVerdict:
    """Walk a stored trail from its start, or from a place that is known to hold, and name the first bad event.

    The signatures of the heads were checked before. Without a head from outside it is not seen that events at the end
    were cut off, or that everything from some event on was rewritten. Heads of the record's `own` may convict it as
    well, and do not vouch for it: whoever has its key makes them at will.
    """
    by_number: dict[int, list[tuple[SignedHead, bool]]] = {}
    for head, vouches in [*((head, True) for head in heads), *((head, False) for head in own)]:
        by_number.setdefault(head.sequence, []).append((head, vouches))
    last, vouched, checked = start, start.sequence, 0
    for sequence, text, digest in stored:
        flaw, first_bad, reason = _link(last, sequence, text, digest)
        if flaw:
            return _broken(checked, flaw, (first_bad, first_bad), reason)
        if sequence in by_number:
            told = by_number[sequence]
            if differing := [head for head, _ in told if head.hash != digest]:
                return _broken(
                    vouched - start.sequence, Flaw.REWRITTEN, (vouched + 1, sequence), _rewritten(differing[0])
                )
            vouched = sequence if any(vouches for _, vouches in told) else vouched
        last = Place(sequence, digest)
        checked += 1
    if beyond := [pair[0] for number, pairs in by_number.items() if number > last.sequence for pair in pairs]:
        newest = max(beyond, key=lambda head: head.sequence)
        return _broken(checked, Flaw.CUT_OFF, (last.sequence + 1, last.sequence + 1), _cut_off(last, newest))
    return TrailVerdict(checked=checked, last=last.sequence)


def _link(last: Place, sequence: int, text: bytes, digest: str) -> tuple[Flaw | None, int, str]:
    """Say what is wrong with an event that follows the last one: the flaw, the first bad number, and why."""
    wanted = last.sequence + 1
    if sequence > wanted:
        return Flaw.MISSING, wanted, f"{_events(wanted, sequence - 1)} missing"
    if sequence < wanted:
        return Flaw.MISSING, sequence, f"event {sequence} is there, a number that no event has: it was put in by hand"
    number = _number(text)
    if number is not None and number != sequence:
        return Flaw.MISPLACED, sequence, f"event {sequence} holds the text of event {number}: events were moved"
    if chained(last.hash, text) != digest:
        return Flaw.EDITED, sequence, f"event {sequence} was changed: its text and its hash do not belong together"
    if number is None:
        return Flaw.FORGED, sequence, f"event {sequence} was not written by this program: its text has another form"
    return None, sequence, ""


_FIELDS = {"at", "actor", "action", "subject", "details", "sequence"}

# Without fractions, and without characters beyond 16 bits, by which RFC 8785 sorts in another order, this form is the
# canonical one, and three times as quick. A fraction is read as text here: it comes back in quotes and does not fit.
_quick_read = json.JSONDecoder(parse_float=str, parse_constant=str).decode
_quick_write = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def _number(text: bytes) -> int | None:
    """Return the number that the text of an event names; None when it is not the canonical text of an event."""
    try:
        plain = text.decode()
        document = _quick_read(plain)
        quick = (plain.isascii() or max(plain) <= "\uffff") and _quick_write(document) == plain
        if not quick and rfc8785.dumps(json.loads(plain)) != text:
            return None
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.keys() != _FIELDS:
        return None
    number = document["sequence"]
    return number if type(number) is int else None


def _broken(checked: int, flaw: Flaw, bad: tuple[int, int], reason: str) -> TrailVerdict:
    first, at_latest = bad
    return TrailVerdict(
        checked=checked,
        last=max(first - 1, 0),
        flaw=flaw,
        first_bad=first,
        first_bad_at_latest=at_latest,
        reason=reason,
    )


def _rewritten(head: SignedHead) -> str:
    return (
        f"the trail was rewritten: event {head.sequence} is not the one that was signed at "
        f"{head.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z (hash {head.hash[:16]}...)"
    )


def _cut_off(last: Place, head: SignedHead) -> str:
    return (
        f"{_events(last.sequence + 1, head.sequence)} missing at the end: they were cut off, or an older copy of the "
        f"database was restored. A head vouches for event {head.sequence}, signed at "
        f"{head.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    )


def _events(first: int, last: int) -> str:
    return f"event {first} is" if first == last else f"events {first} to {last} are"
