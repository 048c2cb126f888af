"""Whether the service lives, is ready, and reaches what it needs. No names and no secrets: anybody may ask."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Event

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from remediate.errors import RemediateError
from remediate.interfaces.http.replies import reply

#: A look at something that is needed; raises RemediateError when it is not there.
Look = Callable[[], object]


class Health:
    """The three questions about health."""

    def __init__(self, stopping: Event, looks: Mapping[str, Look]) -> None:
        self._stopping = stopping
        self._looks = looks

    async def live(self, _request: Request) -> Response:
        """Answer at all."""
        return reply({"status": "alive"})

    async def ready(self, _request: Request) -> Response:
        """Say whether alerts can be taken: not while the service ends, or the record cannot be read."""
        if self._stopping.is_set():
            return reply({"status": "stopping"}, 503)
        found = await run_in_threadpool(_looked, self._looks["store"])
        return reply({"status": "ready"}) if found["connected"] else reply({"status": "not ready"}, 503)

    async def dependencies(self, _request: Request) -> Response:
        """Say of each thing that is needed whether it is there, and how long it took to answer."""
        found = {name: await run_in_threadpool(_looked, look) for name, look in self._looks.items()}
        well = all(one["connected"] for one in found.values())
        return reply({"status": "ok" if well else "failing", "dependencies": found}, 200 if well else 503)


def _looked(look: Look) -> dict[str, bool | float]:
    began = time.perf_counter()
    try:
        look()
    except RemediateError:
        # What is wrong stands in the log, which not everybody reads.
        return {"connected": False, "latency_ms": round((time.perf_counter() - began) * 1000, 2)}
    return {"connected": True, "latency_ms": round((time.perf_counter() - began) * 1000, 2)}
