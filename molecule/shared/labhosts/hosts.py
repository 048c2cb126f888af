"""The three hosts: what each one is, and how its container is made, prepared and removed."""

from __future__ import annotations

import hashlib
import io
import ipaddress
import json
import re
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labhosts import image
from labhosts.shell import LabError, run, succeeds

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED = Path(__file__).resolve().parent.parent
CHECKOUT = SHARED.parent.parent
#: Two checkouts can have their labs up at the same time: what the engine knows by name is named after the checkout.
NETWORK = f"remediate-lab-{hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:6]}"
LABEL = "remediate.lab"
ON_DISK = "/var/log /var/cache/apt /var/lib/docker /var/lib/mysql /var/lib/redis /var/www /opt"
DISK_SIZE = "3g"
DISK_INODES = "200k"
BOOT_SECONDS = 60
#: Certificates are issued only for names with a dot.
DOMAIN = "chom.test"
ENGINE_SETTINGS = "etc/docker/daemon.json"
# In /run, so that a host that was stopped, and has lost its disk by that, does not count as ready.
READY = "/run/lab-ready"
BACKUP_ACCESS = "etc/remediate/backup/"
CONTROL_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Host:
    """One host: its name, the tree of files it gets, its place in the network, the units it runs, and what it has."""

    name: str
    tree: str
    place: int
    units: tuple[str, ...]
    disk: bool
    application: bool

    @property
    def container(self) -> str:
        """The name by which the engine knows the host, and the volume that is its small disk."""
        return f"{NETWORK}-{self.name}"


HOSTS = (
    Host("landsraad", "compose", 10, ("containerd.service", "docker.service"), disk=True, application=True),
    Host(
        "landsraad-systemd",
        "systemd",
        11,
        ("mariadb.service", "redis-server.service", "php8.4-fpm.service", "nginx.service", "lab-certificate.service"),
        disk=True,
        application=True,
    ),
    Host(
        "mentat",
        "mentat",
        12,
        (
            "prometheus.service",
            "prometheus-alertmanager.service",
            "prometheus-blackbox-exporter.service",
            "pebble.service",
            "lab-repository.service",
        ),
        disk=False,
        application=False,
    ),
)


def by_name(name: str) -> Host:
    """Return a host, or say which ones there are."""
    for host in HOSTS:
        if host.name == name:
            return host
    raise LabError(f"There is no host '{name}'. The hosts are: {', '.join(host.name for host in HOSTS)}.")


def files_of(host: Host) -> dict[str, tuple[bytes, int]]:
    """Return every file of the repository that goes onto a host: path -> (content, mode)."""
    sources = [(SHARED / "hosts" / "common", ""), (SHARED / "hosts" / host.tree, "")]
    if host.application:
        sources.append((SHARED / "app", "usr/local/share/chom/"))
    files = {target: content for tree, prefix in sources for target, content in _tree(tree, prefix)}
    if host.name == "mentat":
        files.update(_alert_rules())
    if host.tree == "compose":
        # The engine inside shares our control groups: what it leaves there is found by this name.
        content, mode = files[ENGINE_SETTINGS]
        files[ENGINE_SETTINGS] = (json.dumps(json.loads(content) | {"cgroup-parent": f"/{NETWORK}"}).encode(), mode)
    return files


def recipe_of(host: Host) -> str:
    """Return the digest of what a host is made from, so that an outdated one can be told."""
    digest = hashlib.sha256(repr((image.recipe(), host, ON_DISK, DISK_SIZE, DISK_INODES)).encode())
    for path, (content, mode) in sorted(files_of(host).items()):
        digest.update(repr((path, mode, hashlib.sha256(content).hexdigest())).encode())
    return digest.hexdigest()[:12]


def ensure_network() -> None:
    """Make the private network where the engine finds room for it.

    The engine gives out fixed addresses only in a subnet that was asked for. So it is asked for the one it has
    just chosen itself; fixed addresses keep open SSH connections and scrapes right when a host is made anew.
    """
    if succeeds(("docker", "network", "inspect", NETWORK)):
        return
    run(("docker", "network", "create", NETWORK))
    subnet = _subnet()
    run(("docker", "network", "rm", NETWORK))
    run(("docker", "network", "create", "--label", LABEL, "--subnet", subnet, NETWORK))


def address_of(host: Host) -> str:
    """Return the fixed address of a host."""
    return str(ipaddress.ip_network(_subnet())[host.place])


def _subnet() -> str:
    return run(("docker", "network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", NETWORK)).strip()


def bare_files_of(host: Host) -> dict[str, tuple[bytes, int]]:
    """Return the files of a host that only has Debian, and what an operator copies onto it to reach its backups."""
    common = dict(_tree(SHARED / "hosts" / "common", ""))
    files = {**common, **dict(_tree(SHARED / "hosts" / host.tree, ""))}
    return {path: one for path, one in files.items() if path in common or path.startswith(BACKUP_ACCESS)}


def create(host: Host, keys: dict[str, tuple[bytes, int]], *, bare: bool = False) -> None:
    """Make the container with all its files and start it; a bare one has none of an application, and runs none."""
    disk: tuple[str, ...] = ()
    if host.disk:
        options = ("type=tmpfs", "device=tmpfs", f"o=size={DISK_SIZE},nr_inodes={DISK_INODES},mode=0755")
        settings = [word for option in options for word in ("--opt", option)]
        run(("docker", "volume", "create", "--label", LABEL, *settings, host.container))
        disk = ("--volume", f"{host.container}:/disk")
    files = bare_files_of(host) if bare else files_of(host)
    units = ("--env", "LAB_UNITS=") if bare else ()
    run(("docker", "create", *_flags(host), *units, *disk, image.host_image(), "/usr/local/sbin/lab-init"))
    run(("docker", "cp", "-", f"{host.container}:/"), stdin=_archive(files | keys))
    run(("docker", "start", host.container))


def provision(host: Host, *, bare: bool = False) -> None:
    """Wait for the host to boot, then lay out what it is for; a bare one stays bare, and `up` makes it whole."""
    _wait_for_boot(host)
    if bare:
        return
    if host.tree == "compose":
        load = ("docker", "exec", "--interactive", host.container, "docker", "import", "-", "chom/service:production")
        run(load, stdin_file=image.service_archive())
    run(("docker", "exec", host.container, "/usr/local/sbin/lab-provision"))
    run(("docker", "exec", host.container, "touch", READY))


def is_ready(host: Host) -> bool:
    """Say whether the host runs and was laid out to the end."""
    return find(host) is not None and succeeds(("docker", "exec", host.container, "test", "-e", READY))


def remove(host: Host) -> None:
    """Remove the container and its disk, if they are there."""
    if find(host) is not None:
        run(("docker", "rm", "--force", "--volumes", host.container))
    if succeeds(("docker", "volume", "inspect", host.container)):
        run(("docker", "volume", "rm", host.container))
    if host.tree == "compose":
        _remove_control_groups()


@dataclass(frozen=True)
class Found:
    """What the engine says about a host's container."""

    running: bool
    address: str
    checkout: str
    recipe: str


def find(host: Host) -> Found | None:
    """Return a host's container, if there is one; refuse to go on when it is somebody else's."""
    if not succeeds(("docker", "container", "inspect", host.container)):
        return None
    found = _found(json.loads(run(("docker", "container", "inspect", host.container)))[0])
    if found.checkout != str(CHECKOUT):
        raise LabError(f"A container '{host.container}' exists that is not the lab's. Remove or rename it first.")
    return found


def _found(entry: dict[str, Any]) -> Found:
    labels = entry["Config"]["Labels"]
    return Found(
        running=entry["State"]["Running"],
        address=entry["NetworkSettings"]["Networks"].get(NETWORK, {}).get("IPAddress", ""),
        checkout=labels.get(f"{LABEL}.checkout", ""),
        recipe=labels.get(f"{LABEL}.recipe", ""),
    )


def _flags(host: Host) -> tuple[str, ...]:
    """Return what lets systemd, and a container engine below it, run inside a container."""
    return (
        "--name", host.container, "--hostname", host.name, "--network", NETWORK, "--network-alias", host.name,
        "--network-alias", f"{host.name}.{DOMAIN}",
        "--ip", address_of(host),
        # The first address of the network is this machine's: there a service may listen for alerts.
        "--add-host", f"controller:{ipaddress.ip_network(_subnet())[1]}",
        "--stop-signal", "SIGRTMIN+3",
        "--label", LABEL, "--label", f"{LABEL}.checkout={CHECKOUT}", "--label", f"{LABEL}.recipe={recipe_of(host)}",
        "--env", "container=docker", "--env", f"LAB_UNITS={' '.join(host.units)}", "--env", f"LAB_ON_DISK={ON_DISK}",
        "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE",
        "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
        "--cgroupns=host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw",
        "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp",  # noqa: S108 - where the host mounts one
    )  # fmt: skip


def _remove_control_groups() -> None:
    """Remove what the engine inside the host left behind: it shares our control groups and had no time to tidy up."""
    for root in (CONTROL_GROUPS, *CONTROL_GROUPS.glob("*/")):
        left = root / NETWORK
        if left.is_dir():
            for path in sorted(left.rglob("*/"), reverse=True):
                path.rmdir()
            left.rmdir()


def _wait_for_boot(host: Host) -> None:
    deadline = time.monotonic() + BOOT_SECONDS
    while not succeeds(("docker", "exec", host.container, "systemctl", "is-system-running", "--wait")):
        if time.monotonic() > deadline:
            failed = run(("docker", "exec", host.container, "systemctl", "--failed", "--no-pager", "--plain"))
            raise LabError(f"{host.name} did not come up whole in {BOOT_SECONDS} s:\n{failed}")
        time.sleep(0.2)


def _tree(root: Path, prefix: str) -> Iterator[tuple[str, tuple[bytes, int]]]:
    for path in sorted(root.rglob("*")):
        if path.is_file():
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            yield f"{prefix}{path.relative_to(root)}", (path.read_bytes(), mode)


def _alert_rules() -> Iterator[tuple[str, tuple[bytes, int]]]:
    """Return the rules that are shipped; in the lab an alert fires after seconds, not minutes."""
    for path in sorted((CHECKOUT / "playbooks" / "roles").glob("*/files/alerts.yml")):
        content = re.sub(rb"(?m)^(\s+for:) [0-9]+m$", rb"\1 10s", path.read_bytes())
        yield f"etc/prometheus/rules/{path.parent.parent.name}.yml", (content, 0o644)


def _archive(files: dict[str, tuple[bytes, int]]) -> bytes:
    """Return a tar archive of root's files, as `docker cp` reads it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, (content, mode) in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.mtime = len(content), mode, int(time.time())
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
