"""The sessions of one program: kept for the next phase, shared by nobody at a time, and not more than help.

To start a session is to import Ansible, a second of a processor, in which a session that is there could carry a whole
short phase. So some are started whenever they are asked for, and more of them only once somebody has waited as long as
that would be worth: a storm of short runs does not start an Ansible for each, and long ones hold nobody up.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Event, Timer
from time import monotonic

from remediate.adapters.ansible.processes import end_connections
from remediate.adapters.ansible.session import Session
from remediate.catalog.settings import AnsibleSettings

#: How long a session that nothing needs is kept. Between two phases of a run it must be there; a service that waits for
#: the next alert, maybe for days, does not keep an Ansible in memory for each of the runs of the last storm.
IDLE_SECONDS = 120.0
#: So many are started at once when they are asked for: what processors can carry, and one that waits for its host.
FREELY = (os.cpu_count() or 1) + 1
#: How long somebody waits for one of these before another one is started.
PATIENCE_SECONDS = 3.0
#: Of those that are started out of impatience, one at a time: how long the next one waits for it.
APART_SECONDS = 1.0
#: How often whoever waits looks whether it should stop.
_POLL_SECONDS = 0.05


class Sessions:
    """Gives a session to whoever needs one."""

    def __init__(self, settings: AnsibleSettings, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._settings = settings
        self._idle_seconds = idle_seconds
        #: Sessions that nothing needs, and since when; the one that was needed last is at the end.
        self._idle: list[tuple[Session, float]] = []
        self._busy = 0
        self._last_started = 0.0
        self._retiring: Timer | None = None
        #: Where the connections are that all sessions use; there while there is a session.
        self._connections: Path | None = None
        self._changed = Condition()

    def warm_up(self) -> None:
        """Start a session now, unless there is one, so that it is ready when the first phase needs it."""
        with self._changed:
            if not self._idle and not self._busy:
                self._keep(Session(self._settings, self._connected()))

    def close(self) -> None:
        """End all sessions and everything below them."""
        with self._changed:
            sessions, self._idle = self._idle, []
            if self._retiring:
                self._retiring.cancel()
        for session, _ in sessions:
            session.close()
        with self._changed:
            self._disconnect()

    @contextmanager
    def one(self, stop: Event | None = None) -> Iterator[Session]:
        """Give a session for one request, after waiting for one where that helps, but not beyond `stop`."""
        session = self._taken(stop or Event())
        try:
            yield session
        finally:
            with self._changed:
                self._busy -= 1
                if session.usable:
                    self._keep(session)
                self._changed.notify()
            if not session.usable:
                session.close()

    def _taken(self, stop: Event) -> Session:
        asked = monotonic()
        with self._changed:
            while not (self._idle or stop.is_set() or self._is_time_for_another(asked)):
                self._changed.wait(_POLL_SECONDS)
            self._busy += 1
            if self._idle:
                return self._idle.pop()[0]
            self._last_started = monotonic()
            return self._started()

    def _is_time_for_another(self, asked: float) -> bool:
        if self._busy < FREELY:
            return True
        now = monotonic()
        return now - asked >= PATIENCE_SECONDS and now - self._last_started >= APART_SECONDS

    def _started(self) -> Session:
        try:
            return Session(self._settings, self._connected())
        except BaseException:
            self._busy -= 1
            raise

    def _keep(self, session: Session) -> None:
        """Keep a session for what comes next; to be called with the lock held."""
        self._idle.append((session, monotonic()))
        if self._retiring is None:
            self._retire_in(self._idle_seconds)

    def _retire_in(self, seconds: float) -> None:
        self._retiring = Timer(seconds, self._retire)
        self._retiring.daemon = True
        self._retiring.start()

    def _retire(self) -> None:
        """End the sessions that nothing has needed for long, and look again when the next one may be due."""
        with self._changed:
            now = monotonic()
            due = [session for session, since in self._idle if now - since >= self._idle_seconds]
            self._idle = self._idle[len(due) :]
            self._retiring = None
            if self._idle:
                self._retire_in(self._idle[0][1] + self._idle_seconds - now)
        for session in due:
            session.close()
        with self._changed:
            if not self._idle and not self._busy:
                self._disconnect()

    def _connected(self) -> Path:
        """Return the directory of the connections; to be called with the lock held."""
        if self._connections is None:
            # Short on purpose: paths of ssh's sockets may have 100 characters.
            self._connections = Path(tempfile.mkdtemp(prefix="remediate-"))
        return self._connections

    def _disconnect(self) -> None:
        """Close all connections, once no session uses them any more; to be called with the lock held."""
        if self._connections:
            end_connections(self._connections)
            self._connections = None
