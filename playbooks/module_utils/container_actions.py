"""Removes what the container engine keeps, after what can be held of it is held."""

from __future__ import annotations

import hashlib
import json
import os

from ansible.module_utils.container_consumers import started
from ansible.module_utils.disk_candidate import Candidate
from ansible.module_utils.engine_room import lent_room
from ansible.module_utils.hold import Changed, Entry, Pack
from ansible.module_utils.remediate_engine import ContainerEngine
from ansible.module_utils.run_state import write_whole


def remove_image(socket: str, candidate: Candidate, pack: Pack | None) -> None:
    """Remove an image that still has no name; with a pack it is saved there first."""
    engine = ContainerEngine(socket)
    if candidate.target not in {image.id for image in engine.dangling_images()}:
        raise Changed("it has a name or a container by now, or is gone")
    if pack is not None:
        with lent_room(engine.root(), os.path.dirname(pack.path), candidate.details["size"]):
            _save(engine, candidate.target, pack)
    engine.remove_image(candidate.target)


def _save(engine: ContainerEngine, image: str, pack: Pack) -> None:
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(pack.data, flags, 0o600), "w+b") as target:
        size = engine.save_image(image, target)
        target.flush()
        os.fsync(target.fileno())
        target.seek(0)
        digest = hashlib.file_digest(target, "sha256").hexdigest()
    pack.finish([Entry(image, 0, size, digest, 0, 0, 0o600, 0, 0, 0)])


def load_image(socket: str, pack: Pack) -> None:
    """Put a saved image back."""
    engine = ContainerEngine(socket)
    size = os.stat(pack.data).st_size
    with lent_room(engine.root(), os.path.dirname(pack.path), size), open(pack.data, "rb") as source:
        engine.load_image(source, size)


def remove_container(socket: str, candidate: Candidate, pack: Pack) -> None:
    """Remove a container that has not been started since; its description is kept, its volumes stay."""
    engine = ContainerEngine(socket)
    record = engine.inspect(candidate.details["id"])
    if record["State"]["Running"] or started(record) != candidate.details["started"]:
        raise Changed("it was started again since the snapshot")
    write_whole(f"{pack.path}.container.json", json.dumps(record).encode("ascii"))
    engine.remove_container(candidate.details["id"])
