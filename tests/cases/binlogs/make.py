"""Makes the binary logs in this directory again: `python tests/cases/binlogs/make.py`, with a server of its own.

Run it as root where mariadb-server is installed. `--root DIRECTORY` takes the server from a directory with another
Debian system in it (how 11.8 got here: see README.md). Nothing of a server that is there already is touched.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).parent
#: Below the root that the server sees.
WORK = "tmp/remediate-binlogs"


class Server:
    """A server on a directory and a socket of its own, without a network."""

    def __init__(self, root: str, *options: str) -> None:
        self._root = root
        self._inside = f"/{WORK}"
        self.directory = Path(root, WORK)
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.directory.chmod(0o777)
        self._run("mariadb-install-db", "--no-defaults", "--force", "--user=nobody", f"--datadir={self._inside}/data")

    def _command(self, *words: str) -> list[str]:
        return [*(["chroot", self._root] if self._root != "/" else []), *words]

    def _run(self, *words: str) -> None:
        subprocess.run(self._command(*words), check=True, stdout=subprocess.DEVNULL)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        data = f"{self._inside}/data"
        words = [
            "mariadbd", "--no-defaults", "--user=nobody", f"--datadir={data}", f"--socket={self._inside}/socket",
            f"--pid-file={self._inside}/pid", f"--log-error={self._inside}/error.log", "--skip-networking",
            "--skip-grant-tables", "--innodb-buffer-pool-size=16M", "--key-buffer-size=1M", "--server-id=7",
            f"--log-bin={data}/mariadb-bin", "--sync-binlog=1", *self._options,
        ]  # fmt: skip
        self._process = subprocess.Popen(self._command(*words))
        for _ in range(100):
            if subprocess.run(self._client("SELECT 1"), capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.2)
        raise SystemExit("the server does not answer")

    def _client(self, text: str) -> list[str]:
        return self._command("mariadb", "--no-defaults", f"--socket={self._inside}/socket", "--execute", text)

    def says(self, text: str) -> None:
        """Let the server do something, a second after what it did before."""
        time.sleep(1.1)
        subprocess.run(self._client(text), check=True)

    def end(self, by: signal.Signals) -> None:
        """End the server: TERM in good order, KILL as a crash."""
        pid = int((self.directory / "pid").read_text())
        os.kill(pid, by)
        if self._process:
            self._process.wait()

    def copy(self, name: str, numbers: range) -> None:
        """Copy logs to where they are kept."""
        target = HERE / name
        target.mkdir(exist_ok=True)
        for number in numbers:
            log = f"mariadb-bin.{number:06}"
            shutil.copyfile(self.directory / "data" / log, target / log)


def a_life(root: str, name: str) -> None:
    """Write six logs: rotated, stopped, crashed, rotated, empty, open."""
    server = Server(root, "--binlog-format=ROW")
    server.start()
    server.says("CREATE DATABASE chom; CREATE TABLE chom.orders (id INT PRIMARY KEY, paid INT) ENGINE=InnoDB")
    server.says("INSERT INTO chom.orders VALUES (1, 0), (2, 0); UPDATE chom.orders SET paid = 1 WHERE id = 1")
    server.says("SET gtid_domain_id = 1; INSERT INTO chom.orders VALUES (3, 0); DELETE FROM chom.orders WHERE id = 3")
    server.says("XA START 'x'; INSERT INTO chom.orders VALUES (4, 0); XA END 'x'; XA PREPARE 'x'; XA COMMIT 'x'")
    server.says("FLUSH BINARY LOGS")
    server.says("SET server_id = 8; INSERT INTO chom.orders VALUES (5, 0)")
    server.says("CREATE TABLE chom.notes (id INT) ENGINE=Aria; INSERT INTO chom.notes VALUES (1)")
    server.says("USE chom; drop table orders")
    server.says("INSERT INTO chom.notes VALUES (2)")
    server.end(signal.SIGTERM)
    server.start()
    server.says("CREATE TABLE chom.orders (id INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO chom.orders VALUES (6)")
    server.end(signal.SIGKILL)
    server.start()
    server.says("INSERT INTO chom.orders VALUES (7)")
    server.says("FLUSH BINARY LOGS")
    server.says("FLUSH BINARY LOGS")
    server.says("INSERT INTO chom.orders VALUES (8)")
    server.copy(name, range(1, 7))
    server.says("RESET MASTER; DROP TABLE chom.orders; INSERT INTO chom.notes VALUES (3)")
    server.says("FLUSH BINARY LOGS")
    server.copy(f"{name}-reset", range(1, 2))
    server.end(signal.SIGTERM)


def mixed(root: str, name: str) -> None:
    """Write one log of statements and rows, compressed where they are long."""
    server = Server(root, "--binlog-format=MIXED", "--log-bin-compress=ON", "--log-bin-compress-min-len=10")
    server.start()
    server.says("CREATE DATABASE chom; CREATE TABLE chom.orders (id INT PRIMARY KEY, note TEXT) ENGINE=InnoDB")
    server.says("INSERT INTO chom.orders VALUES (1, REPEAT('long ', 100)), (2, UUID())")
    server.says("BEGIN; UPDATE chom.orders SET note = 'short' WHERE id = 1; DELETE FROM chom.orders; COMMIT")
    server.says("drop table\n  if exists chom . orders")
    server.end(signal.SIGTERM)
    server.copy(name, range(1, 2))


def encrypted(root: str, name: str) -> None:
    """Write one log that only its server can read."""
    keys = Path(root, "tmp", "remediate-binlog-keys")
    keys.write_text("1;" + "00112233445566778899aabbccddeeff\n")
    keys.chmod(0o644)
    server = Server(
        root,
        "--plugin-load-add=file_key_management",
        f"--file-key-management-filename=/tmp/{keys.name}",
        "--encrypt-binlog=ON",
    )
    server.start()
    server.says("CREATE DATABASE chom")
    server.end(signal.SIGTERM)
    server.copy(name, range(1, 2))


def main() -> None:
    """Make them all, or those of another version."""
    parser = argparse.ArgumentParser(description="Makes binary logs with a MariaDB server.")
    parser.add_argument("--root", default="/", help="where the server is installed")
    parser.add_argument("--version", default="10.11", help="how its logs are named")
    given = parser.parse_args()
    a_life(given.root, f"rows-{given.version}")
    mixed(given.root, f"mixed-{given.version}")
    if given.root == "/":
        encrypted(given.root, f"encrypted-{given.version}")


if __name__ == "__main__":
    main()
