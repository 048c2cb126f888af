"""Measures what one writer at a time costs (docs/adr/0007): `python tests/bench/writers.py`.

Each transaction records a run with its first transition, as `Store.create_run` does. On PostgreSQL it is measured with
the lock of the one writer and without it, in turn, in the same server.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

from sqlalchemy import Connection

sys.path.insert(0, str(Path(__file__).parents[2]))

from remediate.adapters.store.connection import Database, open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.postgresql import PostgresqlBackend
from remediate.catalog.database import DatabaseSettings
from tests.builders import run
from tests.postgres import PostgresServer, programs

TRANSACTIONS = 400
ROUNDS = 5


def write(database: Database, name: str, count: int) -> None:
    store = DatabaseStore(database)
    for number in range(count):
        store.create_run(run(f"{name}-{number}"))


def per_second(state: Path, settings: DatabaseSettings, writers: int, name: str) -> float:
    """Return how many transactions a second so many writers get done together."""
    databases = [open_database(state, settings) for _ in range(writers)]
    count = TRANSACTIONS // writers
    with ThreadPoolExecutor(writers) as threads:
        began = time.perf_counter()
        list(threads.map(lambda number: write(databases[number], f"{name}-{number}", count), range(writers)))
        took = time.perf_counter() - began
    for database in databases:
        database.dispose()
    return count * writers / took


def shown(name: str, rates: list[float]) -> None:
    print(f"{name:44} median {statistics.median(rates):6.0f}/s   min {min(rates):6.0f}   max {max(rates):6.0f}")


def without_lock(_backend: PostgresqlBackend, _connection: Connection) -> None:
    """Let several write at once."""


def measure(state: Path, settings: DatabaseSettings, writers: int) -> None:
    """Print what so many writers get done on each database."""
    rates: dict[str, list[float]] = {"SQLite": [], "PostgreSQL": [], "PostgreSQL without the lock": []}
    for number in range(ROUNDS):
        name = f"{writers}-{number}"
        rates["SQLite"].append(per_second(state, DatabaseSettings(), writers, name))
        rates["PostgreSQL"].append(per_second(state, settings, writers, name))
        with patch.object(PostgresqlBackend, "begin_writing", without_lock):
            rates["PostgreSQL without the lock"].append(per_second(state, settings, writers, f"{name}-free"))
    for name, measured in rates.items():
        shown(f"{name}, {writers} at once", measured)


def main() -> None:
    server = PostgresServer(programs())
    try:
        server.make()
        with server.database() as settings, tempfile.TemporaryDirectory() as directory:
            for writers in (1, 4, 16):
                measure(Path(directory), settings, writers)
    finally:
        server.remove()


if __name__ == "__main__":
    main()
