"""Which file systems of a host can fill up, and how full they are."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

#: File systems that are no disk, or whose space is another file system's, or another machine's.
# fmt: off
_NOT_A_DISK = frozenset((
    "autofs", "binfmt_misc", "bpf", "ceph", "cgroup", "cgroup2", "cifs", "configfs", "debugfs", "devpts",
    "devtmpfs", "efivarfs", "fusectl", "fuse.sshfs", "fuse.lxcfs", "glusterfs", "hugetlbfs", "iso9660",
    "mqueue", "nfs", "nfs4", "nsfs", "overlay", "proc", "pstore", "ramfs", "rpc_pipefs", "securityfs", "smb3",
    "squashfs", "sysfs", "tracefs", "9p",
))
# fmt: on
#: A tmpfs here is the system's own and is emptied at boot; elsewhere it is somebody's disk.
_SYSTEM_TMPFS = ("/run", "/tmp", "/dev", "/proc", "/sys", "/var/lock")  # noqa: S108 - compared with, never written to
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo."""

    root: str
    point: str
    writable: bool
    kind: str


@dataclass(frozen=True)
class FileSystem:
    """One file system, however many places it is mounted at."""

    device: int
    point: str
    mounts: tuple[Mount, ...]
    size: int
    free: int
    inodes: int
    free_inodes: int

    @property
    def free_percent(self) -> float:
        """Free space as `df` counts it: without the blocks reserved for root."""
        return _percent(self.free, self.size)

    @property
    def free_inodes_percent(self) -> float:
        """Free inodes; a file system without a limit has no problem."""
        return _percent(self.free_inodes, self.inodes) if self.inodes else 100.0

    def is_full(self, wanted: float) -> bool:
        """Return whether less than `wanted` percent of bytes or inodes are free."""
        return min(self.free_percent, self.free_inodes_percent) < wanted

    def missing_bytes(self, wanted: float) -> int:
        """Return how many bytes must become free until `wanted` percent are."""
        return max(0, int(self.size * wanted / 100) + 1 - self.free)

    def missing_inodes(self, wanted: float) -> int:
        """Return how many inodes must become free until `wanted` percent are."""
        return max(0, int(self.inodes * wanted / 100) + 1 - self.free_inodes) if self.inodes else 0

    def measured_again(self) -> FileSystem:
        """Return the same file system as it is now."""
        return measure(self.device, self.point, self.mounts)

    def path_of(self, path: str) -> str:
        """Return the path by which people know a file: below the most specific place that shows it."""
        inside = _below(path, self.point)
        if inside is None:
            return path
        shown = [mount for mount in self.mounts if _below(inside, mount.root) is not None]
        best = max(shown, key=lambda mount: len(mount.root), default=None)
        return path if best is None else _join(best.point, _below(inside, best.root) or "")

    def measures(self, wanted: float) -> list[dict]:
        """Return the measured values in the form in which phases report them."""
        rows = [("free space", self.free_percent)] + ([("free inodes", self.free_inodes_percent)] * bool(self.inodes))
        return [
            {
                "name": f"{name} on {self.point}",
                "value": round(value, 2),
                "unit": "%",
                "wanted": f">= {wanted:g}",
                "ok": value >= wanted,
            }
            for name, value in rows
        ]


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0


def _below(path: str, directory: str) -> str | None:
    """Return the rest of the path below a directory, or None when it is elsewhere."""
    if directory == "/":
        return path
    if path == directory or path.startswith(directory + "/"):
        return path[len(directory) :] or "/"
    return None


def _join(directory: str, rest: str) -> str:
    return directory if rest in {"", "/"} else directory.rstrip("/") + rest


def parse_mounts(mountinfo: str) -> list[Mount]:
    """Return the mounts that mountinfo names."""
    return [_mount(line) for line in mountinfo.splitlines() if " - " in line]


def _mount(line: str) -> Mount:
    before, after = line.split(" - ", 1)
    fields, rest = before.split(), after.split()
    options = {*fields[5].split(","), *(rest[2].split(",") if len(rest) > 2 else [])}
    return Mount(root=_plain(fields[3]), point=_plain(fields[4]), writable="ro" not in options, kind=rest[0])


def _plain(text: str) -> str:
    """Undo the kernel's escapes of blanks in paths."""
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), text)


def _counts(mount: Mount) -> bool:
    if not mount.writable or mount.kind in _NOT_A_DISK:
        return False
    return mount.kind != "tmpfs" or all(_below(mount.point, own) is None for own in _SYSTEM_TMPFS)


def measure(device: int, point: str, mounts: tuple[Mount, ...]) -> FileSystem:
    """Return how full the file system at a mount point is."""
    seen = os.statvfs(point)
    used = seen.f_blocks - seen.f_bfree
    return FileSystem(
        device=device,
        point=point,
        mounts=mounts,
        size=(used + seen.f_bavail) * seen.f_frsize,
        free=seen.f_bavail * seen.f_frsize,
        inodes=seen.f_files,
        free_inodes=seen.f_favail,
    )


def file_systems(excluded: list[str], mountinfo: str | None = None) -> list[FileSystem]:
    """Return every local, writable file system once, however often it is mounted."""
    if mountinfo is None:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as source:
            mountinfo = source.read()
    by_device: dict[int, list[Mount]] = {}
    for mount in parse_mounts(mountinfo):
        # A mount point that is a file (resolv.conf of a container) shows one file of somebody else's disk.
        if _counts(mount) and os.path.isdir(mount.point):
            by_device.setdefault(os.stat(mount.point).st_dev, []).append(mount)
    found = (_file_system(device, mounts) for device, mounts in by_device.items())
    return sorted((seen for seen in found if seen.size and seen.point not in excluded), key=lambda seen: seen.point)


def _file_system(device: int, mounts: list[Mount]) -> FileSystem:
    whole = min(mounts, key=lambda mount: (mount.root != "/", len(mount.point)))
    return measure(device, whole.point, tuple(mounts))


def nearest_existing(path: str) -> str:
    """Return the path, or the nearest directory above it that exists."""
    path = os.path.abspath(path)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def narrowed(found: list[FileSystem], path: str) -> list[FileSystem]:
    """Return only the file system that holds a path; all of them without a path."""
    if not path:
        return found
    if not os.path.isabs(path) or not os.path.exists(path):
        raise FileNotFoundError(f"{path!r} does not exist on this host, so its file system cannot be looked at")
    device = os.stat(path).st_dev
    return [seen for seen in found if seen.device == device]
