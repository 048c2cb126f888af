"""SSH to the hosts: fresh keys, host keys known before a host first answers, one configuration file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labhosts.shell import run

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION = """# Written by the lab: how to reach its hosts. Use: ssh -F {file} HOST
Host *
    User ops
    IdentityFile {key}
    IdentitiesOnly yes
    UserKnownHostsFile {known_hosts}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    CheckHostIP no
    ConnectTimeout 10
"""
ENTRY = """
Host {name}
    HostName {address}
    HostKeyAlias {name}
"""


class Keys:
    """The directory `.lab/ssh`: the client key, a host key per host, known_hosts and config."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = directory / "id_ed25519"
        self._known_hosts = directory / "known_hosts"
        self.configuration = directory / "config"

    def ensure(self, names: list[str]) -> None:
        """Make the keys that are not there, and pin every host key under the name of its host."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _generate(self._key, "lab")
        for name in names:
            _generate(self._host_key(name), name)
        lines = [f"{name} {_public(self._host_key(name))}\n" for name in names]
        self._known_hosts.write_text("".join(lines))

    def files_for(self, name: str) -> dict[str, tuple[bytes, int]]:
        """Return what goes onto a host: path -> (content, mode)."""
        host_key = self._host_key(name)
        allowed = f"{_public(self._key)}\n".encode()
        return {
            "etc/ssh/ssh_host_ed25519_key": (host_key.read_bytes(), 0o600),
            "etc/ssh/ssh_host_ed25519_key.pub": (_public_file(host_key).read_bytes(), 0o644),
            "etc/ssh/authorized_keys/ops": (allowed, 0o644),
            "etc/ssh/authorized_keys/nosudo": (allowed, 0o644),
        }

    def write_configuration(self, addresses: dict[str, str]) -> None:
        """Write the file that `ssh -F` and the inventory use."""
        text = CONFIGURATION.format(file=self.configuration, key=self._key, known_hosts=self._known_hosts)
        text += "".join(ENTRY.format(name=name, address=address) for name, address in addresses.items())
        self.configuration.write_text(text)

    def _host_key(self, name: str) -> Path:
        return self._directory / f"host_{name}"


def _generate(path: Path, comment: str) -> None:
    if not path.exists():
        run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)))


def _public_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.pub")


def _public(path: Path) -> str:
    """Return type and key, without the comment."""
    return " ".join(_public_file(path).read_text().split()[:2])
