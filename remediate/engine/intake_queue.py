"""Deliveries wait here for one writer, which takes all that wait in one transaction: one write for many of them."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Condition, Event

from remediate.domain.alert import Alert, AlertStatus
from remediate.engine.intake import Intake, Receipt
from remediate.errors import EngineFailure, RemediateError, StateUnusable

#: So many alerts are taken in one transaction; others want to write, too.
AT_ONCE = 32
#: So many alerts may wait; a source that is told to come back does.
MOST_WAITING = 20_000
#: Of so many alerts it is remembered that they are on the record; of others the record is asked.
REMEMBERED = 20_000
#: How often deliveries that were no news are added to the record.
COUNT_EVERY_SECONDS = 1.0


@dataclass
class _Waiting:
    alerts: tuple[Alert, ...]
    done: Future[None] = field(default_factory=Future)


class IntakeQueue:
    """Takes deliveries from any thread. What was taken is on the disk when its future is done."""

    def __init__(self, intake: Intake, *, made: Callable[[Receipt], None] = lambda _receipt: None) -> None:
        self._intake = intake
        self._made = made
        self._changed = Condition()
        self._queue: deque[_Waiting] = deque()
        self._size = 0
        self._closed = False
        #: How alerts stand on the record, as far as they were taken here: they go one way only, so it stays true.
        self._known: OrderedDict[str, AlertStatus] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="intake-writer")

    def offer(self, alerts: Sequence[Alert]) -> Future[None]:
        """Hand alerts over; raises StateUnusable when too many wait, or nobody takes any more.

        The future is done at once when nothing about them is news.
        """
        with self._changed:
            if self._closed:
                raise StateUnusable("The service is being stopped. Nothing was taken.", next_step="post it again")
            if all(self._is_no_news(alert) for alert in alerts):
                self._counts.update(alert.key for alert in alerts)
                return _done()
            if self._size + len(alerts) > MOST_WAITING:
                raise StateUnusable("Too many alerts wait. Nothing was taken.", next_step="post it again")
            waiting = _Waiting(tuple(alerts))
            self._queue.append(waiting)
            self._size += len(alerts)
            self._changed.notify()
        return waiting.done

    @property
    def waiting(self) -> int:
        """How many alerts wait."""
        return self._size

    def work(self, stop: Event) -> None:
        """Take what waits until `stop`, and then what still waits; to be called by one thread."""
        while not stop.is_set():
            self._take_next(COUNT_EVERY_SECONDS)
        with self._changed:
            self._closed = True
        while self._queue:
            self._take_next(0)
        self._add_counts()
        self._writer.shutdown()

    def wake(self) -> None:
        """Let the writer look at `stop` now."""
        with self._changed:
            self._changed.notify()

    def _take_next(self, patience: float) -> None:
        with self._changed:
            if not self._queue:
                self._changed.wait(patience)
            batch = self._batch()
        if batch:
            self._take(batch)
        else:
            self._add_counts()

    def _batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._queue and (not batch or size + len(self._queue[0].alerts) <= AT_ONCE):
            batch.append(self._queue.popleft())
            size += len(batch[-1].alerts)
        self._size -= size
        return batch

    def _take(self, batch: Sequence[_Waiting]) -> None:
        alerts = [alert for waiting in batch for alert in waiting.alerts]
        taken = self._writer.submit(self._intake.take, alerts)
        if error := taken.exception():
            unknown = EngineFailure(f"Alerts could not be taken: {type(error).__name__}: {error}.")
            for waiting in batch:
                waiting.done.set_exception(error if isinstance(error, RemediateError) else unknown)
            return
        self._remember(alerts)
        self._made(taken.result())
        for waiting in batch:
            waiting.done.set_result(None)

    def _is_no_news(self, alert: Alert) -> bool:
        known = self._known.get(alert.key)
        return known is AlertStatus.RESOLVED or known is alert.status

    def _remember(self, alerts: Sequence[Alert]) -> None:
        with self._changed:
            for alert in alerts:
                if self._known.get(alert.key) is not AlertStatus.RESOLVED:
                    self._known[alert.key] = alert.status
                self._known.move_to_end(alert.key)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def _add_counts(self) -> None:
        with self._changed:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            self._intake.counted(counts)
        except RemediateError:
            # How often something was repeated is no reason to stop; it is added when the record can be written again.
            with self._changed:
                self._counts.update(counts)


def _done() -> Future[None]:
    done: Future[None] = Future()
    done.set_result(None)
    return done
