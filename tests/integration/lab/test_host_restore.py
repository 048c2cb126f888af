"""A host is lost, and a bare one takes its place: every service, file, row and key, unattended, within minutes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.integration.lab.hosts import ROOT, SOAK, LabHost
from tests.integration.lab.phases import Phases, new_run

pytestmark = pytest.mark.lab

ROUNDS = 3 if SOAK else 1
HOST = LabHost("landsraad-systemd")
_CODE = "curl -s -m 10 -o /dev/null -w %{http_code} http://127.0.0.1/health/"

_ROWS = """
CREATE TABLE chom.kept (id INT PRIMARY KEY, word VARCHAR(200));
INSERT INTO chom.kept SELECT seq, SHA2(seq, 512) FROM chom.seq_1_to_20000;
"""


def renew(*options: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "molecule/shared/lab.py", "reset", *options, HOST.name],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def lost(lab: None) -> Iterator[dict[str, object]]:
    """A bare host in the place of one that was in service, and what that one held when it was lost."""
    renew()
    # With this, Redis does not read a dump.
    HOST.run('sed -i "s/^appendonly .*/appendonly yes/" /etc/redis/redis.conf && systemctl restart redis-server')
    HOST.run("mariadb", script=_ROWS)
    HOST.run("redis-cli", script="".join(f"SET kept:{number} {number * number}\n" for number in range(500)))
    # The far repository may hold backups of an earlier host of this name.
    make_backup(database_hours=0, files_hours=0, redis_hours=0)
    # After the full copy: these rows are only in the logs.
    HOST.run("mariadb", script="INSERT INTO chom.kept SELECT seq, MD5(seq) FROM chom.seq_20001_to_21000;")
    make_backup(redis_service="", files=[])
    held = holds()
    renew("--bare")
    yield held
    renew()


def make_backup(**inputs: object) -> None:
    backup, run = Phases("backup_create", HOST), new_run("whole")
    limits: dict[str, object] = {"logs_minutes": 0, **inputs}
    backup.done("snapshot", run, **limits)
    backup.done("fix", run, **limits)


def holds() -> dict[str, object]:
    """What must not be lost."""
    checksum = "CHECKSUM TABLE chom.kept; SELECT COUNT(*), MAX(id) FROM chom.kept"
    return {
        "rows": HOST.run("mariadb --batch --skip-column-names", script=f"{checksum};"),
        "keys": HOST.run("redis-cli --scan --pattern kept:* | sort; redis-cli GET kept:499"),
        "code": {path: one for path, one in HOST.files("/var/www/chom/releases").items() if not path.endswith(".log")},
        "settings": HOST.files("/var/www/chom/shared/.env", "/etc/nginx", "/etc/mysql"),
        "units": HOST.run("systemctl list-unit-files --state=enabled --no-legend --plain"),
    }


@pytest.mark.parametrize("_attempt", range(ROUNDS))
def test_a_bare_host_comes_into_full_service(lost: dict[str, object], _attempt: int) -> None:
    restore, run = Phases("host_restore", HOST), new_run("host")
    plan = restore.done("diagnose", "")
    assert "host_bare" in plan
    assert HOST.run("systemctl is-active mariadb redis-server nginx || true").split() == ["inactive"] * 3

    restore.done("snapshot", run)
    restore.done("fix", run)
    said = restore.done("verify", run)

    assert holds() == lost
    for page in ("live", "ready", "dependencies", "security"):
        assert HOST.run(_CODE + page) == "200", page
    assert re.search(r"\d+ tables have the rows and checksums", said)
    hours = re.findall(r'"name": "time to full service", "ok": true, "unit": "h", "value": ([0-9.e-]+)', said)[0]
    print(f"in full service after {float(hours) * 3600:.0f} s")
    assert float(hours) < 4
    assert '"applies": false' in restore.done("diagnose", "")


def test_a_host_in_use_is_refused(lab: None) -> None:
    HOST.run("systemctl stop nginx")
    try:
        refused = Phases("host_restore", HOST).phase("diagnose", "")
    finally:
        HOST.run("systemctl start nginx")
    assert refused.returncode != 0
    assert "is not bare" in refused.stdout
    assert "chom in the database" in refused.stdout
    assert HOST.health() == 200
