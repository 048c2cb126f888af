"""A PostgreSQL that is written to all the time: in both repositories, restored exactly, and damaged in many ways."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.lab.hosts import ROOT, SOAK, LabHost, Remediate
from tests.integration.lab.phases import Phases, new_run

pytestmark = pytest.mark.lab

SOURCE, MENTAT = LabHost("landsraad-systemd"), LabHost("mentat")
NAME = f"{SOURCE.name}:postgresql"
SHIPMENTS = 10 if SOAK else 1
REPORTS = "/var/lib/remediate-drill/reports"
PASSPHRASE = "only for the lab: opens pgBackRest"  # noqa: S105 - of the lab
ACCESS = "/etc/remediate/backup"
NEAR = f"restic --repository-file {ACCESS}/near.repository --password-file {ACCESS}/repository.password"
FAR = f"restic --repository-file {ACCESS}/{SOURCE.name}.repository --password-file {ACCESS}/repository.password"

#: Only PostgreSQL: the rest of the host has tests of its own.
_SOURCE_VARS = {
    "backup_create_database_service": "",
    "backup_create_redis_service": "",
    "backup_create_files": [],
    "backup_create_postgresql_stanza": "lab",
    "backup_create_tables": 50,
}
_SOURCES = [
    {
        "name": SOURCE.name,
        "address_file": f"{ACCESS}/{SOURCE.name}.repository",
        "password_file": f"{ACCESS}/repository.password",
        "mariadb": False,
        "postgresql": {"stanza": "lab", "cipher_file": f"{ACCESS}/lab.passphrase"},
    }
]

_MAKE = r"""
import os, pwd, shutil, subprocess
def run(*argv, user="postgres", given=None):
    done = subprocess.run(argv, user=user, cwd="/", input=given, text=True, capture_output=True,
                          env={"PATH": os.environ["PATH"], "HOME": "/var/lib/postgresql", "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, (argv, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout
def owned(path, text=None, mode=0o600):
    if text is None:
        os.makedirs(path, exist_ok=True)
    else:
        with open(path, "w") as target:
            target.write(text)
    entry = pwd.getpwnam("postgres")
    os.chown(path, entry.pw_uid, entry.pw_gid)
    os.chmod(path, mode)
def removed():
    subprocess.run(["systemctl", "stop", "lab-writers", "lab-churn"], capture_output=True)
    for version in os.listdir("/usr/lib/postgresql"):
        subprocess.run(["pg_dropcluster", "--stop", version, "lab"], capture_output=True)
    for path in ("/var/lib/pgbackrest", "/var/lib/postgresql/space"):
        shutil.rmtree(path, ignore_errors=True)
    if os.path.exists("/etc/pgbackrest.conf.before"):
        os.replace("/etc/pgbackrest.conf.before", "/etc/pgbackrest.conf")
"""
_PGBACKREST = f"""[global]
repo1-path=/var/lib/pgbackrest
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass={PASSPHRASE}
repo1-retention-full=2
compress-type=zst
start-fast=y
log-level-file=off
[lab]
pg1-path=DATA
pg1-port=5432
"""
_POSTGRESQL = """
wal_level = logical
archive_mode = on
archive_command = 'pgbackrest --stanza=lab archive-push %p'
archive_timeout = 60
"""
_ODD = 'it\'s host=evil.example "odd"'
_TABLES = r'''
CREATE TABLESPACE space LOCATION '/var/lib/postgresql/space';
CREATE DATABASE shop;
CREATE DATABASE "it's host=evil.example ""odd""";
\connect shop
CREATE TABLE "ta'b""le; DROP {{ x }}" (id int PRIMARY KEY, "co''l""umn" text, more jsonb);
INSERT INTO "ta'b""le; DROP {{ x }}" SELECT n, repeat(md5(n::text), 200), '{"a": [1]}' FROM generate_series(1, 500) n;
CREATE TABLE parts (at timestamptz, amount money, span interval, raw bytea, list float8[]) PARTITION BY RANGE (at);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') TABLESPACE space;
INSERT INTO parts SELECT '2026-05-05 05:05+05', n, n * interval '1 hour', decode(md5(n::text), 'hex'), ARRAY[n / 3.0]
  FROM generate_series(1, 500) n;
CREATE INDEX ON parts (at);
CREATE TABLE nothing ();
INSERT INTO nothing DEFAULT VALUES;
CREATE UNLOGGED TABLE lost (id int);
INSERT INTO lost VALUES (1);
CREATE MATERIALIZED VIEW summed AS SELECT count(*) FROM parts;
CREATE TABLE churn (n int);
'''
#: Empties a table, makes and removes another one, and takes back what it has written, all the time.
_CHURN = r"""
TRUNCATE churn;
INSERT INTO churn SELECT generate_series(1, 100);
CREATE TABLE passing AS SELECT 1 AS a;
DROP TABLE passing;
BEGIN;
INSERT INTO churn SELECT generate_series(1, 50);
ROLLBACK;
\sleep 300 ms
"""
_SET_UP = r"""
removed()
(version,) = os.listdir("/usr/lib/postgresql")
run("pg_createcluster", version, "lab", "--port", "5432", "--locale", "C.UTF-8", "--", "--data-checksums", user="root")
data = f"/var/lib/postgresql/{version}/lab"
for path in ("/var/lib/pgbackrest", "/var/lib/postgresql/space"):
    owned(path, mode=0o750)
shutil.copy2("/etc/pgbackrest.conf", "/etc/pgbackrest.conf.before")
owned("/etc/pgbackrest.conf", PGBACKREST.replace("DATA", data))
with open(f"/etc/postgresql/{version}/lab/postgresql.conf", "a") as target:
    target.write(POSTGRESQL)
run("systemctl", "start", f"postgresql@{version}-lab", user="root")
run("pgbackrest", "--stanza=lab", "stanza-create")
run("psql", "--quiet", "--set=ON_ERROR_STOP=1", given=TABLES)
quoted = ODD.replace("'", "\\'")
run("psql", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname=dbname='{quoted}'", given="CREATE TABLE t AS SELECT 1 AS a;")
run("pgbench", "--initialize", "--scale=2", "--quiet", "shop")
owned("/var/lib/postgresql/churn.sql", CHURN)
for unit, *more in (("lab-writers", "--client=4", "--rate=200"), ("lab-churn", "--file=/var/lib/postgresql/churn.sql")):
    run("systemd-run", f"--unit={unit}", "--uid=postgres", "--collect", "pgbench", "--time=3600", "--no-vacuum", *more,
        "shop", user="root")
"""
_GIVEN = f"PGBACKREST, POSTGRESQL, ODD, TABLES, CHURN = {(_PGBACKREST, _POSTGRESQL, _ODD, _TABLES, _CHURN)!r}\n"


@dataclass(frozen=True)
class Cluster:
    """The cluster under test, and the commands about it."""

    remediate: Remediate
    inventory: Path

    def backup(self, *more: str, well: bool = True) -> str:
        """Make what is due, or what is asked for."""
        words = [word for one in more for word in ("--set", one)]
        done = self.remediate("backup-create", "--limit", SOURCE.name, "--yes", *words, inventory=self.inventory)
        assert (done.returncode == 0) is well, done.stdout[-4000:] + done.stderr[-2000:]
        return done.stdout

    def drill(self, *more: str, well: bool = True) -> dict[str, Any]:
        """Try a restore; return what its report says."""
        words = [word for one in (f"only={NAME}", *more) for word in ("--set", one)]
        done = self.remediate("restore-test", "--limit", "mentat", "--yes", *words, inventory=self.inventory)
        damaged = ".damaged" if any(one.startswith("mutation=") for one in more) else ""
        report: dict[str, Any] = json.loads(MENTAT.run(f"cat {REPORTS}/{NAME}{damaged}.json"))
        assert (done.returncode == 0) is well, (report["verdict"], report["reason"], done.stdout[-3000:])
        return report

    def verified(self) -> str:
        """Look at the backups on the backup host."""
        done = self.remediate("backup-verify", "--limit", "mentat", "--yes", inventory=self.inventory)
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout


def manifests(host: LabHost, restic: str, kind: str) -> list[dict[str, Any]]:
    """Return the manifests of all snapshots of a kind, the oldest first."""
    found = []
    for one in sorted(json.loads(host.run(f"{restic} snapshots --json --tag {kind}") or "[]"), key=lambda x: x["time"]):
        (path,) = [path for path in one["paths"] if path.endswith("/manifest.json")]
        found.append(json.loads(host.run(f"{restic} dump {one['id']} {path}")))
    return found


def forget_all() -> None:
    """Take every copy of PostgreSQL out of the repositories: tests of other things do not know of them."""
    for host, restic in ((SOURCE, NEAR), (MENTAT, FAR)):
        for kind in ("postgresql-copy", "postgresql-wal"):
            listed = json.loads(host.run(f"{restic} snapshots --json --tag {kind} 2>/dev/null || echo []") or "[]")
            if ids := " ".join(one["id"] for one in listed or []):
                # Other tests kill backups in their middle: the lock of a dead process would stand in the way.
                host.run(f"{restic} unlock --quiet && {restic} forget --quiet {ids}")
    MENTAT.run(f'rm -rf {ACCESS}/lab.passphrase "{REPORTS}/{NAME}.json" "{REPORTS}/{NAME}.damaged.json"')


@pytest.fixture(scope="module")
def cluster(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with data that is written to, and the inventory that knows of it."""
    place = tmp_path_factory.mktemp("postgresql")
    inventory = place / "inventory/lab"
    shutil.copytree(ROOT / "inventory/lab", inventory)
    # Where the hosts are is named from there.
    (place / ".lab").symlink_to(ROOT / ".lab")
    (inventory / "host_vars").mkdir(exist_ok=True)
    (inventory / f"host_vars/{SOURCE.name}.yml").write_text(json.dumps(_SOURCE_VARS))
    sources = {"restore_test_sources": _SOURCES, "backup_verify_sources": _SOURCES}
    (inventory / "host_vars/mentat.yml").write_text(json.dumps(sources))
    forget_all()
    SOURCE.python(_GIVEN + _MAKE + _SET_UP)
    MENTAT.python(f"import os\nos.umask(0o077)\nopen('{ACCESS}/lab.passphrase', 'w').write('{PASSPHRASE}\\n')\n")
    yield Cluster(Remediate(place / "state"), inventory)
    SOURCE.python(_MAKE + "removed()")
    forget_all()


@pytest.fixture(scope="module")
def stored(cluster: Cluster) -> Cluster:
    """The cluster with a copy and shipments after it, all while it is written to."""
    cluster.backup()
    for _ in range(SHIPMENTS):
        time.sleep(1)
        cluster.backup("wal_minutes=0")
    return cluster


def test_both_repositories_have_each_backup_with_what_was_in_every_table(stored: Cluster) -> None:
    for host, restic in ((SOURCE, NEAR), (MENTAT, FAR)):
        (copy,) = manifests(host, restic, "postgresql-copy")
        shipments = manifests(host, restic, "postgresql-wal")
        assert len(shipments) == 1 + SHIPMENTS
        assert copy["postgresql"]["type"] == "full"
        for one in (copy, *shipments):
            contents = {content["database"]: content for content in one["postgresql"]["contents"]}
            tables = {table["table"] for table in contents["shop"]["tables"]}
            assert {"ta'b\"le; DROP {{ x }}", "parts_1", "nothing", "summed", "pgbench_accounts"} <= tables
            # What is unlogged is empty after a restore, and what is a view of others is counted there.
            assert not {"lost", "parts"} & tables
            (odd,) = contents[_ODD]["tables"]
            assert odd["rows"] == 1
            assert one["postgresql"]["note"] == ""


def test_nothing_is_due_when_all_of_it_was_made(stored: Cluster) -> None:
    assert "NOTHING TO DO" in stored.backup()


def test_a_restore_is_exact_while_the_source_is_written_to(stored: Cluster) -> None:
    report = stored.drill()
    assert (report["verdict"], report["passed_over"]) == ("PASS", [])
    assert "restores exactly" in report["reason"]
    # The table that is emptied all the time may have been left out.
    assert report["tables_compared"] >= report["tables_total"] - 2 > 5
    assert {one["name"] for one in report["phases"]} == {"fetch", "chain", "prepare", "replay", "checks"}
    assert report["rpo_seconds"] < 900
    assert MENTAT.run("pgrep -x postgres || true") == ""
    assert MENTAT.run("ls /var/lib/remediate-scratch") == ""


def test_every_shipment_can_be_compared_exactly(stored: Cluster) -> None:
    """The manifest of each, on one restore after the other: the positions are arbitrary moments of busy tables."""
    for _ in range(SHIPMENTS):
        stored.backup("wal_minutes=0")
        report = stored.drill()
        assert report["verdict"] == "PASS", report["reason"]


def test_the_backup_host_finds_the_backups_well(stored: Cluster) -> None:
    stored.backup("wal_minutes=0")
    assert "NOTHING TO DO" in stored.verified()


@pytest.mark.parametrize(
    ("mutation", "verdict"),
    [
        ("pgbackrest_bit", "BACKUP_BAD"),
        ("wal_bit", "CHAIN_GAP"),
        ("wal_missing", "CHAIN_GAP"),
        ("wal_cut", "CHAIN_GAP"),
        ("postgresql_row", "CONTENT_MISMATCH"),
    ],
)
def test_damage_of_a_copy_is_noticed_with_the_right_verdict(stored: Cluster, mutation: str, verdict: str) -> None:
    report = stored.drill(f"mutation={mutation}")
    assert report["verdict"] == "PASS", report["reason"]
    assert report["reason"].startswith(f"the damage was noticed: {verdict}: "), report["reason"]


def test_a_drill_that_is_killed_leaves_no_server_and_the_next_one_takes_its_place(stored: Cluster) -> None:
    phases, run = Phases("restore_test", MENTAT), new_run("postgresql")
    phases.done("snapshot", run, only=NAME, sources=_SOURCES)
    assert phases.killed("fix", run, 6.0, only=NAME, sources=_SOURCES)
    until = time.monotonic() + 20
    while MENTAT.run("pgrep -x postgres || true") and time.monotonic() < until:
        time.sleep(0.5)
    assert MENTAT.run("pgrep -x postgres || true") == ""
    assert stored.drill()["verdict"] == "PASS"


_ARCHIVE = "/var/lib/pgbackrest/archive/lab"
#: A segment of the log since the newest copy that is neither the first nor the last.
_MIDDLE = f"""
import glob, json, os, subprocess
info = json.loads(subprocess.run(["pgbackrest", "--stanza=lab", "--output=json", "info"], user="postgres", cwd="/",
                                 capture_output=True, text=True).stdout)
first = info[0]["backup"][-1]["archive"]["start"]
needed = sorted(path for path in glob.glob("{_ARCHIVE}/*/*/*") if first < os.path.basename(path)[:24])
path = needed[len(needed) // 2 - 1]
"""


def test_a_segment_that_is_missing_is_noticed_before_anything_is_stored_and_a_new_copy_heals(stored: Cluster) -> None:
    stored.backup("wal_minutes=0")
    before = len(manifests(MENTAT, FAR, "postgresql-wal"))
    SOURCE.python(_MIDDLE + "os.unlink(path)")
    said = stored.backup("wal_minutes=0", well=False)
    assert "is missing" in said
    assert len(manifests(MENTAT, FAR, "postgresql-wal")) == before
    # What was stored before is not touched by it.
    assert stored.drill()["verdict"] == "PASS"
    stored.backup("postgresql_hours=0")
    assert stored.drill()["verdict"] == "PASS"


def test_a_segment_that_was_cut_on_the_source_is_a_gap_and_a_new_copy_heals(stored: Cluster) -> None:
    for _ in range(3):
        stored.backup("wal_minutes=0")
    SOURCE.python(_MIDDLE + "os.truncate(path, os.path.getsize(path) // 2)")
    stored.backup("wal_minutes=0")
    report = stored.drill(well=False)
    assert report["verdict"] == "CHAIN_GAP", report["reason"]
    stored.backup("postgresql_hours=0")
    assert stored.drill()["verdict"] == "PASS"


#: Turns a bit over in the biggest file of a copy: of the last full one, or of the newest one.
_FLIP = """
import glob, os
copies = sorted(glob.glob("/var/lib/pgbackrest/backup/lab/2*F*"))
copy = [one for one in copies if one.endswith("F")][-1] if FULL else copies[-1]
path = max(glob.glob(f"{copy}/pg_data/base/*/*"), key=os.path.getsize)
with open(path, "r+b") as target:
    target.seek(os.path.getsize(path) // 2)
    byte = target.read(1)
    target.seek(-1, 1)
    target.write(bytes([byte[0] ^ 1]))
"""


def test_a_copy_that_builds_on_a_damaged_one_is_not_stored_but_a_full_one_is(stored: Cluster) -> None:
    SOURCE.python("FULL = True\n" + _FLIP)
    stored.backup("postgresql_hours=0")
    newest = manifests(MENTAT, FAR, "postgresql-copy")[-1]
    assert newest["postgresql"]["type"] == "full"
    assert stored.drill()["verdict"] == "PASS"


def test_the_newest_copy_that_is_damaged_is_passed_over_for_the_one_before(stored: Cluster) -> None:
    stored.backup("postgresql_hours=0")
    good = manifests(MENTAT, FAR, "postgresql-copy")[-1]
    # What is damaged between its proof and its way into the repository.
    place = "/var/lib/remediate-backup/stage"
    written = f"open('{place}/manifest.json', 'w').write({json.dumps(good)!r})"
    SOURCE.python(f"import os\nos.makedirs('{place}', exist_ok=True)\n{written}\n")
    SOURCE.python("FULL = False\n" + _FLIP)
    tags = "--tag remediate --tag postgresql-copy --tag id=damaged"
    far = f"restic --repository-file {ACCESS}/far.repository --password-file {ACCESS}/repository.password"
    SOURCE.run(f"{far} backup --quiet --host {SOURCE.name} {tags} /var/lib/pgbackrest {place}/manifest.json")
    SOURCE.python("FULL = False\n" + _FLIP)

    report = stored.drill(well=False)

    assert report["verdict"] == "BACKUP_BAD", report["reason"]
    assert "is invalid" in report["passed_over"][0]["reason"]
    assert "can, and was" in report["reason"]
    stored.backup("postgresql_hours=0")
    assert stored.drill()["verdict"] == "PASS"


def test_without_a_logical_log_nothing_is_counted_and_nothing_is_claimed(stored: Cluster) -> None:
    SOURCE.python(
        _MAKE + "(version,) = os.listdir('/usr/lib/postgresql')\n"
        "run('systemctl', 'stop', 'lab-writers', 'lab-churn', user='root')\n"
        "run('psql', '--command', 'ALTER SYSTEM SET wal_level = replica')\n"
        "run('systemctl', 'restart', f'postgresql@{version}-lab', user='root')\n"
    )
    plan = stored.remediate(
        "plan", "backup-create", "--limit", SOURCE.name, "--set", "wal_minutes=0", inventory=stored.inventory
    ).stdout
    assert "wal_level is replica" in plan
    stored.backup("postgresql_hours=0")
    newest = manifests(MENTAT, FAR, "postgresql-copy")[-1]
    assert newest["postgresql"]["contents"] == []
    report = stored.drill()
    assert (report["verdict"], report["tables_compared"]) == ("PASS", 0)
    assert "no table was counted" in report["reason"]


def _by_hand() -> str:
    """Return the commands with which the how-to brings PostgreSQL back."""
    text = (ROOT / "docs/how-to/backups.md").read_text(encoding="utf-8")
    return text.split("**PostgreSQL back, by hand**")[1].split("```")[1].strip()


def test_the_commands_of_the_how_to_bring_back_what_was_there_at_the_newest_backup(stored: Cluster) -> None:
    SOURCE.run("systemctl stop lab-writers lab-churn || true")
    ask = "sudo -u postgres psql --no-align --tuples-only shop"
    SOURCE.run(ask, script="CREATE TABLE back (said text); INSERT INTO back VALUES ($$before$$);")
    stored.backup("wal_minutes=0")
    newest = json.loads(SOURCE.run(f"{NEAR} snapshots --json --tag postgresql-wal"))[-1]["id"]
    position = manifests(SOURCE, NEAR, "postgresql-wal")[-1]["postgresql"]["lsn"]
    SOURCE.run(ask, script="INSERT INTO back VALUES ($$after$$); DROP TABLE parts;")
    version = SOURCE.run("ls /usr/lib/postgresql")
    commands = _by_hand()
    told = {
        "restic": NEAR,
        "SNAPSHOT": newest,
        "=shop": "=lab",
        "17-main": f"{version}-lab",
        "17/main": f"{version}/lab",
        "0/7201D80": position,
    }
    for one, other in told.items():
        assert one in commands
        commands = commands.replace(one, other)
    try:
        SOURCE.run("bash -eux", script=commands)
        until = time.monotonic() + 60
        while SOURCE.run(ask, script="SELECT pg_is_in_recovery();") != "f":
            assert time.monotonic() < until, "it does not come out of its recovery"
            time.sleep(1)
        assert SOURCE.run(ask, script="SELECT said FROM back; SELECT count(*) FROM parts;").split() == ["before", "500"]
    finally:
        SOURCE.run(f"rm -rf /restored /var/lib/postgresql/{version}/lab.before")
    # What is written from now on is backed up again.
    stored.backup("postgresql_hours=0")
    assert stored.drill()["verdict"] == "PASS"
