"""What the container engine keeps on a full disk: images, build cache, stopped containers, logs of running ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.disk_candidate import Candidate
from ansible.module_utils.file_consumers import Look, truncate
from ansible.module_utils.remediate_engine import ContainerEngine, EngineError, LogFile
from ansible.module_utils.safe_files import Directory, split

#: No project is named to the engine: a container of any compose project stays.
_ANY_PROJECT = ""


def container_candidates(look: Look) -> list[Candidate]:
    """Return what of the container engine's could go; nothing where there is no engine or its disk is not full."""
    engine = ContainerEngine(look.parameters["engine_socket"])
    if not engine.available:
        return []
    try:
        look.engine_root = engine.root()
        device = os.stat(look.engine_root).st_dev
        if device not in look.full:
            return []
        images = list(dangling_images(engine, device))
        return [
            *images,
            *build_cache(engine, device, after_images=bool(images)),
            *stopped_containers(look, engine, device),
            *container_logs(look, engine),
        ]
    except (EngineError, OSError) as error:
        look.note(f"what the container engine keeps was not looked at: {error}")
        return []


def dangling_images(engine: ContainerEngine, device: int) -> Iterator[Candidate]:
    """Images without a name that no container uses."""
    for image in engine.dangling_images():
        yield Candidate(
            cause="container_images",
            verb="remove",
            target=image.id,
            device=device,
            bytes=image.bytes,
            inodes=0,
            note="an image without a name that no container uses",
            age_key=image.created,
            details={"kind": "image", "size": engine.image_size(image.id)},
        )


def build_cache(engine: ContainerEngine, device: int, *, after_images: bool) -> Iterator[Candidate]:
    """Everything of the build cache that no build is using now.

    What it shares with images without a name is freed only when both are gone, so it goes whenever they do.
    """
    cache = engine.build_cache()
    shared = bool(after_images and cache.shared)
    if cache.bytes or shared:
        yield Candidate(
            cause="build_cache",
            verb="prune",
            target="build cache",
            device=device,
            bytes=cache.bytes,
            inodes=0,
            undo="none",
            note="the next build makes it again",
            details={"follows": "container_images"} if shared else {},
        )


def stopped_containers(look: Look, engine: ContainerEngine, device: int) -> Iterator[Candidate]:
    """Containers that ended long ago, are in no compose project, and are not started again by the engine."""
    hours = look.parameters["container_hours"]
    for one in engine.stopped_containers(_ANY_PROJECT, hours * 3600):
        yield Candidate(
            cause="stopped_containers",
            verb="remove",
            target=one.name,
            device=device,
            bytes=one.bytes,
            inodes=0,
            undo="none",
            note="it ended; its volumes stay, its description is kept",
            age_key=int(one.finished_at),
            details={"kind": "container", "id": one.id, "started": started(engine.inspect(one.id))},
        )


def started(record: dict[str, Any]) -> str:
    """Return when a container was last started."""
    return str(record["State"]["StartedAt"])


def container_logs(look: Look, engine: ContainerEngine) -> Iterator[Candidate]:
    """Logs of running containers that the engine writes as files."""
    for log in engine.running_logs():
        if log.path.startswith(look.engine_root.rstrip("/") + "/"):
            yield from _container_log(look, log)


def _container_log(look: Look, log: LogFile) -> Iterator[Candidate]:
    directory_path, name = split(log.path)
    with Directory(directory_path) as directory:
        status = directory.status(name)
    if status.st_dev not in look.full or status.st_blocks * 512 <= look.parameters["log_tail"]:
        return
    if all(handle.appends for handle in look.users(status) if handle.writes):
        note = f"the log of {log.container}: afterwards read it with --since; --tail may wait until it is started anew"
        yield truncate("container_logs", log.path, log.path, status).with_undo("held", note)
    else:
        look.note(f"{log.path} was left alone: the engine does not append to it, so emptying it would leave a hole")
