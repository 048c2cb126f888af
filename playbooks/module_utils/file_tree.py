"""Files below a path, as a snapshot has them and as they are on the disk: content, mode, owner, time, links."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

FILE, DIRECTORY, LINK = "file", "dir", "symlink"
_BLOCK = 1 << 20
#: Where restic, like Go, keeps what Unix keeps above the nine bits of a mode.
_SPECIAL = {1 << 23: stat.S_ISUID, 1 << 22: stat.S_ISGID, 1 << 20: stat.S_ISVTX}


@dataclass(frozen=True)
class Entry:
    """One file, directory or link. `mtime` is in nanoseconds; only a file has size and time."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int = 0
    mtime: int = 0
    #: The digest of a file's content, or where a link points to.
    told: str = ""


@dataclass(frozen=True)
class Differences:
    """What differs between a tree as it is wanted and what is on the disk, as paths below it."""

    missing: list[str] = field(default_factory=list)
    #: On the disk only.
    added: list[str] = field(default_factory=list)
    #: Written to since, or given another mode or owner.
    changed: list[str] = field(default_factory=list)
    #: Another content under the same size and time, or nothing left of it: nobody writes so.
    damaged: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Return whether anything differs."""
        return bool(self.missing or self.added or self.changed or self.damaged)


def from_node(node: Mapping[str, Any], mtime: int, told: str) -> Entry | None:
    """Return an entry as restic describes it; None for what is neither file, directory nor link."""
    kind, mode = str(node["type"]), int(node.get("mode", 0))
    if kind not in {FILE, DIRECTORY, LINK}:
        return None
    owner = (int(node.get("uid", 0)), int(node.get("gid", 0)))
    if kind == LINK:
        return Entry(LINK, 0, *owner, told=told)
    bits = (mode & 0o777) | sum(here for there, here in _SPECIAL.items() if mode & there)
    if kind == DIRECTORY:
        return Entry(DIRECTORY, bits, *owner)
    return Entry(FILE, bits, *owner, int(node.get("size", 0)), mtime, told)


def told_of_archive(archive: IO[bytes]) -> dict[str, str]:
    """Read a tar archive to its end; return digest or target of each file and link by its path from the root."""
    found, twins = {}, {}
    with tarfile.open(fileobj=archive, mode="r|") as members:
        for member in members:
            path = "/" + member.name.strip("/")
            if member.issym():
                found[path] = member.linkname
            elif member.islnk():
                twins[path] = "/" + member.linkname.strip("/")
            elif member.isreg() and (content := members.extractfile(member)) is not None:
                found[path] = digest_of(content)
    return {**found, **{path: found.get(other, "") for path, other in twins.items()}}


def digest_of(source: IO[bytes]) -> str:
    """Return the digest of everything that comes."""
    digest = hashlib.sha256()
    while block := source.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def entry_of(path: str) -> Entry | None:
    """Return what is at a path, without the content of a file; None for nothing, or what is no file of ours."""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            return Entry(LINK, 0, status.st_uid, status.st_gid, told=os.readlink(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    bits = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return Entry(DIRECTORY, bits, status.st_uid, status.st_gid)
    if stat.S_ISREG(status.st_mode):
        return Entry(FILE, bits, status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns)
    return None


def is_within(path: str, parts: Iterable[str]) -> bool:
    """Return whether a path below a tree is one of these parts of it, or lies in one."""
    return any(path == part or path.startswith(f"{part}/") for part in parts)


def walk(root: str, skip: Iterable[str] = ()) -> Iterator[tuple[str, Entry]]:
    """Yield what is at and below a path, by its path below it (`` for itself), but not what is skipped."""
    parts = tuple(skip)
    if (top := entry_of(root)) is None:
        return
    yield "", top
    for parent, directories, files in os.walk(root):
        below = os.path.relpath(parent, root)
        names = {name: name if below == "." else f"{below}/{name}" for name in [*directories, *files]}
        directories[:] = [name for name in directories if not is_within(names[name], parts)]
        for name, path in names.items():
            if not is_within(path, parts) and (entry := entry_of(os.path.join(parent, name))):
                yield path, entry


def compare(wanted: Mapping[str, Entry], root: str, keep: Iterable[str] = ()) -> Differences:
    """Say how what is on the disk differs; contents are read where everything else is the same."""
    parts, found = tuple(keep), Differences()
    seen = dict(walk(root, parts))
    for path, entry in wanted.items():
        if is_within(path, parts):
            continue
        if path not in seen:
            found.missing.append(path)
        elif said := _difference(entry, seen[path], os.path.join(root, path) if path else root):
            getattr(found, said).append(path)
    found.added.extend(path for path in seen if path not in wanted)
    return found


def _difference(wanted: Entry, found: Entry, path: str) -> str:
    if wanted.kind != FILE or found.kind != FILE:
        return "" if wanted == found else "changed"
    if wanted.size and not found.size:
        return "damaged"
    if wanted.mtime != found.mtime:
        return "changed"
    if wanted.size != found.size or not _has(path, wanted.told):
        return "damaged"
    return "" if (wanted.mode, wanted.uid, wanted.gid) == (found.mode, found.uid, found.gid) else "changed"


def _has(path: str, digest: str) -> bool:
    with contextlib.suppress(OSError), open(path, "rb") as source:
        return digest_of(source) == digest
    return False
