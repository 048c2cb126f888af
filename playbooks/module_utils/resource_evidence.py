"""What can be seen of a host that is short of something, kept before anything is restarted."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_scene import Scene
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.process_table import Use
from ansible.module_utils.resource_causes import of_services
from ansible.module_utils.run_state import make_private, write_whole

#: So many processes have their memory mapped out, and so much of each map is kept.
_MAPPED = 10
_MAP_BYTES = 65536
_PROCESSES = 400


class KeepEvidence(Kind):
    """Keeps what was seen in the run's own directory; the fix goes on only while it is there, whole."""

    def __init__(self, seen: Callable[[], Scene], most: int) -> None:
        self._seen = seen
        self._most = most

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Write all of it down, within a bound."""
        make_private(keep)
        left, digests = self._most, {}
        for name, content in documents(self._seen()):
            kept = content.encode("utf-8", "backslashreplace")[: max(0, left)]
            left -= len(kept)
            write_whole(os.path.join(keep, name), kept)
            digests[name] = hashlib.sha256(kept).hexdigest()
        return {"directory": keep, "digests": digests}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """See that the evidence is there before anything takes it away from the host."""
        for name, digest in saved["digests"].items():
            path = os.path.join(saved["directory"], name)
            try:
                with open(path, "rb") as source:
                    found = hashlib.sha256(source.read()).hexdigest()
            except OSError as error:
                raise StepError(f"the evidence {path} cannot be read ({error.strerror}); nothing was done") from error
            if found != digest:
                raise StepError(f"the evidence {path} was changed since it was written; nothing was done")
        return False


def documents(scene: Scene) -> Iterable[tuple[str, str]]:
    """Yield name and content of each piece of evidence, what is most telling first."""
    uses = [use.record() for use in scene.uses[:_PROCESSES]]
    yield "host.json", _json({"host": scene.pressure.record(), "services": of_services(scene), "unseen": scene.unseen})
    yield "queries.json", _json([asdict(query) for query in scene.queries or []])
    yield "connections.json", _json({"nginx": scene.nginx and asdict(scene.nginx), "redis": _redis(scene)})
    yield "processes.json", _json(uses)
    yield "memory.txt", "".join(_memory(scene.uses))


def _redis(scene: Scene) -> dict[str, Any] | None:
    return asdict(scene.redis) if scene.redis else None


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=True) + "\n"


def _memory(uses: Iterable[Use]) -> Iterable[str]:
    yield _kept("/proc/meminfo")
    for use in sorted(uses, key=lambda use: -use.process.memory)[:_MAPPED]:
        place = f"/proc/{use.process.pid}"
        yield f"\n== {use.process.name} {use.process.pid}\n{_kept(f'{place}/smaps_rollup')}{_kept(f'{place}/maps')}"


def _kept(path: str) -> str:
    try:
        with open(path, "rb") as source:
            return source.read(_MAP_BYTES).decode("utf-8", "backslashreplace")
    except OSError as error:
        return f"{path}: {error.strerror}\n"
