"""What every clock does: the machine's, and its frozen twin."""

from __future__ import annotations

from datetime import timedelta
from threading import Event

import pytest

from remediate.adapters.clock import SystemClock
from remediate.engine.ports import Clock
from remediate.testing import EPOCH, FrozenClock


@pytest.fixture(params=["machine", "frozen"])
def clock(request: pytest.FixtureRequest) -> Clock:
    return SystemClock() if request.param == "machine" else FrozenClock()


def test_the_time_is_in_utc_and_knows_it(clock: Clock) -> None:
    assert clock.now().utcoffset() == timedelta(0)


def test_time_does_not_run_backwards_and_passes_while_it_is_waited_for(clock: Clock) -> None:
    before = clock.now()
    clock.wait(timedelta(milliseconds=5), Event())

    assert clock.now() - before >= timedelta(milliseconds=5)


def test_a_wait_ends_at_once_when_it_is_asked_to_stop(clock: Clock) -> None:
    stop = Event()
    stop.set()
    before = clock.now()
    clock.wait(timedelta(hours=1), stop)

    assert clock.now() - before < timedelta(seconds=5)


def test_a_frozen_clock_stands_still_until_it_is_told() -> None:
    clock = FrozenClock()
    first, second = clock.now(), clock.now()
    clock.fast_forward(timedelta(days=1))
    clock.wait(timedelta(seconds=20), Event())

    assert (first, second, clock.now()) == (EPOCH, EPOCH, EPOCH + timedelta(days=1, seconds=20))
    assert clock.waits == [timedelta(seconds=20)]
