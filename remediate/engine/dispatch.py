"""The dispatcher: takes notices from the outbox, sends them over their channels, and records what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from threading import Condition, Event, Thread

from remediate.domain.delivery import after_failure
from remediate.domain.notice import Notice
from remediate.domain.people import People
from remediate.domain.route import Routes
from remediate.engine.ports import Channel, Clock, Outbox
from remediate.errors import DeliveryFailed, RemediateError

#: A claim holds for longer than any channel may take; after a crash it is the time until the next attempt.
LEASE = timedelta(minutes=2)
#: How long whoever delivers once waits for a channel that does not come back.
PATIENCE = timedelta(seconds=45)
_ERROR_LENGTH = 500


class Dispatcher:
    """Delivers what waits in the outbox, each channel in a thread of its own, so that none waits for another.

    Any number of dispatchers, in any number of processes, work on one outbox: every notice is claimed by one of them.
    `trouble` is told what a thread could not do; the notice is then claimed again when its lease has ended.
    """

    def __init__(
        self,
        outbox: Outbox,
        channels: Mapping[str, Channel],
        routes: Routes,
        people: People,
        clock: Clock,
        trouble: Callable[[RemediateError], None],
    ) -> None:
        self._outbox = outbox
        self._channels = channels
        self._routes = routes
        self._people = people
        self._clock = clock
        self._trouble = trouble
        self._busy: set[str] = set()
        self._idle = Condition()
        self._arrived = 0

    def deliver_due(self, stop: Event, *, patience: timedelta = PATIENCE) -> int:
        """Deliver what is due now and return how many notices arrived; waits no longer than `patience`.

        A channel that hangs goes on in its thread. Raises StateUnusable when the outbox cannot be read.
        """
        before = self._arrived
        self._begin(stop)
        self._wait(patience)
        return self._arrived - before

    def run(self, stop: Event, every: timedelta = timedelta(seconds=2)) -> None:
        """Deliver what becomes due, until `stop`; may be ended at any moment and started again."""
        while not stop.is_set():
            try:
                self._begin(stop)
            except RemediateError as error:
                self._trouble(error)
            self._clock.wait(every, stop)
        self._wait(PATIENCE)

    def _begin(self, stop: Event) -> None:
        """Start a thread for every channel that has notices due, unless it is at work already."""
        for channel in self._outbox.waiting(self._clock.now()):
            with self._idle:
                if channel in self._busy:
                    continue
                self._busy.add(channel)
            # The thread of a channel that hangs must not keep the program from ending.
            Thread(target=self._work, args=(channel, stop), name=f"notify-{channel}", daemon=True).start()

    def _wait(self, patience: timedelta) -> None:
        with self._idle:
            self._idle.wait_for(lambda: not self._busy, patience.total_seconds())

    def _work(self, channel: str, stop: Event) -> None:
        try:
            while not stop.is_set() and (claimed := self._outbox.claim(channel, self._clock.now(), lease=LEASE)):
                for notice in claimed:
                    self._deliver(notice)
        except RemediateError as error:
            self._trouble(error)
        finally:
            with self._idle:
                self._busy.discard(channel)
                self._idle.notify_all()

    def _deliver(self, notice: Notice) -> None:
        try:
            self._send(notice)
        except DeliveryFailed as failure:
            self._record(notice, failure)
            return
        self._outbox.delivered(notice, self._clock.now())
        with self._idle:
            self._arrived += 1

    def _send(self, notice: Notice) -> None:
        channel = self._channels.get(notice.channel)
        person = self._people.by_id.get(notice.person)
        if channel is None:
            raise DeliveryFailed(f"there is no channel {notice.channel} in remediate.yml any more", permanent=True)
        if person is None:
            raise DeliveryFailed(f"there is no person {notice.person} in remediate.yml any more", permanent=True)
        try:
            channel.send(notice, person)
        except DeliveryFailed:
            raise
        except Exception as error:  # a defect that one notice brings out must not stop the others
            raise DeliveryFailed(f"a defect of the channel: {type(error).__name__}: {error}") from error

    def _record(self, notice: Notice, failure: DeliveryFailed) -> None:
        """Record a failed attempt; the person's other channels are put to use first, so that a crash loses neither."""
        now = self._clock.now()
        after = after_failure(notice, permanent=failure.permanent, wait=failure.wait, now=now)
        person = self._people.by_id.get(notice.person)
        if after.elsewhere and person:
            self._outbox.put(notice.over(other, now) for other in self._routes.besides(person, notice.channel))
        error = failure.message[:_ERROR_LENGTH]
        said = error if after.again_at else f"{error}; given up: {after.reason}"
        self._outbox.failed(notice, said, again_at=after.again_at, now=now)
