"""The people of the stories, each at a level of the escalation matrix, and a way to watch what they are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from remediate.domain.identity import Principal
from remediate.domain.people import People, Person
from remediate.engine.staff import Call, News, Staff

ROBOT = Person(id="robot", name="Robot", level=4, service=True)
NADIA = Person(id="nadia", name="Nadia", level=1)
OMAR = Person(id="omar", name="Omar", level=1)
LENA = Person(id="lena", name="Lena", level=2)
MARA = Person(id="mara", name="Mara", level=2)
MAX = Person(id="max", name="Max", level=3)
CHLOE = Person(id="chloe", name="Chloe", level=4)
EVERYBODY = (ROBOT, NADIA, OMAR, LENA, MARA, MAX, CHLOE)


def principal(person: Person) -> Principal:
    return Principal(person=person, channel="token:t1")


@dataclass
class Company:
    """Who is there, and everything that they were told, as (occasion, person, note)."""

    people: People = field(default_factory=lambda: People(by_id={person.id: person for person in EVERYBODY}))
    away: set[str] = field(default_factory=set)
    policy: str = "p1"
    told: list[tuple[str, str, str]] = field(default_factory=list)

    def staff(self) -> Staff:
        return Staff(
            people=self.people, on_call=self.on_call, announce=self.announce, call=self.call, policy=self.policy
        )

    def on_call(self, level: int, _at: datetime) -> tuple[Person, ...]:
        there = [person for person in self.people.of_level(level) if person.id not in self.away]
        return tuple(there[:1] if level == 1 else there)

    def announce(self, news: News) -> None:
        self.told += [(news.occasion.value, person.id, news.note) for person in news.to]

    def call(self, call: Call) -> None:
        self.told += [(f"called for {call.incident.id}", person.id, call.note) for person in call.to]

    def heard(self, occasion: str) -> list[str]:
        return [person for what, person, _ in self.told if what == occasion]
