"""Files of a lab host go back to a backup, content by content; a rollback brings back what was there, byte for byte."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.lab.hosts import SOAK, LabHost
from tests.integration.lab.phases import Phases, new_run

pytestmark = pytest.mark.lab

KILLS = 12 if SOAK else 2

_SEE = r"""
import hashlib, json, os
found = {}
for root in ROOTS:
    for parent, directories, files in os.walk(root):
        for name in [*directories, *files]:
            path = os.path.join(parent, name)
            if any(path.startswith(one) for one in SKIP) or ".remediate-" in path:
                continue
            s = os.lstat(path)
            link = os.path.islink(path)
            told = os.readlink(path) if link else ""
            if not link and os.path.isfile(path):
                told = hashlib.sha256(open(path, "rb").read()).hexdigest()
            found[path] = [told, s.st_uid, s.st_gid, s.st_mode, s.st_mtime_ns]
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Site:
    """What is restored on a lab host: the roots, what stays, a file to damage, and one that lies in what stays."""

    host: LabHost
    roots: tuple[str, ...]
    keep: str
    code: str
    settings: str

    def seen(self, *, kept: bool = False) -> dict[str, Any]:
        """Everything about all files, without what stays unless that is asked for."""
        skip = [] if kept else [self.keep]
        found: dict[str, Any] = json.loads(self.host.python(f"ROOTS, SKIP = {self.roots!r}, {skip!r}\n{_SEE}"))
        return found


_SITES = {
    "landsraad": (("/opt/chom",), "/opt/chom/storage", "/opt/chom/docker", "/opt/chom/.env"),
    "landsraad-systemd": (
        ("/var/www/chom", "/etc/nginx"),
        "/var/www/chom/shared/storage",
        "/var/www/chom/releases",
        "/var/www/chom/shared/.env",
    ),
}


#: In a normal run one layout; the scenario goes through both.
_HOSTS = [*_SITES] if SOAK else ["landsraad-systemd"]


@pytest.fixture(params=_HOSTS)
def site(request: pytest.FixtureRequest, lab: None) -> Iterator[Site]:
    """A host with a backup of its files as they are."""
    host = LabHost(request.param)
    found = Site(host, *_SITES[request.param])
    backup = Phases("backup_create", host)
    run = new_run("files")
    inputs: dict[str, object] = {"files_hours": 0, "database_service": "", "redis_service": ""}
    backup.done("snapshot", run, **inputs)
    backup.done("fix", run, **inputs)
    yield found
    host.run(f"rm -rf {' '.join(f'{Path(root).parent}/.remediate-*' for root in found.roots)}")


def harm(site: Site) -> None:
    """Remove code, damage one file under its size and time, change another, and add a third."""
    site.host.python(f"""
import os, shutil
first = sorted(os.listdir({site.code!r}))[0]
path = os.path.join({site.code!r}, first)
shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
s = os.stat({site.settings!r})
data = bytearray(open({site.settings!r}, "rb").read())
data[-2] ^= 1
open({site.settings!r}, "r+b").write(data)
os.utime({site.settings!r}, ns=(s.st_atime_ns, s.st_mtime_ns))
open(os.path.join({site.code!r}, "intruder.php"), "w").write("<?php evil();")
open(os.path.join({site.keep!r}, "logs/laravel.log"), "a").write("a line of today\\n")
""")


def test_lost_and_damaged_files_come_back_and_a_rollback_is_byte_for_byte(site: Site) -> None:
    restore, run = Phases("application_restore", site.host), new_run("files")
    good = site.seen()
    harm(site)
    ill = site.seen(kept=True)
    assert "files_missing" in restore.done("diagnose", "")

    restore.done("snapshot", run)
    restore.done("fix", run)
    assert site.seen() == good
    assert "a line of today" in site.host.run(f"tail -n 3 {site.keep}/logs/laravel.log")
    restore.done("verify", run)
    assert site.host.health() == 200

    restore.done("rollback", run)
    back = site.seen(kept=True)
    moving = {path for path in back if path.startswith(site.keep)}
    assert {path: one for path, one in back.items() if path not in moving} == {
        path: one for path, one in ill.items() if path not in moving
    }

    again = new_run("files")
    restore.done("snapshot", again)
    restore.done("fix", again)
    assert site.seen() == good
    assert '"applies": false' in restore.done("diagnose", "")


def test_a_kill_at_any_moment_leaves_old_or_new_files_and_the_next_attempt_ends_it(site: Site) -> None:
    restore, run = Phases("application_restore", site.host), new_run("kill")
    good = site.seen()
    harm(site)
    ill = site.seen()
    restore.done("snapshot", run)
    hits = 0
    for _ in range(KILLS):
        hits += restore.killed("fix", run, random.uniform(0, 4))  # noqa: S311  # any moment
        now = site.seen()
        tree = site.roots[0]
        assert _below(now, tree) in (_below(ill, tree), _below(good, tree))
    restore.done("fix", run)
    assert hits
    assert site.seen() == good
    assert site.host.health() == 200


def _below(seen: dict[str, Any], root: str) -> dict[str, Any]:
    return {path: one for path, one in seen.items() if path.startswith(root)}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("2020-01-01T00:00:00Z", "is later than"),
        ("2026-11-28T03:10:00", "neither a time with its zone"),
        ("20200101T000000Z-files", "neither a time with its zone"),
    ],
)
def test_what_is_not_there_is_an_error(site: Site, wanted: str, said: str) -> None:
    refused = Phases("application_restore", site.host).phase("diagnose", "", to=wanted)
    assert refused.returncode != 0
    assert said in refused.stdout, refused.stdout[-2000:]
