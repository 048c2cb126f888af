"""The ways by which people are reached: which channel is for whom, and which are used how loudly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from remediate.domain.people import Person
from remediate.domain.runbook import Severity
from remediate.domain.value import Value

#: What a channel needs to know of a person: one of their addresses, or nothing.
Need = Literal["email", "phone", "chat", ""]


class Route(Value):
    """One channel, as far as choosing it goes."""

    channel: str
    needs: Need = ""
    #: The people that it is for; none named means everybody.
    people: tuple[str, ...] = ()

    def reaches(self, person: Person) -> bool:
        """Return whether this person can be reached over the channel."""
        meant = not self.people or person.id in self.people
        return meant and (not self.needs or bool(getattr(person, self.needs)))


class Routes(Value):
    """All channels of a site, and which of them each severity uses."""

    by_channel: Mapping[str, Route] = {}
    #: A severity that is not named uses every channel.
    by_severity: Mapping[Severity, tuple[str, ...]] = {}

    def of(self, person: Person) -> tuple[str, ...]:
        """Return every channel that reaches a person."""
        return tuple(name for name, route in self.by_channel.items() if route.reaches(person))

    def chosen(self, person: Person, severity: Severity) -> tuple[str, ...]:
        """Return the channels to use: those of the severity, or any other where none of those reaches the person."""
        reaching = self.of(person)
        wanted = self.by_severity.get(severity, tuple(self.by_channel))
        return tuple(name for name in reaching if name in wanted) or reaching

    def besides(self, person: Person, channel: str) -> tuple[str, ...]:
        """Return the other channels that reach a person, for when one of them fails."""
        return tuple(name for name in self.of(person) if name != channel)
