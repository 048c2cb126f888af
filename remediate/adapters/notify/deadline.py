"""A deadline over a whole exchange: the time-outs of sockets are per answer, and a server may drip for ever."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

#: How soon a connection is shut that is only made after the deadline.
_LOOK_EVERY = 0.5


@contextmanager
def hung_up_after(seconds: float, connection: Callable[[], socket.socket | None]) -> Iterator[None]:
    """Shut the socket that `connection` returns by then, or later; whoever waits for it is told that it is gone."""
    ended = Event()

    def hang_up() -> None:
        over = ended.wait(seconds)
        while not over:
            if open_one := connection():
                # It may have ended by itself at this very moment.
                with suppress(OSError):
                    open_one.shutdown(socket.SHUT_RDWR)
            over = ended.wait(_LOOK_EVERY)

    Thread(target=hang_up, name="deadline", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
