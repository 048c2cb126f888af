"""Restore tests of healthy backups pass, whatever is in the database and whoever writes to it during the backup."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.integration.lab.hosts import SOAK, LabHost, Remediate

pytestmark = pytest.mark.lab

ROUNDS = 25 if SOAK else 1
_CLIENTS = {"landsraad": "docker exec --interactive chom-mysql mariadb", "landsraad-systemd": "mariadb"}
_HOSTS = [*_CLIENTS] if SOAK else ["landsraad-systemd"]
_BACKUP_HOST = LabHost("mentat")

#: What a database may hold that is easily taken for a loss: nothing at all, tables without a row, without a key, with
#: names that must be quoted, views of them; and what is there is changed in every way while backups are made.
_SHAPES = (
    "CREATE DATABASE IF NOT EXISTS healthy_empty",
    "DROP DATABASE IF EXISTS healthy_empty",
    "CREATE TABLE IF NOT EXISTS healthy.nothing (id INT PRIMARY KEY)",
    "CREATE OR REPLACE TABLE healthy.keyless (a INT, b TEXT); INSERT INTO healthy.keyless VALUES (1, NULL), (1, NULL)",
    "CREATE OR REPLACE TABLE healthy.`odd ``name` (`a b` INT); INSERT INTO healthy.`odd ``name` VALUES (1)",
    "CREATE OR REPLACE VIEW healthy.seen AS SELECT COUNT(*) AS many FROM healthy.busy",
    "TRUNCATE TABLE healthy.busy",
    "ALTER TABLE healthy.busy ADD COLUMN IF NOT EXISTS more VARCHAR(20) DEFAULT 'x'",
    "ALTER TABLE healthy.busy DROP COLUMN IF EXISTS more",
    "DROP TABLE IF EXISTS healthy.keyless, healthy.nothing",
    "FLUSH BINARY LOGS",
)
_BUSY = "CREATE TABLE healthy.busy (id BIGINT AUTO_INCREMENT PRIMARY KEY, held VARCHAR(40), noted DOUBLE)"
_WRITE = """
while true; do
  for one in $(seq 50); do echo "INSERT INTO healthy.busy (held, noted) VALUES (UUID(), RAND());"; done
  echo "UPDATE healthy.busy SET held = REVERSE(held) ORDER BY RAND() LIMIT 3;"
  echo "DELETE FROM healthy.busy ORDER BY id LIMIT 20;"
done | CLIENT --force
"""


@dataclass(frozen=True)
class Source:
    """A database of which backups are made."""

    host: LabHost
    client: str

    def ask(self, statements: str) -> None:
        """Run statements."""
        self.host.run(self.client, script=f"{statements};\n")

    @contextmanager
    def written_to(self) -> Iterator[None]:
        """Have it written to all the while."""
        script = _WRITE.replace("CLIENT", self.client)
        self.host.run(
            "cat > /run/healthy-writer; systemd-run --quiet --unit healthy-writer bash /run/healthy-writer",
            script=script,
        )
        try:
            yield
            assert self.host.run("systemctl is-active healthy-writer || true") == "active", "nobody wrote any more"
        finally:
            self.host.run("systemctl stop healthy-writer; rm -f /run/healthy-writer")


@pytest.fixture(params=_HOSTS)
def source(request: pytest.FixtureRequest, lab: None) -> Iterator[Source]:
    found = Source(LabHost(request.param), _CLIENTS[request.param])
    found.ask(f"CREATE OR REPLACE DATABASE healthy; {_BUSY}")
    yield found
    found.ask("DROP DATABASE IF EXISTS healthy; DROP DATABASE IF EXISTS healthy_empty")


def test_a_restore_test_of_a_healthy_backup_raises_no_false_alarm(source: Source, remediate: Remediate) -> None:
    verdicts, compared = [], 0
    for number in range(ROUNDS):
        # The first is a full copy, and every fifth, with the files, which have the password; the others are of the log.
        ages = ["--logs-minutes", "0", *([] if number % 5 else ["--database-hours", "0", "--files-hours", "0"])]
        for shape in random.sample(_SHAPES, 3):
            source.ask(shape)
        with source.written_to():
            made = remediate.json("backup-create", "--limit", source.host.name, "--yes", *ages)
        assert made["status"] == "succeeded", made["outcome"]
        done = remediate("restore-test", "--limit", _BACKUP_HOST.name, "--yes", "--set", f"only={source.host.name}")
        report = json.loads(_BACKUP_HOST.run(f"cat /var/lib/remediate-drill/reports/{source.host.name}.json"))
        assert (done.returncode, report["verdict"]) == (0, "PASS"), (number, report["reason"])
        verdicts.append(report["verdict"])
        compared += report["tables_compared"]
    assert compared > 3 * ROUNDS / 2, "too little was compared"
    print(f"{source.host.name}: {len(verdicts)} restore tests of healthy backups passed, {compared} tables compared")
