#!/usr/bin/python
"""Fills databases for backups, and proves on the backup host what a restore test notices and leaves alone."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from ansible.module_utils import restore_drill, scratch_place
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.canary import Sniffer, knock
from ansible.module_utils.drill_mutation import KINDS
from ansible.module_utils.mariadb_server import MariaDB
from ansible.module_utils.restore_parameters import SETTINGS
from ansible.module_utils.stack_parameters import STACK

DOCUMENTATION = r"""
---
module: drill_lab
short_description: Prepare what restore tests of the lab are tried on, or prove something about them
options:
  do:
    description:
      - C(fill) or C(forget) on a source; on the backup host proofs, one after the other, or C(clean).
    type: list
    elements: str
    required: true
  stack:
    description: As in the module C(backup_create); for a source.
    type: dict
    default: {}
  settings:
    description: Settings of the module C(restore_test); for the backup host.
    type: dict
  source:
    description: The name of the source whose backups are tried.
    type: str
    default: ""
  packs:
    description: The directory of its repository.
    type: str
    default: ""
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: See that damage is noticed
  drill_lab:
    do: [healthy, page_bit]
    settings: "{{ lab_settings }}"
    source: landsraad
    packs: /var/lib/remediate-repositories/landsraad
"""

RETURN = r"""
told:
  description: What each proof told, and how long it took.
  returned: always
  type: list
  elements: dict
"""

#: Every kind of column, a table without rows, a schema without tables, and an event that writes while a backup is made.
_FILL = """
CREATE DATABASE IF NOT EXISTS lab_empty;
CREATE DATABASE IF NOT EXISTS lab_drill;
USE lab_drill;
CREATE TABLE IF NOT EXISTS nothing (id INT PRIMARY KEY, note TEXT);
CREATE TABLE IF NOT EXISTS ticks (id BIGINT AUTO_INCREMENT PRIMARY KEY, at DATETIME(6) NOT NULL);
CREATE TABLE IF NOT EXISTS kinds (id INT PRIMARY KEY, word VARCHAR(40) CHARACTER SET latin1, data BLOB,
  number DECIMAL(20,6), settings JSON, day DATE, few BIT(5), missing TEXT);
REPLACE INTO kinds VALUES (1, 'caf\xe9', UNHEX('00FF0A0D'), -12.5, '{"a": [1, null]}', '2026-02-28', b'101', NULL),
  (2, '', '', 0, NULL, NULL, b'0', '');
CREATE EVENT IF NOT EXISTS tick ON SCHEDULE EVERY 1 SECOND DO INSERT INTO ticks (at) SELECT NOW(6) FROM seq_1_to_100;
SET GLOBAL event_scheduler = ON;
"""
_FORGET = "SET GLOBAL event_scheduler = OFF; DROP DATABASE IF EXISTS lab_drill; DROP DATABASE IF EXISTS lab_empty;"
_COPY = Path("/var/lib/remediate-lab-drill")
_KILLS = 4
_SMALL = 1 << 16
_SECONDS = 300.0


class Unproven(Exception):
    """What was to be proven does not hold."""


def demand(holds: bool, otherwise: object) -> None:
    """Raise Unproven unless something holds."""
    if not holds:
        raise Unproven(str(otherwise))


class Lab:
    """The backup host, and one source of it."""

    def __init__(self, settings: dict[str, Any], source: str, packs: str) -> None:
        self.settings = settings
        self.source = next((dict(one) for one in settings.get("sources", ()) if one["name"] == source), {})
        self.packs = Path(packs)
        self.scratch = Path(settings.get("scratch_dir", "/nowhere"))
        self.wanted: dict[str, Callable[[], str]] = {
            **{kind: partial(self.mutation, kind) for kind in KINDS},
            **{
                name: getattr(self, name)
                for name in (
                    *("healthy", "rto", "rpo", "wrong_password", "no_repository", "unknown_backup", "canary", "killed"),
                    *(
                        "pack_flipped",
                        "pack_missing",
                        "snapshot_flipped",
                        "newest_bad",
                        "this_machine",
                        "link",
                        "strange",
                    ),
                    *("servers_place", "clean"),
                )
            },
        }

    # What a trial must tell.

    def healthy(self) -> str:
        """A healthy backup passes, empty tables and writes while it was made included."""
        report = self.told("PASS")
        demand(report["tables_compared"] == report["tables_total"] >= 3, f"not every table was compared: {report}")
        demand(report["rpo_seconds"] > 0 and report["position"], report)
        names = {one["name"] for one in report["phases"]}
        demand({"fetch", "prepare", "chain", "replay", "checks"} <= names, report)
        total = sum(one["seconds"] for one in report["phases"])
        demand(0.98 * report["wall_seconds"] - 1 < total <= report["wall_seconds"], f"time that no phase has: {report}")
        return f"{report['wall_seconds']} s, phases {total:.1f} s, {report['tables_compared']} tables"

    def mutation(self, kind: str) -> str:
        """Damage done on purpose is noticed."""
        return str(self.told("PASS", mutation=kind)["reason"])

    def rto(self) -> str:
        """A trial that takes too long is a miss."""
        return str(self.told("RTO_MISS", rto_minutes=0)["reason"])

    def rpo(self) -> str:
        """A backup that is too old is a miss."""
        return str(self.told("RPO_MISS", rpo_minutes=0)["reason"])

    def wrong_password(self) -> str:
        """A password that does not open the repository says nothing of the backup."""
        return str(
            self.told("DRILL_BROKEN", "does not open", password_file=self.written("password", "wrong"))["reason"]
        )

    def no_repository(self) -> str:
        """Nor does an address at which there is none."""
        return str(
            self.told("DRILL_BROKEN", "there is no repository", address_file=self.written("none", "/none"))["reason"]
        )

    def unknown_backup(self) -> str:
        """Nor does an id that nothing has."""
        return str(self.told("DRILL_BROKEN", "no full copy", backup="nothing")["reason"])

    def pack_flipped(self) -> str:
        """A bit that has flipped in the repository is noticed."""
        with self.copied() as repository:
            for pack in self.newest(repository):
                flip(pack)
            return str(
                self.told("BACKUP_BAD", address_file=self.written("address", str(repository)), fall_back=0)["reason"]
            )

    def pack_missing(self) -> str:
        """A file that is missing in the repository is noticed."""
        with self.copied() as repository:
            for pack in self.newest(repository):
                pack.unlink()
            return str(
                self.told("BACKUP_BAD", address_file=self.written("address", str(repository)), fall_back=0)["reason"]
            )

    def snapshot_flipped(self) -> str:
        """A snapshot that cannot be read is not just left out."""
        with self.copied() as repository:
            flip(max((repository / "snapshots").iterdir(), key=lambda path: path.stat().st_mtime))
            return str(self.told("BACKUP_BAD", address_file=self.written("address", str(repository)))["reason"])

    def newest_bad(self) -> str:
        """When the newest copy is bad, the one before is restored, and both are named."""
        first, newest = self.databases()[-2:]
        with self.copied() as repository:
            for pack in self.newest(repository):
                flip(pack)
            report = self.told("BACKUP_BAD", address_file=self.written("address", str(repository)))
        ids = [next(tag[3:] for tag in one["tags"] if tag.startswith("id=")) for one in (first, newest)]
        demand(all(one in report["reason"] for one in ids), f"not both are named ({ids}): {report}")
        demand(report["backup"]["id"] == ids[0] and report["passed_over"][0]["id"] == ids[1], report)
        return str(report["reason"])

    # What a trial must not do.

    def this_machine(self) -> str:
        """The machine that the backup is of is refused."""
        machine = self.manifest()["machine"]
        with mock.patch.object(scratch_place, "this_machine", return_value=machine):
            return str(self.told("DRILL_BROKEN", "this machine is the one")["reason"])

    def link(self) -> str:
        """A symbolic link is refused, and what it leads to is left alone."""
        precious = self.precious()
        link = _COPY / "link"
        link.symlink_to(precious)
        report = self.told("DRILL_BROKEN", "symbolic link", scratch_dir=str(link))
        demand((precious / self.source["name"] / "data").exists(), "what the link leads to was removed")
        return str(report["reason"])

    def strange(self) -> str:
        """A directory with something else in it is refused and left alone."""
        precious = self.precious()
        report = self.told("DRILL_BROKEN", "is not empty", scratch_dir=str(precious))
        demand((precious / self.source["name"] / "data").exists(), "what was there was removed")
        return str(report["reason"])

    def servers_place(self) -> str:
        """The place of a running server is refused, and what is above and below it."""
        child = self.forked(self.settings)
        self.server()
        (data,) = self.scratch.glob("*/*/data")
        told = []
        for place in (data, data.parent, data / "mysql", self.scratch):
            try:
                scratch_place.refuse_servers_place(str(place))
            except scratch_place.NotAScratchPlaceError as error:
                told.append(str(error))
        self.joined(child)
        demand(len(told) == 4, f"only {told}")
        return told[0]

    def canary(self) -> str:
        """No packet comes out of the scratch server; inside it events do not run, and it is nobody's replica."""
        with Sniffer() as sniffer:
            knock(None, "127.0.0.1")
            demand(sniffer.wait(), "the canary does not hear what it must hear")
            sniffer.heard.clear()
            child = self.forked(self.settings)
            process = self.server()
            addresses = [*subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()]
            for address in (*addresses, socket.gethostbyname(self.source["name"]), "127.0.0.1"):
                knock(process, address)
            said = self.asked(
                "SELECT @@event_scheduler, @@skip_networking, @@log_bin, @@server_id, @@slave_parallel_threads"
            )
            links = Path(f"/proc/{process}/net/dev").read_text(encoding="ascii").splitlines()[2:]
            owner = Path(f"/proc/{process}").stat().st_uid
            report = self.joined(child)
        demand(report["verdict"] == "PASS", report)
        demand(said[0] == "OFF\t1\t0\t4294967295\t0", said)
        demand([line.split(":")[0].strip() for line in links] == ["lo"] and " 0 " in links[0], links)
        demand(owner != 0, "the server runs as root")
        demand(not sniffer.heard, f"packets came out: {sniffer.heard}")
        return f"{said}; no packet"

    def killed(self) -> str:
        """Killed at any moment nothing runs on, and the next trial passes and leaves nothing."""
        moments = []
        for _ in range(_KILLS):
            moment = random.uniform(0.3, 9)  # noqa: S311 - any moment will do
            child = self.forked(self.settings)
            time.sleep(moment)
            os.kill(child[0], signal.SIGKILL)
            os.waitpid(child[0], 0)
            os.close(child[1])
            moments.append(round(moment, 1))
            ends = time.monotonic() + 5
            while left := running():
                demand(time.monotonic() < ends, f"killed after {moment:.1f} s, these go on: {left}")
                time.sleep(0.1)
            self.told("PASS")
        return f"killed after {moments} s"

    def clean(self) -> str:
        """Remove what proofs have left."""
        shutil.rmtree(_COPY, ignore_errors=True)
        return "removed"

    # What all of these are made of.

    def told(self, verdict: str, words: str = "", **more: Any) -> dict[str, Any]:
        """Try a restore; see the verdict, and that nothing is left."""
        files: dict[str, str] = {name: more.pop(name) for name in ("address_file", "password_file") if name in more}
        report = self.joined(self.forked({**self.settings, **more}, files))
        demand(report["verdict"] == verdict and words in report["reason"], f"{verdict} was due: {report}")
        left = list(self.scratch.glob("*")) if self.scratch.is_dir() else []
        demand(not left and not running(), f"there is left {left}, {running()}")
        return report

    def forked(self, settings: dict[str, Any], files: dict[str, str] | None = None) -> tuple[int, int]:
        """Begin a trial in a process of its own."""
        reading, writing = os.pipe()
        child = os.fork()
        if child:
            os.close(writing)
            return child, reading
        try:
            report = restore_drill.drill({**self.source, **(files or {})}, settings)
            os.write(writing, json.dumps(report).encode())
        except BaseException as error:  # noqa: BLE001 - told in the other process
            os.write(writing, json.dumps({"verdict": "it raised", "reason": repr(error)}).encode())
        finally:
            os._exit(0)

    def joined(self, child: tuple[int, int]) -> dict[str, Any]:
        """Wait for the end of a trial and return its report."""
        with os.fdopen(child[1], "rb") as source:
            said = source.read()
        os.waitpid(child[0], 0)
        demand(bool(said), "the trial ended without a report")
        report: dict[str, Any] = json.loads(said)
        return report

    def server(self) -> int:
        """Wait until the scratch server answers; return its process."""
        ends = time.monotonic() + _SECONDS
        while time.monotonic() < ends:
            with contextlib.suppress(Unproven, ValueError):
                self.asked("SELECT 1")
                (process,) = [int(one) for one in pids("mariadbd")]
                return process
            time.sleep(0.05)
        raise Unproven("no scratch server came up")

    def asked(self, statement: str) -> list[str]:
        """Ask the scratch server."""
        sockets = list(self.scratch.glob("*/*/run/server.sock"))
        demand(len(sockets) == 1, sockets)
        argv = [
            "mariadb",
            "--no-defaults",
            f"--socket={sockets[0]}",
            "--batch",
            "--skip-column-names",
            "--execute",
            statement,
        ]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        demand(done.returncode == 0, done.stderr)
        return done.stdout.splitlines()

    @contextlib.contextmanager
    def copied(self) -> Iterator[Path]:
        """Give a copy of the repository to damage."""
        target = _COPY / "repository"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.packs, target)
        try:
            yield target
        finally:
            shutil.rmtree(target)

    def newest(self, repository: Path) -> list[Path]:
        """Return the files in which a repository has what was new in the newest full copy, but for small ones."""
        copies = self.databases()
        since = Path(self.packs, "snapshots", copies[-2]["id"]).stat().st_mtime + 1 if len(copies) > 1 else 0.0
        found = [path for path in (repository / "data").rglob("*") if path.is_file() and path.stat().st_mtime > since]
        return [path for path in found if path.stat().st_size > _SMALL]

    def databases(self) -> list[dict[str, Any]]:
        """Return the snapshots of full copies, the oldest first."""
        found: list[dict[str, Any]] = json.loads(self.restic("snapshots", "--json", "--tag=database-full"))
        return sorted(found, key=lambda one: str(one["time"]))

    def manifest(self) -> dict[str, Any]:
        """Return the manifest of the newest full copy."""
        newest = self.databases()[-1]
        path = next(one for one in newest["paths"] if one.endswith("manifest.json"))
        found: dict[str, Any] = json.loads(self.restic("dump", newest["id"], path))
        return found

    def restic(self, *arguments: str) -> str:
        """Ask restic."""
        argv = [
            "restic",
            "--no-cache",
            f"--repo={self.packs}",
            f"--password-file={self.source['password_file']}",
            *arguments,
        ]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    def written(self, name: str, content: str) -> str:
        """Write a file and return its path."""
        path = _COPY / name
        path.write_text(content, encoding="ascii")
        return str(path)

    def precious(self) -> Path:
        """Return a directory with something in the place of a source that no trial has left there."""
        place = _COPY / "precious"
        shutil.rmtree(place, ignore_errors=True)
        (place / self.source["name"] / "data").mkdir(parents=True)
        return place


def pids(name: str) -> list[str]:
    """Return the processes of a program."""
    return subprocess.run(["pgrep", "--exact", name], capture_output=True, text=True, check=False).stdout.split()


def running() -> list[str]:
    """Return what of a trial still runs."""
    programs = ("mariadbd", "mbstream", "mariadb-backup", "restic", "innochecksum", "mariadb-binlog", "redis-check-rdb")
    return [name for name in programs if pids(name)]


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    path.chmod(0o600)
    with path.open("r+b") as target:
        target.seek(path.stat().st_size // 2)
        (byte,) = target.read(1)
        target.seek(-1, os.SEEK_CUR)
        target.write(bytes([byte ^ 1]))


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "do": {"type": "list", "elements": "str", "required": True},
            "stack": STACK,
            # With the defaults of each source.
            "settings": {**SETTINGS, "required": False},
            "source": {"type": "str", "default": ""},
            "packs": {"type": "str", "default": ""},
        },
    )
    wanted = module.params
    if wanted["do"] in (["fill"], ["forget"]):
        MariaDB(wanted["stack"], "mysql").rows(_FILL if wanted["do"] == ["fill"] else _FORGET)
        module.exit_json(changed=True, told=[])
    _COPY.mkdir(mode=0o700, exist_ok=True)
    lab = Lab(wanted["settings"] or {}, wanted["source"], wanted["packs"])
    told: list[dict[str, Any]] = []
    for name in wanted["do"]:
        began = time.monotonic()
        try:
            said = lab.wanted[name]()
        except Unproven as error:
            module.fail_json(msg=f"{name}: {error}", told=told)
        finally:
            shutil.rmtree(_COPY if name == "clean" else _COPY / "link", ignore_errors=True)
            (_COPY / "link").unlink(missing_ok=True)
        told.append({"proof": name, "seconds": round(time.monotonic() - began, 1), "said": said})
    module.exit_json(changed=True, told=told)


if __name__ == "__main__":
    main()
