#!/usr/bin/env python3
"""The lab: three real hosts on this machine, to try runbooks on. Run it with --help."""

from __future__ import annotations

import argparse
import fcntl
import http.client
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from labhosts import hosts, image
from labhosts.engine import Engine
from labhosts.hosts import CHECKOUT, HOSTS, Host
from labhosts.keys import Keys
from labhosts.shell import LabError, run, say, succeeds

if TYPE_CHECKING:
    from collections.abc import Iterator

DIRECTORY = CHECKOUT / ".lab"


def up() -> None:
    """Bring every host up; hosts that run are left as they are."""
    Engine(DIRECTORY).ensure()
    missing = [host for host in HOSTS if not hosts.is_ready(host)]
    if missing:
        keys = _keys()
        image.ensure_host_image()
        hosts.ensure_network()
        _renew(missing, keys)
    status()


def down() -> None:
    """Remove hosts, disks and the network, and stop the engine if `up` started it."""
    engine = Engine(DIRECTORY)
    if engine.answers():
        with ThreadPoolExecutor() as pool:
            list(pool.map(hosts.remove, HOSTS))
        if succeeds(("docker", "network", "inspect", hosts.NETWORK)):
            run(("docker", "network", "rm", hosts.NETWORK))
    stopped = engine.stop_if_ours()
    shutil.rmtree(DIRECTORY / "ssh", ignore_errors=True)
    say("The lab is down" + ("; the container engine it had started is stopped." if stopped else "."))


def reset(names: list[str], *, bare: bool = False) -> None:
    """Make hosts anew, with fresh data or bare; the others stay as they are."""
    chosen = [hosts.by_name(name) for name in names]
    if not Engine(DIRECTORY).answers() or hosts.find(HOSTS[0]) is None:
        raise LabError("The lab is not up. Bring it up first: make lab-up")
    image.ensure_host_image()
    _renew(chosen, _keys(), bare=bare)
    status()


def status() -> None:
    """Print one line per host: where it is, whether it answers, and what its disk looks like."""
    if not Engine(DIRECTORY).answers():
        raise LabError("No container engine answers, so the lab is not up. Bring it up: make lab-up")
    with ThreadPoolExecutor() as pool:
        for line in pool.map(_describe, HOSTS):
            print(line)


@contextmanager
def _alone() -> Iterator[None]:
    """Let one command at a time change the lab."""
    DIRECTORY.mkdir(exist_ok=True)
    with (DIRECTORY / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _keys() -> Keys:
    keys = Keys(DIRECTORY / "ssh")
    keys.ensure([host.name for host in HOSTS])
    return keys


def _renew(chosen: list[Host], keys: Keys, *, bare: bool = False) -> None:
    """Make the chosen hosts from nothing, all at once, and write down where they are."""
    start = time.monotonic()
    say(f"Making {', '.join(host.name for host in chosen)} ...")

    def make(host: Host) -> None:
        hosts.remove(host)
        hosts.create(host, keys.files_for(host.name), bare=bare)

    with ThreadPoolExecutor() as pool:
        list(pool.map(make, chosen))
        keys.write_configuration({host.name: hosts.address_of(host) for host in HOSTS})
        list(pool.map(lambda host: hosts.provision(host, bare=bare), chosen))
    say(f"Made in {time.monotonic() - start:.0f} s.")


def _describe(host: Host) -> str:
    found = hosts.find(host)
    if found is None or not found.running:
        return f"{host.name:18} down"
    words = [f"{host.name:18} {found.address:12} up"]
    if host.application:
        words.append(f"/health/ready {_ready(found.address)}")
    if host.disk:
        usage = run(("docker", "exec", host.container, "df", "--output=pcent,ipcent", "/disk")).split()
        words.append(f"disk {usage[-2]} full, inodes {usage[-1]}")
    if found.recipe != hosts.recipe_of(host):
        words.append(f"(made from an older recipe; renew it: molecule/shared/lab.py reset {host.name})")
    return ", ".join(words)


def _ready(address: str) -> str:
    connection = http.client.HTTPConnection(address, 80, timeout=2)
    try:
        connection.request("GET", "/health/ready")
        return str(connection.getresponse().status)
    except OSError as error:
        return f"no answer ({error})"
    finally:
        connection.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab.py", description="Three real hosts on this machine, to try runbooks on.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="bring the hosts up; quick when they are")
    commands.add_parser("down", help="remove hosts, disks and network; stop the engine if `up` started it")
    commands.add_parser("status", help="one line per host")
    renew = commands.add_parser("reset", help="make hosts anew, with fresh data")
    renew.add_argument("--bare", action="store_true", help="only Debian, and the way to the backups of the host")
    renew.add_argument("host", nargs="+", help="landsraad, landsraad-systemd or mentat")
    return parser


def _obey(arguments: argparse.Namespace) -> None:
    if arguments.command == "status":
        status()
        return
    with _alone():
        if arguments.command == "reset":
            reset(arguments.host, bare=arguments.bare)
        else:
            {"up": up, "down": down}[arguments.command]()


def main() -> int:
    """Run one command; return the exit code."""
    arguments = _parser().parse_args()
    try:
        _obey(arguments)
    except LabError as error:
        say(f"lab: {error}")
        return 1
    except KeyboardInterrupt:
        say("lab: stopped in the middle; `up` makes the unfinished hosts anew, `down` removes everything.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
