#!/usr/bin/python
"""Breaks the database of a lab host for real, and makes it whole again."""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible.module_utils import database_log
from ansible.module_utils.application_account import account_of, known
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.database_data import fill, keep_copy
from ansible.module_utils.mariadb_server import MariaDB, ServerError, in_time
from ansible.module_utils.remediate_stack import StackError

DOCUMENTATION = r"""
---
module: database_lab
short_description: Break the database of a lab host, or make it whole again
description:
  - What is damaged is copied to C(/var/lib/lab-database) first, and put back from there.
options:
  fault:
    description: What to break; C(none) makes everything whole again.
    type: str
    choices: [none, killed, index_page, row_page, dirty_page, redo_log, password, idle, busy, disk]
    required: true
  settings:
    description: The settings of the role C(database_failure).
    type: dict
    required: true
  stack:
    description: The stack of this host.
    type: dict
    required: true
  dump:
    description: Whether a real backup of the whole server is put beside the others, before anything is broken.
    type: bool
    default: false
author:
  - The remediate authors
"""

KEPT = Path("/var/lib/lab-database")
PAGE = 16384
BACKUPS = Path("/opt/backups/chom")
NO_RESTART = Path("/run/systemd/system/mariadb.service.d/lab-no-restart.conf")
FILLER = Path("/opt/database-filler")
HOG = """<?php
[, $mode, $count, $file] = $argv;
$env = parse_ini_file($file, false, INI_SCANNER_RAW);
mysqli_report(MYSQLI_REPORT_OFF);
$held = [];
do {
    while (count($held) < (int) $count) {
        $one = mysqli_init();
        if (! @$one->real_connect($env['DB_HOST'], $env['DB_USERNAME'], $env['DB_PASSWORD'])) {
            break;
        }
        if ($mode === 'busy') {
            $one->query('SELECT SLEEP(900)', MYSQLI_ASYNC);
        }
        $held[] = $one;
    }
    sleep(1);
    if ($mode === 'busy' && $held) {
        $ready = $failed = $refused = $held;
        mysqli_poll($ready, $failed, $refused, 0);
        $held = array_filter($held, static fn ($one) => ! in_array($one, array_merge($ready, $refused), true));
    }
    $count = $mode === 'busy' ? $count : 0;
} while (true);
"""


class Lab:
    """The database of a lab host."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.settings, self.stack = parameters["settings"], parameters["stack"]
        self.server = MariaDB(self.stack, self.settings["service"])
        self.data = Path(self.settings["data_dir"])
        self.compose = self.stack["layout"] == "compose"

    # What breaks it

    def killed(self) -> None:
        """Kill the server, and keep it from being started again."""
        if self.compose:
            run("docker", "update", "--restart=no", "chom-mysql")
        else:
            NO_RESTART.parent.mkdir(parents=True, exist_ok=True)
            NO_RESTART.write_text("[Service]\nRestart=no\n")
            run("systemctl", "daemon-reload")
        self.kill()

    def index_page(self) -> None:
        """Overwrite the root page of an index: every row can still be read."""
        page = self.ledger()["kb"]
        self.stopped()
        self.overwrite("chom/ledger.ibd", page)
        self.start()

    def row_page(self) -> None:
        """Overwrite a page of rows."""
        self.ledger()
        self.stopped()
        self.overwrite("chom/ledger.ibd", self.leaf("chom/ledger.ibd"))
        self.start()

    def dirty_page(self) -> None:
        """Overwrite the root page of an index that the log has changes for: the server cannot start as usual."""
        page = self.ledger()["kb"]
        self.stopped()
        self.start()
        self.server.rows("USE chom; INSERT INTO chom.ledger (a, b) SELECT MD5(seq), MD5(seq) FROM seq_5001_to_6000")
        self.killed()
        self.overwrite("chom/ledger.ibd", page)
        self.fail_to_start()

    def redo_log(self) -> None:
        """Overwrite the log of changes: no server starts any more."""
        self.stopped()
        self.overwrite("ib_logfile0", 0, 64)
        self.fail_to_start()

    def password(self) -> None:
        """Give the application's accounts a password that the application does not know."""
        user = account_of(self.settings["env_file"])["user"]
        for one in known(self.server, user):
            self.server.rows(f"ALTER USER '{user}'@'{one.host}' IDENTIFIED BY '{secrets.token_hex(12)}'")

    def idle(self) -> None:
        """Hold every connection, and do nothing with it."""
        self.hog("idle", 60)
        time.sleep(self.settings["idle_seconds"] + 1)

    def busy(self) -> None:
        """Work on more connections than the server allows."""
        self.hog("busy", 45)

    def disk(self) -> None:
        """Leave no room on the disk of the data."""
        room = os.statvfs("/opt")
        with FILLER.open("wb") as target:
            os.posix_fallocate(target.fileno(), 0, room.f_bavail * room.f_frsize - (4 << 20))

    # What makes it whole

    def none(self) -> None:
        """Put back everything that faults and runs have left."""
        FILLER.unlink(missing_ok=True)
        self.end_hogs()
        self.restart_again()
        for place in self.settings["state_dirs"]:
            shutil.rmtree(Path(place) / "database_failure", ignore_errors=True)
        for backup in BACKUPS.glob("lab-full-*"):
            backup.unlink()
        self.restore()
        self.start()
        self.server.rows("DROP TABLE IF EXISTS chom.ledger")
        # An application that is refused does not even start.
        self.right_password()
        self.server.stack.start(self.server.stack.services)

    def restore(self) -> None:
        """Put the data back that were there before a fault, and the settings."""
        file, damaged = Path(self.settings["settings_file"]), (KEPT / "whole").exists()
        if damaged or file.exists():
            self.stop()
            file.unlink(missing_ok=True)
        if damaged:
            fill(str(self.data), str(KEPT / "data"))
            shutil.rmtree(KEPT)

    def right_password(self) -> None:
        """Give the server the password that the application has."""
        account = account_of(self.settings["env_file"])
        try:
            self.server.login(account)
        except ServerError:
            for one in known(self.server, account["user"]):
                self.server.rows(f"ALTER USER '{account['user']}'@'{one.host}' IDENTIFIED BY '{account['password']}'")

    # How

    def ledger(self) -> dict[str, int]:
        """Make a table with rows and two indexes; return their root pages."""
        self.server.rows(
            "USE chom; CREATE OR REPLACE TABLE chom.ledger (id INT AUTO_INCREMENT PRIMARY KEY, a VARCHAR(200), "
            "b VARCHAR(99), KEY kb (b)); INSERT INTO chom.ledger (a, b) SELECT REPEAT(MD5(seq), 5), MD5(seq) "
            "FROM seq_1_to_5000"
        )
        rows = self.server.rows(
            "SELECT I.NAME, I.PAGE_NO FROM information_schema.INNODB_SYS_INDEXES I JOIN "
            "information_schema.INNODB_SYS_TABLES T USING (TABLE_ID) WHERE T.NAME = 'chom/ledger'"
        )
        return {name: int(page) for name, page in rows}

    def dump(self) -> None:
        """Make a real backup of the whole server, as a site's own program does."""
        moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        self.ledger()
        with tempfile.TemporaryFile(dir=KEPT.parent) as plain:
            argv = ["mariadb-dump", "--all-databases", "--single-transaction", "--routines", "--events"]
            code, _, said = self.server.stack.exec(self.server.service, argv, 60, stdout=plain.fileno())
            if code:
                raise StackError(said)
            plain.seek(0)
            with gzip.open(BACKUPS / f"lab-full-{moment}.sql.gz", "wb", compresslevel=1) as packed:
                shutil.copyfileobj(plain, packed)

    def stop(self) -> None:
        """Stop the server, however it is."""
        self.server.stack.stop([self.server.service])

    def start(self) -> None:
        """Start the server, and wait."""
        self.server.stack.start([self.server.service])
        self.server.wait(40)

    def stopped(self) -> None:
        """Stop the server, and keep its data."""
        self.stop()
        if not (KEPT / "whole").exists():
            keep_copy(str(self.data), str(KEPT))

    def kill(self) -> None:
        """Kill the server as the kernel does when memory is short."""
        ask = ["docker", "inspect", "--format={{.State.Pid}}", "chom-mysql"]
        process = int(
            run(*(ask if self.compose else ["systemctl", "show", "--value", "--property=MainPID", "mariadb"]))
        )
        if process > 1:
            os.kill(process, signal.SIGKILL)
        in_time(lambda: not self.server.stack.status()[self.server.service].running, 10)

    def fail_to_start(self) -> None:
        """Start what cannot start, and wait until its log says why."""
        self.restart_again()
        run(*(["docker", "start", "chom-mysql"] if self.compose else ["systemctl", "--no-block", "start", "mariadb"]))
        if not in_time(self.is_damaged, 60):
            raise StackError("the damaged server started, or did not say why it does not")

    def is_damaged(self) -> bool:
        """Say whether the log tells of damage since the last start."""
        log = database_log.read(self.server, self.settings["error_log"])
        return bool(database_log.damage(database_log.since_start(log)))

    def restart_again(self) -> None:
        """Let the server be started again by itself, as usual."""
        if self.compose:
            run("docker", "update", "--restart=unless-stopped", "chom-mysql")
        elif NO_RESTART.exists():
            NO_RESTART.unlink()
            run("systemctl", "daemon-reload")

    def overwrite(self, file: str, page: int, pages: int = 1) -> None:
        """Write noise over pages of a file."""
        with (self.data / file).open("r+b") as target:
            target.seek(page * PAGE)
            target.write(os.urandom(pages * PAGE))

    def leaf(self, file: str) -> int:
        """Return a page in the middle of the rows."""
        leaves = []
        with (self.data / file).open("rb") as source:
            pages = iter(lambda: source.read(PAGE), b"")
            for number, page in enumerate(pages):
                # An index page of the lowest level; the rows themselves are longer than what an index has of them.
                if page[24:26] == b"\x45\xbf" and page[64:66] == b"\0\0":
                    leaves.append((page[66:74], number))
        rows = [number for index, number in leaves if index == min(leaves)[0]]
        return rows[len(rows) // 2]

    def hog(self, mode: str, count: int) -> None:
        """Start a client in the background."""
        env = "/srv/chom/.env" if self.compose else self.settings["env_file"]
        place, inside = Path(self.settings["env_file"]).parent / "storage/app", "/srv/chom/storage/app"
        (place / "database-hog.php").write_text(HOG)
        argv = ["php", f"{inside if self.compose else place}/database-hog.php", mode, str(count), env]
        argv = ["docker", "exec", "--detach", "chom-app", *argv] if self.compose else ["setsid", "--fork", *argv]
        # Not with a pipe: it lives on, and who waits for the end of its output would wait with it.
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(2)

    def end_hogs(self) -> None:
        """End clients that were started here."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                words = (process / "cmdline").read_bytes().split(b"\0")
                if words[0] == b"php" and words[1].endswith(b"/database-hog.php"):
                    os.kill(int(process.name), signal.SIGKILL)


def run(*argv: str) -> str:
    """Run a program of the lab's host."""
    done = subprocess.run(
        argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    return done.stdout


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "fault": {"type": "str", "required": True},
            "settings": {"type": "dict", "required": True},
            "stack": {"type": "dict", "required": True},
            "dump": {"type": "bool", "default": False},
        }
    )
    lab = Lab(module.params)
    if module.params["dump"]:
        lab.dump()
    getattr(lab, module.params["fault"])()
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
