"""Proves that channels work: a real notice through the outbox, and what came of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import timedelta
from threading import Event

from remediate.domain.notice import Notice
from remediate.domain.people import People, Person
from remediate.domain.route import Routes
from remediate.engine.dispatch import PATIENCE, Dispatcher
from remediate.engine.notices import trial_notices
from remediate.engine.ports import Clock, Outbox
from remediate.errors import UsageError

#: Another dispatcher may have claimed the notice: how often its end is looked for.
_LOOK_EVERY = timedelta(milliseconds=250)


class Trial:
    """Sends test notices."""

    def __init__(self, outbox: Outbox, dispatcher: Dispatcher, routes: Routes, people: People, clock: Clock) -> None:
        self._outbox = outbox
        self._dispatcher = dispatcher
        self._routes = routes
        self._people = people
        self._clock = clock

    def send(self, people: Iterable[str], *, channel: str = "") -> tuple[Notice, ...]:
        """Send a test notice to people, over each of their channels or only one, and return what came of it.

        A notice that has not ended after 45 seconds is returned as it is then. Raises UsageError for a person or
        channel that there is not, and where no channel reaches anybody.
        """
        now = self._clock.now()
        batch = secrets.token_hex(6)
        chosen = [self._person(person) for person in people]
        if channel and channel not in self._routes.by_channel:
            raise UsageError(f"There is no channel {channel!r}.", next_step=_names("channels", self._routes.by_channel))
        if not (notices := trial_notices(chosen, self._routes, only=channel, batch=batch, now=now)):
            names = ", ".join(person.id for person in chosen) or "nobody"
            raise UsageError(
                f"No channel{f' {channel!r}' if channel else ''} reaches {names}; nothing was sent.",
                next_step="name a channel in the section `channels` of remediate.yml, and the people's addresses",
            )
        self._outbox.put(notices)
        return self._ended(f"test-{batch}/", len(notices))

    def _ended(self, prefix: str, count: int) -> tuple[Notice, ...]:
        stop, deadline = Event(), self._clock.now() + PATIENCE
        while True:
            self._dispatcher.deliver_due(stop)
            found = self._outbox.notices(prefix=prefix, limit=count)
            if all(notice.ended for notice in found) or self._clock.now() >= deadline:
                return found
            self._clock.wait(_LOOK_EVERY, stop)

    def _person(self, person_id: str) -> Person:
        if person := self._people.by_id.get(person_id):
            return person
        raise UsageError(f"There is no person {person_id!r}.", next_step=_names("people", self._people.by_id))


def _names(what: str, known: Iterable[str]) -> str:
    listed = ", ".join(sorted(known))
    return f"{what} in remediate.yml: {listed}" if listed else f"remediate.yml has no section `{what}`: write one"
