"""The audit trail's use cases: sign heads and send them away, and prove that the trail still holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from remediate.domain.audit import Due, Place, SignedHead, head_due
from remediate.domain.audit_check import TrailVerdict, verify
from remediate.engine.ports import HeadKeys, HeadTarget, Trail
from remediate.errors import DeliveryFailed, EngineFailure


@dataclass(frozen=True)
class HeadReport:
    """What came of signing: the newest head, and where it is by now."""

    #: The head that was signed now, if any.
    signed: SignedHead | None
    #: Whether one was due, and why.
    due: Due
    #: Targets that were reached now.
    sent: tuple[str, ...] = ()
    #: Targets that were not, each with the reason; they are tried again next time.
    unsent: tuple[tuple[str, str], ...] = ()
    #: What is wrong with the trail since the last head: then nothing is signed.
    broken: TrailVerdict | None = None


@dataclass(frozen=True)
class AuditReport:
    """Whether the trail holds, and how far that can be told."""

    verdict: TrailVerdict
    #: How many heads from outside and from the record itself were compared with the trail.
    outside: int
    inside: int
    #: Heads that cannot be trusted: what they would prove is open.
    doubts: tuple[str, ...]
    #: What a reader should know besides.
    notes: tuple[str, ...]


class AuditTrail:
    """Everything that is asked of the audit trail."""

    def __init__(
        self,
        trail: Trail,
        keys: HeadKeys,
        targets: Sequence[HeadTarget] = (),
        *,
        every_events: int = 100,
        every: timedelta = timedelta(hours=1),
    ) -> None:
        self.trail = trail
        self.keys = keys
        self._targets = {target.name: target for target in targets}
        self._every_events = every_events
        self._every = every

    def sign_if_due(self, now: datetime) -> HeadReport:
        """Sign a head when one is due, and send what is still to be sent; a target that fails is tried again next time.

        A trail that was changed since the last head is not signed: the report says what is wrong with it.
        """
        return self._sign(now, self._every_events)

    def sign_now(self, now: datetime) -> HeadReport:
        """Sign a head whether or not one is due, unless nothing was recorded since the last one, and send it."""
        return self._sign(now, every_events=1)

    def verify(self, outside: Sequence[SignedHead] = (), public_keys: str = "") -> AuditReport:
        """Check the whole trail against its own chain, the heads in the record, and heads from outside.

        Heads are trusted when they are signed by one of the public keys, or by the key of this site when none is
        given. Raises UsageError when that text holds no public key.
        """
        untrusted = self.keys.checker(public_keys)
        recorded, unreadable = self._recorded_heads()
        inside, strangers = _trusted(recorded, untrusted)
        kept, doubts = _trusted(outside, untrusted)
        verdict = verify(self.trail.stored(), kept or inside, own=inside if kept else ())
        return AuditReport(
            verdict=verdict,
            outside=len(kept),
            inside=len(inside),
            doubts=(*unreadable, *doubts),
            notes=tuple(self._notes(verdict, kept, strangers)),
        )

    def _sign(self, now: datetime, every_events: int) -> HeadReport:
        heads = self.trail.heads()
        last = heads[-1] if heads else None
        newest = self.trail.newest().sequence
        due = head_due(newest, last, now, every_events=every_events, every=self._every)
        if not due.now:
            return self._send(None, due)
        verdict = self._since(last)
        if not verdict.intact:
            return HeadReport(signed=None, due=due, broken=verdict)
        return self._send(self.trail.sign_head(now), due)

    def _since(self, last: SignedHead | None) -> TrailVerdict:
        """Check what was recorded since the last head; the whole trail, when that head is not in it any more."""
        if last is None or self.trail.newest().sequence < last.sequence:
            return verify(self.trail.stored(), [last] if last else [])
        return verify(self.trail.stored(after=last.sequence), start=Place(last.sequence, last.hash))

    def _send(self, signed: SignedHead | None, due: Due) -> HeadReport:
        sent: list[str] = []
        unsent: list[tuple[str, str]] = []
        for head, name in self.trail.unsent(tuple(self._targets)):
            try:
                self._targets[name].send(head)
            except DeliveryFailed as error:
                unsent.append((name, error.message))
                continue
            self.trail.head_sent(head, name)
            sent.append(name)
        return HeadReport(signed=signed, due=due, sent=tuple(sent), unsent=tuple(unsent))

    def _recorded_heads(self) -> tuple[tuple[SignedHead, ...], tuple[str, ...]]:
        try:
            return self.trail.heads(), ()
        except EngineFailure as error:
            return (), (error.message,)

    def _notes(self, verdict: TrailVerdict, kept: Sequence[SignedHead], strangers: Sequence[str]) -> Iterator[str]:
        if not kept:
            yield (
                "without a head from outside it is not seen when events at the end were cut off, or when everything "
                "from some event on was rewritten: name one with --head FILE"
            )
        elif verdict.intact and (covered := max(head.sequence for head in kept)) < verdict.last:
            yield f"no head from outside covers the events after {covered}"
        yield from (f"in the record {why}" for why in dict.fromkeys(strangers))
        try:
            waiting = self.trail.unsent(tuple(self._targets))
        except EngineFailure:
            waiting = ()
        yield from (f"the head of event {head.sequence} has not reached {name} yet" for head, name in waiting)


def _trusted(
    heads: Sequence[SignedHead], untrusted: Callable[[SignedHead], str]
) -> tuple[tuple[SignedHead, ...], tuple[str, ...]]:
    """Return the heads that can be trusted, and why each of the others cannot."""
    reasons = [(head, untrusted(head)) for head in heads]
    return tuple(head for head, why in reasons if not why), tuple(why for _, why in reasons if why)
