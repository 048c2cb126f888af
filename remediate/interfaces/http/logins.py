"""Failed log-ins: counted, so that nobody guesses quickly, without letting anybody lock others out."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TypeVar

#: So many failures of one address within the window; then it is not even looked at what it shows.
MOST_FAILURES = 20
WINDOW_SECONDS = 60.0
#: An address that was let in is looked at all the same for this long: nobody beside it can lock it out.
TRUSTED_SECONDS = 24 * 3600.0
_REMEMBERED = 4096


_Key = TypeVar("_Key")
_Kept = TypeVar("_Kept")


class Logins:
    """Who failed lately, and who was let in as whom. Its memory is bounded; the oldest is forgotten first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._trusted: OrderedDict[tuple[str, str], float] = OrderedDict()

    def is_barred(self, address: str, name: str) -> bool:
        """Return whether an address has failed too often to be looked at now, whoever it says it is.

        That somebody was let in from there under the same name lately makes an exception of that name alone.
        """
        now = self._clock()
        if now - self._trusted.get((address, name), -TRUSTED_SECONDS) < TRUSTED_SECONDS:
            return False
        failures = self._failures.get(address, ())
        return sum(now - moment < WINDOW_SECONDS for moment in failures) >= MOST_FAILURES

    def failed(self, address: str) -> None:
        """Remember that an address failed."""
        known = self._failures.setdefault(address, deque(maxlen=MOST_FAILURES))
        known.append(self._clock())
        _keep(self._failures, address)

    def let_in(self, address: str, name: str) -> None:
        """Remember that somebody was let in from an address under a name."""
        self._trusted[address, name] = self._clock()
        _keep(self._trusted, (address, name))


def _keep(known: OrderedDict[_Key, _Kept], newest: _Key) -> None:
    known.move_to_end(newest)
    while len(known) > _REMEMBERED:
        known.popitem(last=False)
