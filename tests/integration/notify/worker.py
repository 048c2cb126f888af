"""A dispatcher in a process of its own: `worker.py STATE SETTINGS (deliver|die)`.

`deliver` waits for a line on its standard input, delivers what is due and says which keys it sent. `die` is killed by
SIGKILL after the receiver has taken the first notice and before that is recorded.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime
from pathlib import Path
from threading import Event

from remediate.adapters.notify import channels
from remediate.adapters.store.connection import open_database
from remediate.adapters.store.outbox import DatabaseOutbox
from remediate.catalog.settings import read_settings
from remediate.domain.notice import Notice
from remediate.domain.people import Person
from remediate.engine.dispatch import Dispatcher
from remediate.engine.ports import Channel
from remediate.errors import RemediateError
from remediate.testing import FrozenClock


class DyingOutbox(DatabaseOutbox):
    """Dies where a notice has arrived and that is not recorded yet."""

    def delivered(self, notice: Notice, now: datetime) -> None:
        del notice, now
        os.kill(os.getpid(), signal.SIGKILL)


class Telling:
    """Says what it sends, and sends nothing."""

    def send(self, notice: Notice, person: Person) -> None:
        del person
        # One write: print would write the line and its end apart, and another channel's thread could come between them.
        sys.stdout.write(f"{notice.key}\n")
        sys.stdout.flush()


def shown(error: RemediateError) -> None:
    print(error.message, file=sys.stderr)


def main(state: Path, site: Path, work: str) -> None:
    settings, clock = read_settings(site), FrozenClock()
    database = open_database(state)
    outbox = DyingOutbox(database) if work == "die" else DatabaseOutbox(database)
    senders: dict[str, Channel] = {}
    senders |= channels(settings.channels, clock) if work == "die" else {"mail": Telling(), "hook": Telling()}
    dispatcher = Dispatcher(outbox, senders, settings.routes, settings.people, clock, shown)
    print("ready", flush=True)
    sys.stdin.readline()
    dispatcher.deliver_due(Event())
    database.dispose()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
