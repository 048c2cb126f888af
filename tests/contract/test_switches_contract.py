"""What every set of switches does: the database and its twin in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from remediate.adapters.store.connection import Database, open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.switches import DatabaseSwitches
from remediate.adapters.store.tables import audit
from remediate.domain.audit import AuditEntry, read_event
from remediate.domain.switch import PAUSE, Switch, breaker_switch
from remediate.engine.ports import Switches
from remediate.testing import EPOCH, MemorySwitches
from tests.storm import HOUR, pause


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    engine = open_database(tmp_path / "state")
    yield engine
    engine.dispose()


@pytest.fixture(params=["database", "memory"])
def switches(request: pytest.FixtureRequest, database: Database) -> Switches:
    return MemorySwitches() if request.param == "memory" else DatabaseSwitches(database)


def trail(database: Database) -> list[AuditEntry]:
    with database.reading() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.sequence)).all()
    return [read_event((row.sequence, row.body, row.hash)).entry for row in rows]


def test_nothing_was_ever_pressed(switches: Switches) -> None:
    assert switches.switches() == ()


def test_a_switch_comes_back_as_it_was_pressed_last(switches: Switches) -> None:
    switches.press(pause())
    pressed = Switch(name=PAUSE, on=False, by="nadia", reason="it's ü\n{{ 7 }}", at=EPOCH + HOUR, after=2**40)
    switches.press(pressed)

    assert switches.switches() == (pressed,)


def test_switches_are_told_by_name(switches: Switches) -> None:
    closed = Switch(name=breaker_switch("r" * 64), on=False, by="omar", reason="found", at=EPOCH, after=7)
    switches.press(pause())
    switches.press(closed)

    assert switches.switches() == (closed, pause())


def test_every_press_is_in_the_trail(database: Database) -> None:
    switches = DatabaseSwitches(database)
    switches.press(pause())
    switches.press(pause(on=False))

    assert trail(database) == [
        AuditEntry(
            at=EPOCH,
            actor="omar",
            action="switch.pressed",
            subject="pause",
            details={"on": on, "reason": "the rack is on fire", "after": 0},
        )
        for on in (True, False)
    ]


def test_a_press_that_is_taken_back_is_in_neither(database: Database) -> None:
    switches = DatabaseSwitches(database)

    def press_and_fail() -> None:
        with DatabaseStore(database).together():
            switches.press(pause())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        press_and_fail()
    assert (switches.switches(), trail(database)) == ((), [])
