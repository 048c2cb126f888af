"""Ports that pass named points before and after whatever they write, where `REMEDIATE_FAULT` asks for that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar, cast

from remediate.engine.executor_ports import Executor, PhaseRequest
from remediate.faults import STEPS, armed, reach

_Port = TypeVar("_Port")


def watched(port: _Port, name: str) -> _Port:
    """Return a port that passes its points, when a fault was asked for; otherwise the port itself."""
    if not armed():
        return port
    kind = {"store": _PassingStore, "executor": _PassingExecutor}.get(name, _Passing)
    return cast("_Port", kind(port, name))


class _Passing:
    """A port of which every method that writes passes a point before and one after."""

    def __init__(self, port: Any, name: str) -> None:
        self._port = port
        self._name = name

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._port, method)
        return self._around(found, f"{self._name}.{method}") if method in STEPS[self._name] else found

    def _around(self, method: Callable[..., Any], step: str) -> Callable[..., Any]:
        def passing(*arguments: Any, **named: Any) -> Any:
            reach(f"{step}.before")
            answer = method(*arguments, **named)
            reach(f"{step}.after")
            return answer

        return passing


class _PassingStore(_Passing):
    """The store: the commit of a transaction that several writes share is a step of its own."""

    def __init__(self, port: Any, name: str) -> None:
        super().__init__(port, name)
        self._depth = threading.local()

    def together(self, *, urgent: bool = False) -> AbstractContextManager[object]:
        """Open a transaction; only the outermost one of a thread commits."""
        return self._port.together() if getattr(self._depth, "inside", False) else self._outermost(urgent=urgent)

    @contextmanager
    def _outermost(self, *, urgent: bool) -> Iterator[object]:
        self._depth.inside = True
        try:
            with self._port.together(urgent=urgent) as transaction:
                yield transaction
                reach("store.together.commit.before")
        finally:
            self._depth.inside = False
        reach("store.together.commit.after")


class _PassingExecutor(_Passing):
    """The executor: each phase is a step of its own."""

    _port: Executor

    def run_phase(self, request: PhaseRequest, *arguments: Any) -> Any:
        """Run a phase; the dry run of a fix is told apart from the fix."""
        step = f"executor.run_phase.{request.phase.value}{'-check' if request.check else ''}"
        return self._around(self._port.run_phase, step)(request, *arguments)
