"""Puts a certificate and its key to where a server reads them: both at once, or not at all.

Where both paths go through one symbolic link to a directory (`tls/current -> pair-1`), a new directory is written and
the link is renamed: no reader ever sees one half. Plain files are renamed one after the other, and only those that
differ: with an unchanged key that is one rename.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass

from ansible.module_utils.certificate_der import CertificateError
from ansible.module_utils.certificate_pair import read_small
from ansible.module_utils.host_step import StepError
from ansible.module_utils.run_state import make_private, sync_directory, write_whole

_OURS = re.compile(r"pair-[A-Za-z0-9_]{8}")
_CERTIFICATE, _KEY = "certificate.pem", "key.pem"


@dataclass(frozen=True)
class Looks:
    """Mode and owner of a file."""

    mode: int = 0o600
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Contents:
    """A pair with its looks; the key may be missing in one that is to be replaced."""

    certificate: bytes
    key: bytes | None
    certificate_looks: Looks
    key_looks: Looks

    @property
    def digest(self) -> str:
        """What tells this pair from any other; it gives nothing of the key away."""
        return hashlib.sha256(self.certificate + b"\0" + (self.key or b"")).hexdigest()


@dataclass(frozen=True)
class Place:
    """Where a server reads its pair."""

    certificate: str
    key: str

    @property
    def link(self) -> str:
        """The symbolic link that both paths go through, or nothing."""
        directory = os.path.dirname(self.certificate)
        return directory if os.path.dirname(self.key) == directory and os.path.islink(directory) else ""


def obstacle(place: Place) -> str:
    """Return why nothing can be put there, or nothing."""
    for path in (place.certificate, place.key):
        if os.path.islink(path):
            return (
                f"{path} is a symbolic link to {os.readlink(path)}: somebody else's file is not replaced; nothing was "
                "changed: let nginx read a copy of its own and set ssl_expiry_certificate and ssl_expiry_key to it"
            )
    return ""


def present(place: Place) -> Contents:
    """Return the pair that is there."""
    try:
        key, key_looks = read_small(place.key), _looks(place.key)
    except (OSError, CertificateError):
        key, key_looks = None, Looks()
    return Contents(read_small(place.certificate), key, _looks(place.certificate), key_looks)


def keep(contents: Contents, directory: str) -> dict[str, object]:
    """Keep a pair in a directory that only root may look into; return what to remember of it."""
    make_private(directory)
    write_whole(os.path.join(directory, _CERTIFICATE), contents.certificate)
    if contents.key is not None:
        write_whole(os.path.join(directory, _KEY), contents.key)
    looks = [contents.certificate_looks, contents.key_looks]
    return {"looks": [[one.mode, one.uid, one.gid] for one in looks], "sha256": contents.digest}


def kept(directory: str, remembered: dict[str, object]) -> Contents:
    """Return a pair that was kept; raises StepError when it is damaged."""
    key_path = os.path.join(directory, _KEY)
    looks = [Looks(*one) for one in remembered["looks"]]
    try:
        key = read_small(key_path) if os.path.exists(key_path) else None
        contents = Contents(read_small(os.path.join(directory, _CERTIFICATE)), key, *looks)
    except (OSError, CertificateError) as error:
        raise StepError(f"the pair kept in {directory} cannot be read: {error}; nothing was changed") from error
    if contents.digest != remembered["sha256"]:
        raise StepError(f"the pair kept in {directory} is damaged; nothing was changed")
    return contents


def put(place: Place, contents: Contents) -> None:
    """Put a pair there."""
    if place.link:
        _put_behind_link(place, contents)
    else:
        _put_files(place, contents)


def _looks(path: str) -> Looks:
    status = os.stat(path)
    return Looks(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


def _put_behind_link(place: Place, contents: Contents) -> None:
    old = os.readlink(place.link)
    old_directory = os.path.realpath(place.link)
    parent = os.path.dirname(old_directory)
    new_directory = tempfile.mkdtemp(prefix="pair-", dir=parent)
    try:
        status = os.stat(old_directory)
        os.chmod(new_directory, stat.S_IMODE(status.st_mode))
        os.chown(new_directory, status.st_uid, status.st_gid)
        for path, content, looks in _files(place, contents):
            if content is not None:
                _write(os.path.join(new_directory, os.path.basename(path)), content, looks)
        sync_directory(new_directory)
        _point(place.link, os.path.join(os.path.dirname(old.rstrip("/")), os.path.basename(new_directory)))
    except BaseException:
        if os.path.realpath(place.link) != new_directory:
            shutil.rmtree(new_directory, ignore_errors=True)
        raise
    _tidy(parent, new_directory)


def _point(link: str, target: str) -> None:
    """Let a link point elsewhere, in one moment."""
    parent, name = os.path.split(link)
    partial = os.path.join(parent, f".{name}.remediate")
    if os.path.lexists(partial):
        os.unlink(partial)
    os.symlink(target, partial)
    os.rename(partial, link)
    sync_directory(parent)


def _tidy(parent: str, used: str) -> None:
    """Remove the directories that earlier changes made and nobody uses any more."""
    for name in os.listdir(parent):
        path = os.path.join(parent, name)
        if _OURS.fullmatch(name) and path != used and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)


def _put_files(place: Place, contents: Contents) -> None:
    now = present(place)
    same = {place.key: (now.key, now.key_looks), place.certificate: (now.certificate, now.certificate_looks)}
    for path, content, looks in reversed(_files(place, contents)):
        if (content, looks) == same[path]:
            continue
        if content is None:
            os.unlink(path)
            continue
        partial = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.remediate")
        _write(partial, content, looks)
        os.rename(partial, path)
        sync_directory(os.path.dirname(path))


def _files(place: Place, contents: Contents) -> list[tuple[str, bytes | None, Looks]]:
    return [
        (place.certificate, contents.certificate, contents.certificate_looks),
        (place.key, contents.key, contents.key_looks),
    ]


def _write(path: str, content: bytes, looks: Looks) -> None:
    if os.path.lexists(path):
        os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        os.fchown(target.fileno(), looks.uid, looks.gid)
        os.fchmod(target.fileno(), looks.mode)
        target.write(content)
        target.flush()
        os.fsync(target.fileno())
