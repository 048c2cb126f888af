"""Where a record may be kept: each contract test runs on every kind.

`database` is a SQLite file, then a PostgreSQL database, each new and with empty tables. An adapter's test begins so:

    @pytest.fixture
    def outbox(database: Database) -> Outbox:
        return DatabaseOutbox(database)

and where a twin has to do the same, with `database_or_memory`, which is None for the twin:

    @pytest.fixture
    def outbox(database_or_memory: Database | None) -> Outbox:
        return DatabaseOutbox(database_or_memory) if database_or_memory else MemoryOutbox()
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from remediate.adapters.store.connection import Database, open_database
from remediate.catalog.database import DatabaseSettings

SQLITE = pytest.param("sqlite", id="sqlite")
POSTGRES = pytest.param("postgres", id="postgres", marks=pytest.mark.postgres)


class Place:
    """A place where a record is kept; it can be opened as often as a test has processes."""

    def __init__(self, state: Path, settings: DatabaseSettings) -> None:
        self.state = state
        self.settings = settings
        self._opened = ExitStack()

    def open(self) -> Database:
        """Open the record as one more process would; it is closed at the end of the test."""
        database = open_database(self.state, self.settings)
        self._opened.callback(database.dispose)
        return database

    @property
    def arguments(self) -> list[str]:
        """What another process needs to open it: the state directory, and the settings as JSON."""
        return [str(self.state), self.settings.model_dump_json(by_alias=True)]

    def close(self) -> None:
        self._opened.close()


@pytest.fixture(params=[SQLITE, POSTGRES])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    made = _place(request, tmp_path)
    yield made
    made.close()


@pytest.fixture
def database(place: Place) -> Database:
    return place.open()


@pytest.fixture(params=["memory", SQLITE, POSTGRES])
def database_or_memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database | None]:
    if request.param == "memory":
        yield None
        return
    made = _place(request, tmp_path)
    yield made.open()
    made.close()


def _place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    # Asked for only here, so that a test on SQLite starts no server.
    settings = request.getfixturevalue("postgres") if request.param == "postgres" else DatabaseSettings()
    return Place(tmp_path / "state", settings)
