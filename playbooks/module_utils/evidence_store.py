"""Where the evidence of a run lies on the host, how it is sealed, and the receipt of its copy off the host.

Nothing here, and nothing else, ever deletes evidence.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tarfile
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any, BinaryIO

from ansible.module_utils.host_step import StepError
from ansible.module_utils.run_state import checked_run_id, make_private, sync_directory, write_whole

ARCHIVE, _SEAL, _RECEIPT = "evidence.tar.gz", "seal.json", "receipt.json"
_BLOCK = 4 << 20
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def places(state_dirs: list[str], run_id: str) -> list[str]:
    """Return the directories in which the evidence of a run may lie."""
    return [os.path.join(one, "data_breach", "evidence", checked_run_id(run_id)) for one in state_dirs]


def find_seal(state_dirs: list[str], run_id: str) -> dict[str, Any] | None:
    """Return what was sealed for a run, with its directory; nothing before it is sealed."""
    for place in places(state_dirs, run_id):
        seal = _loaded(os.path.join(place, _SEAL))
        if seal:
            return {**seal, "directory": place, "archive": os.path.join(place, ARCHIVE)}
    return None


def find_receipt(seal: dict[str, Any]) -> dict[str, Any] | None:
    """Return the receipt of the copy, if there is one."""
    return _loaded(os.path.join(seal["directory"], _RECEIPT))


def _loaded(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="ascii") as source:
            found = json.load(source)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StepError(f"{path} is damaged ({error}); nothing was changed: start a new run") from error
    return dict(found)


def write_receipt(seal: dict[str, Any], digest: str, where: str) -> bool:
    """Write down that a copy was read again and is the same; refuses what is not. Return whether it is new."""
    if digest != seal["sha256"]:
        raise StepError(
            f"the copy has the digest {digest}, and {seal['sha256']} was sealed: the copy is not the evidence; nothing "
            "was changed"
        )
    receipt = {"sha256": digest, "copied_to": where, "verified": time.time()}
    old = find_receipt(seal)
    if old and (old["sha256"], old["copied_to"]) == (digest, where):
        return False
    write_whole(os.path.join(seal["directory"], _RECEIPT), json.dumps(receipt).encode("ascii"))
    return True


def receipt_trouble(state_dirs: list[str], run_id: str) -> str:
    """Return why nothing may be changed yet, or nothing: evidence is sealed, copied off the host, and verified."""
    seal = find_seal(state_dirs, run_id)
    if seal is None:
        return f"there is no evidence of run {run_id} on this host; nothing was changed: the phase snapshot comes first"
    receipt = find_receipt(seal)
    if receipt is None or receipt.get("sha256") != seal["sha256"]:
        return (
            f"no verified copy of the evidence {seal['archive']} is off the host; nothing was changed: see that "
            "data_breach_evidence_dir can be written on the controller, then repeat the phase snapshot"
        )
    try:
        now = digest_of(seal["archive"])
    except FileNotFoundError:
        now = "nothing"
    if now != seal["sha256"]:
        return (
            f"{seal['archive']} is not what was sealed any more; a human must look at the copy, {receipt['copied_to']}"
        )
    return ""


def digest_of(path: str) -> str:
    """Return the sha256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        while block := source.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


class Bundle:
    """The archive while it is written: every member's digest goes into the manifest, which is its last member."""

    def __init__(self, target: BinaryIO) -> None:
        self._archive = tarfile.open(fileobj=target, mode="w:gz", compresslevel=3)  # noqa: SIM115 - closed by `seal`
        self.members: list[dict[str, Any]] = []
        #: What could not be taken, in sentences.
        self.missing: list[str] = []

    def add(self, name: str, content: bytes | str) -> None:
        """Add a member."""
        data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
        self._add(name, BytesIO(data), len(data))

    def add_file(self, name: str, source: BinaryIO) -> None:
        """Add an open file that does not change any more."""
        size = os.fstat(source.fileno()).st_size
        source.seek(0)
        self._add(name, source, size)

    def _add(self, name: str, source: BinaryIO, size: int) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = size, 0o600, int(time.time())
        reader = _Hashing(source)
        self._archive.addfile(entry, reader)
        self.members.append({"name": name, "size": size, "sha256": reader.digest.hexdigest()})

    def seal(self, about: dict[str, Any]) -> None:
        """Write the manifest and end the archive."""
        manifest = {**about, "members": self.members, "missing": self.missing}
        self.add("MANIFEST.json", json.dumps(manifest, indent=1))
        self._archive.close()


class _Hashing:
    """Reads a file, and computes its digest on the way."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Read the next bytes."""
        data = self._source.read(size)
        self.digest.update(data)
        return data


def capture(state_dirs: list[str], run_id: str, fill: Callable[[Bundle], None]) -> dict[str, Any]:
    """Write and seal the archive of a run, in the first directory with room; what is sealed is never written again."""
    trouble: OSError | None = None
    for place in places(state_dirs, run_id):
        try:
            return _capture_in(place, run_id, fill)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            trouble = error
    said = trouble.strerror if trouble else "state_dirs is empty"
    raise StepError(
        f"no room for the evidence in {' or '.join(state_dirs)} ({said}); nothing was changed: make room, or add a "
        "directory to data_breach_state_dirs"
    )


def _capture_in(place: str, run_id: str, fill: Callable[[Bundle], None]) -> dict[str, Any]:
    make_private(place)
    began = time.time()
    partial = _unused(os.path.join(place, f"{ARCHIVE}.partial"))
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w+b") as target:
        bundle = Bundle(target)
        fill(bundle)
        bundle.seal({"run": run_id, "host": os.uname().nodename, "began": began})
        target.flush()
        os.fsync(target.fileno())
    archive = os.path.join(place, ARCHIVE)
    os.rename(partial, archive)
    sync_directory(place)
    seal = {
        "run": run_id,
        "sha256": digest_of(archive),
        "bytes": os.stat(archive).st_size,
        "began": began,
        "sealed": time.time(),
        "members": len(bundle.members),
        "missing": bundle.missing,
    }
    write_whole(os.path.join(place, _SEAL), json.dumps(seal).encode("ascii"))
    return {**seal, "directory": place, "archive": archive}


def _unused(path: str) -> str:
    """Return a name that is not taken: what a killed attempt has left is evidence too."""
    number = 0
    while os.path.lexists(f"{path}{number or ''}"):
        number += 1
    return f"{path}{number or ''}"
