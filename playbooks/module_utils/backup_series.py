"""Which files in a backup directory belong together, and which one of each series must never go."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import re
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO

from ansible.module_utils.disk_candidate import File, shown
from ansible.module_utils.safe_files import Directory, split

#: Dates with or without a time, then any other long number. Short numbers (db1, shard-2, v3) tell series apart:
#: taking two series for one could cost the newest backup of one of them; the opposite mistake only keeps more.
_DATE = re.compile(
    r"(?<!\d)\d{4}[-_.]?\d{2}[-_.]?\d{2}(?:[-_.T ]?\d{2}[-_.:h]?\d{2}(?:[-_.:m]?\d{2})?)?(?:Z|[+-]\d{4})?(?!\d)"
)
_LONG_NUMBER = re.compile(r"\d{5,}")
#: backup.tar.gz.3, as rotation programs number them.
_ROTATION = re.compile(r"\.\d{1,3}(?=$|\.(?:gz|bz2|xz|zst)$)")
_COMPANIONS = (".sha256", ".sha256sum", ".asc", ".sig", ".meta", ".md5")
_BLOCK = 1 << 20
_MAGIC_ZSTANDARD = b"\x28\xb5\x2f\xfd"


class OutOfTime(Exception):
    """Checking backups has taken as long as it may."""


@dataclass(frozen=True)
class Backup:
    """One backup with the files that go with it."""

    file: File
    companions: tuple[File, ...]

    @property
    def files(self) -> tuple[File, ...]:
        """All files of this backup."""
        return (self.file, *self.companions)


@dataclass(frozen=True)
class Series:
    """Backups of the same thing, newest first."""

    name: str
    backups: tuple[Backup, ...]


def series_name(path: str) -> str:
    """Return a path with everything that differs between two backups of one thing replaced by #."""
    return _ROTATION.sub(".#", _LONG_NUMBER.sub("#", _DATE.sub("#", path)))


def group(files: Iterable[File]) -> list[Series]:
    """Return the series that some files make up."""
    by_path = {file.path: file for file in files}
    companions: dict[str, list[File]] = {}
    for path, file in by_path.items():
        if (owner := _owner(path)) in by_path:
            companions.setdefault(owner, []).append(file)
    followers = {file.path for many in companions.values() for file in many}
    found: dict[str, list[Backup]] = {}
    for path, file in by_path.items():
        if path not in followers:
            backup = Backup(file=file, companions=tuple(sorted(companions.get(path, ()), key=lambda one: one.path)))
            found.setdefault(series_name(path), []).append(backup)
    return [Series(name, tuple(sorted(found[name], key=_newest_first))) for name in sorted(found)]


def _newest_first(backup: Backup) -> tuple[int, str]:
    return (-backup.file.changed, backup.file.path)


def _owner(path: str) -> str:
    for ending in _COMPANIONS:
        if path.endswith(ending):
            return path[: -len(ending)]
    return ""


def removable(series: Series, before: int, is_good: Callable[[Backup], bool]) -> tuple[list[Backup], str]:
    """Return the backups that may go, and a sentence when none may although some are old.

    Older than `before` (nanoseconds since the epoch), and older than the newest good one: that one stays, and
    whatever is newer than it stays too.
    """
    old = [backup for backup in series.backups if backup.file.changed < before]
    if not old:
        return [], ""
    for position, backup in enumerate(series.backups):
        try:
            good = is_good(backup)
        except OutOfTime:
            return [], f"backups {shown(series.name)} were left alone: there was no time to check whether one is good"
        if good:
            older = set(series.backups[position + 1 :])
            return [one for one in old if one in older], ""
    return [], f"backups {shown(series.name)} were left alone: not one of them is whole"


class GoodBackups:
    """Checks backups by reading them, for a limited time."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def __call__(self, backup: Backup) -> bool:
        """Return whether a backup is not empty and whole, as far as its form tells."""
        if backup.file.size == 0:
            return False
        directory_path, name = split(backup.file.path)
        try:
            with Directory(directory_path) as directory:
                with os.fdopen(directory.open(name), "rb") as source:
                    self._read(source, backup.file.path)
                return self._digest_is_right(directory, name, backup)
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile):
            return False  # any of these is how a broken archive shows

    def _read(self, source: BinaryIO, path: str) -> None:
        magic = source.read(6)
        source.seek(0)
        if magic.startswith(b"\x1f\x8b"):
            with gzip.open(source) as unpacked:
                self._to_the_end(unpacked)
        elif magic.startswith(b"BZh"):
            with bz2.open(source) as unpacked:
                self._to_the_end(unpacked)
        elif magic.startswith(b"\xfd7zXZ\x00"):
            with lzma.open(source) as unpacked:
                self._to_the_end(unpacked)
        elif magic.startswith(b"PK\x03\x04"):
            self._whole_zip(source)
        elif _wants_magic(path, magic):
            raise ValueError(f"{path} is not what its name says")
        elif path.endswith(".tar"):
            self._whole_tar(source)
        else:
            self._to_the_end(source)

    def _to_the_end(self, source: BinaryIO | gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile) -> None:
        while source.read(_BLOCK):
            self._check_time()

    def _whole_zip(self, source: BinaryIO) -> None:
        with zipfile.ZipFile(source) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    while member.read(_BLOCK):
                        self._check_time()

    def _whole_tar(self, source: BinaryIO) -> None:
        size = os.fstat(source.fileno()).st_size
        with tarfile.open(fileobj=source, mode="r:") as archive:
            for member in archive:
                self._check_time()
                if member.offset_data + (member.size if member.isreg() else 0) > size:
                    raise EOFError("the archive ends before its last file does")

    def _digest_is_right(self, directory: Directory, name: str, backup: Backup) -> bool:
        """Return whether the digest beside a backup, if there is one, is its digest."""
        beside = [file.path for file in backup.companions if file.path.endswith((".sha256", ".sha256sum"))]
        if not beside:
            return True
        with os.fdopen(directory.open(split(beside[0])[1]), "rb") as source:
            wanted = source.read(64).decode("ascii", "replace").lower()
        digest = hashlib.sha256()
        with os.fdopen(directory.open(name), "rb") as source:
            while block := source.read(_BLOCK):
                digest.update(block)
                self._check_time()
        return digest.hexdigest() == wanted

    def _check_time(self) -> None:
        if time.monotonic() > self._until:
            raise OutOfTime


def _wants_magic(path: str, magic: bytes) -> bool:
    """Return whether the name promises a compression that the first bytes deny."""
    if path.endswith((".zst", ".zstd")):
        return not magic.startswith(_MAGIC_ZSTANDARD)
    return path.endswith((".gz", ".tgz", ".bz2", ".xz", ".txz", ".zip"))
