"""The two images: a bare service image for compose, and on top of it the host image with systemd."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from labhosts.shell import run, say, succeeds

SUITE = "trixie"
SERVICE_PACKAGES = """
    ca-certificates curl procps nginx-light php8.4-fpm php8.4-cli php8.4-mysql php8.4-redis php8.4-mbstring php8.4-xml
    php-laravel-framework mariadb-server mariadb-backup redis-server
"""
HOST_PACKAGES = """
    systemd systemd-sysv dbus libpam-systemd openssh-server sudo python3 python3-apt iproute2 iputils-ping lsof psmisc
    logrotate docker.io docker-cli docker-compose docker-buildx iptables nftables fail2ban
    certbot pebble openssl stress-ng wrk hey restic rclone python3-pymysql postgresql pgbackrest
    prometheus prometheus-alertmanager prometheus-node-exporter prometheus-blackbox-exporter
"""
# Each host enables what it is for; the timers would change a host behind a test's back.
DISABLED_UNITS = """
    docker.service docker.socket containerd.service mariadb.service nginx.service php8.4-fpm.service
    redis-server.service prometheus.service prometheus-alertmanager.service prometheus-blackbox-exporter.service
    nftables.service fail2ban.service certbot.timer postgresql.service
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer logrotate.timer phpsessionclean.timer
"""
# What has no meaning without hardware of its own.
MASKED_UNITS = "getty.target console-getty.service systemd-pstore.service systemd-networkd-wait-online.service"
NOT_IN_SERVICE_IMAGE = "./var/lib/mysql/* ./var/lib/apt/lists/* ./var/cache/apt/* ./proc/* ./sys/* ./dev/*"
# A cluster of PostgreSQL is made by the test that needs one.
HOST_FINISH = f"""set -eu
mkdir --parents /etc/postgresql-common
echo create_main_cluster = false >/etc/postgresql-common/createcluster.conf
apt-get install --yes --no-install-recommends {" ".join(HOST_PACKAGES.split())}
useradd --create-home --shell /bin/bash ops
useradd --create-home --shell /bin/bash nosudo
systemctl disable --quiet {" ".join(DISABLED_UNITS.split())}
systemctl mask --quiet {MASKED_UNITS}
rm -f /etc/ssh/ssh_host_*
apt-get clean
"""
REPOSITORY = "remediate-lab"


def recipe() -> str:
    """Return the digest of everything that decides what is in the images."""
    command = _mmdebstrap(Path("service"), Path("host"), mirror="")
    return hashlib.sha256(repr(command).encode()).hexdigest()[:12]


def cache_directory() -> Path:
    """Return where root file systems are kept, outside of the checkout so that a second one finds them."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "remediate-lab"


def host_image() -> str:
    """Return the name of the host image of the present recipe."""
    return f"{REPOSITORY}/host:{recipe()}"


def service_archive() -> Path:
    """Return the root file system of the service image, as compose hosts load it."""
    return cache_directory() / f"service-{recipe()}.tar"


def ensure_host_image() -> None:
    """Build the images of the present recipe unless they are there; drop those of older recipes."""
    host_archive = cache_directory() / f"host-{recipe()}.tar"
    if not (host_archive.exists() and service_archive().exists()):
        _build(host_archive)
    if not succeeds(("docker", "image", "inspect", host_image())):
        say("Loading the host image ...")
        run(("docker", "import", str(host_archive), host_image()))
    _drop_older()


def _build(host_archive: Path) -> None:
    say(f"Building the host image from Debian packages, about 80 s (kept in {cache_directory()}) ...")
    cache_directory().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_directory(), prefix="build-") as directory:
        service, host = Path(directory) / "service.tar", Path(directory) / "host.tar"
        run(_mmdebstrap(service, host, _mirror()))
        # Both are complete before either gets its name, so a build that is killed leaves no half image.
        service.rename(service_archive())
        host.rename(host_archive)


def _mmdebstrap(service: Path, host: Path, mirror: str) -> tuple[str, ...]:
    """Return the command: service packages, a copy of that as the service image, then the host's packages."""
    left_out = " ".join(f"--exclude='{pattern}'" for pattern in NOT_IN_SERVICE_IMAGE.split())
    save_service = f'tar --directory "$1" --one-file-system --numeric-owner {left_out} --create --file {service} .'
    unneeded = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
    return (
        "mmdebstrap",
        "--variant=minbase",
        "--format=tar",
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in unneeded),
        '--aptopt=Acquire::Languages "none"',
        '--aptopt=APT::Install-Recommends "false"',
        f"--include={','.join(SERVICE_PACKAGES.split())}",
        f"--customize-hook={save_service}",
        f"--customize-hook=chroot \"$1\" sh -c '{HOST_FINISH}'",
        SUITE,
        str(host),
        *([mirror] if mirror else []),
    )


def _mirror() -> str:
    """Return the Debian mirror this machine uses, or nothing: then mmdebstrap takes its default."""
    if shutil.which("apt-get") is None:
        return ""
    targets = ("Created-By: Packages", "Origin: Debian", "Label: Debian")
    addresses = run(("apt-get", "indextargets", "--format", "$(REPO_URI)", *targets)).split()
    return next((address for address in addresses if address.startswith(("http:", "https:"))), "")


def _drop_older() -> None:
    for archive in cache_directory().glob("*-*.tar"):
        if recipe() not in archive.name:
            archive.unlink()
    listing = run(("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{REPOSITORY}/host"))
    for name in listing.split():
        if name != host_image() and not succeeds(("docker", "image", "rm", name)):
            say(f"The older image {name} is still in use and stays.")
