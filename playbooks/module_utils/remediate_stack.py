"""Services of a stack by their names, whichever way the stack is laid out on this host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from ansible.module_utils.stack_compose import Compose
from ansible.module_utils.stack_program import MISSING, RUNNING, SECONDS, Finished, ServiceState, StackError
from ansible.module_utils.stack_systemd import Systemd

__all__ = ["MISSING", "RUNNING", "ServiceState", "Stack", "StackError"]

#: A service that falls over within this pause has not started.
_PAUSE = 1.0
#: States that change by themselves: worth another look.
_MOVING = ("restarting", "starting", "created")


class _Layout(Protocol):
    def status(self, names: Sequence[str]) -> dict[str, ServiceState]: ...
    def marks(self, names: Sequence[str]) -> dict[str, str]: ...
    def start(self, names: Sequence[str]) -> Finished: ...
    def stop(self, names: Sequence[str]) -> Finished: ...
    def restart(self, names: Sequence[str]) -> Finished: ...
    def reload(self, names: Sequence[str]) -> Finished: ...
    def once(
        self, name: str, argv: Sequence[str], places: Sequence[str], timeout: float, **streams: Any
    ) -> Finished: ...
    def exec(self, name: str, argv: Sequence[str], timeout: float, **streams: Any) -> Finished: ...
    def logs(self, name: str, lines: int) -> str: ...
    def groups(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]: ...
    def command(self, name: str) -> list[str]: ...
    def redefinition(self, name: str, argv: Sequence[str]) -> tuple[str, str]: ...
    def take_up(self, name: str) -> Finished: ...
    def engine_trouble(self) -> str: ...
    def revive_engine(self) -> Finished: ...
    def beside(self, name: str, argv: Sequence[str], timeout: float) -> Finished: ...
    def address(self, name: str) -> str: ...
    def instances(self, name: str) -> dict[str, ServiceState]: ...
    def spare_instances(self, name: str, count: int) -> list[str]: ...
    def add_instance(self, name: str, instance: str) -> Finished: ...
    def drop_instance(self, name: str, instance: str) -> None: ...
    def restart_instances(self, name: str, instances: Sequence[str]) -> Finished: ...
    def stop_instances(self, name: str, instances: Sequence[str]) -> Finished: ...
    def log_file(self, name: str) -> str: ...


class Stack:
    """The stack of this host. Raises StackError for a layout or a service that it does not know."""

    def __init__(
        self,
        layout: str,
        services: Iterable[str],
        project_dir: str = "",
        compose_file: str = "",
        units: Mapping[str, str] | None = None,
    ) -> None:
        self._services = list(services)
        if layout == "compose":
            self._layout: _Layout = Compose(project_dir, compose_file)
        elif layout == "systemd":
            self._layout = Systemd(dict(units or {}), self._services)
        else:
            said = f"stack_layout is {layout!r}" if layout else "stack_layout is not set"
            raise StackError(f"{said} for this host; nothing was done: set it to compose or systemd in the inventory")

    @property
    def services(self) -> list[str]:
        """The names of all services of the stack."""
        return list(self._services)

    def status(self) -> dict[str, ServiceState]:
        """Return how every service of the stack is, after one question to the host."""
        return self._layout.status(self._services)

    def start(self, names: Iterable[str]) -> None:
        """Start services, and wait until they run."""
        self._operate("start", self._layout.start, names, runs_after=True)

    def stop(self, names: Iterable[str]) -> None:
        """Stop services, and wait until they have ended."""
        self._operate("stop", self._layout.stop, names, runs_after=False)

    def restart(self, names: Iterable[str]) -> None:
        """Restart services (one that does not run is started), and wait until they run."""
        self._operate("restart", self._layout.restart, names, runs_after=True)

    def reload(self, names: Iterable[str]) -> None:
        """Make running services read their configuration again, and see them still running."""
        self._operate("reload", self._layout.reload, names, runs_after=True)

    def exec(self, name: str, argv: Sequence[str], timeout: float = SECONDS, **streams: Any) -> tuple[int, str, str]:
        """Run a program where the service runs, as the user it runs as; return exit code, output and errors.

        Of `streams`, `given` is text that it reads, or `stdin` an open descriptor, and `stdout` takes what it prints.
        """
        self._known([name])
        return tuple(self._layout.exec(name, argv, timeout, **streams))

    def once(
        self, name: str, argv: Sequence[str], places: Sequence[str], timeout: float = SECONDS, **streams: Any
    ) -> tuple[int, str, str]:
        """Run a program as a service would run, while the service itself may be down; answers as `exec` does.

        The directories `places` of the host are there under the names that they have on the host.
        """
        self._known([name])
        return tuple(self._layout.once(name, argv, places, timeout, **streams))

    def logs(self, name: str, lines: int) -> str:
        """Return the last lines that a service logged, each with its time."""
        self._known([name])
        return self._layout.logs(name, lines)

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return for each service the names by which the control groups of its processes are told."""
        return self._layout.groups(self._services)

    def command(self, name: str) -> list[str]:
        """Return the command that a running service was started with."""
        self._known([name])
        return self._layout.command(name)

    def redefinition(self, name: str, argv: Sequence[str]) -> tuple[str, str]:
        """Return path and content of a file that gives a service another command, without its own definition."""
        self._known([name])
        return self._layout.redefinition(name, argv)

    def take_up(self, name: str) -> None:
        """Start a service anew as its definition is by now, and wait until it runs."""
        self._operate("restart", lambda names: self._layout.take_up(names[0]), [name], runs_after=True)

    def engine_trouble(self) -> str:
        """Return why what carries the services does not work, or nothing; some layouts have nothing of the kind."""
        return self._layout.engine_trouble()

    def revive_engine(self) -> None:
        """Start what carries the services anew, and wait until it works."""
        finished = self._layout.revive_engine()
        if finished.code != 0:
            raise StackError(f"could not revive what carries the services: {finished.last_line}")
        give_up = time.monotonic() + SECONDS
        while trouble := self._layout.engine_trouble():
            if time.monotonic() > give_up:
                raise StackError(f"was started anew and does not work yet: {trouble}")
            time.sleep(_PAUSE)

    def beside(self, name: str, argv: Sequence[str], timeout: float = SECONDS) -> tuple[int, str, str]:
        """Run a program with the files and as the user of a service, whether the service runs or not."""
        self._known([name])
        return tuple(self._layout.beside(name, argv, timeout))

    def address(self, name: str) -> str:
        """Return where the host reaches a service that runs over the network."""
        self._known([name])
        return self._layout.address(name)

    def instances(self, name: str) -> dict[str, ServiceState]:
        """Return every instance of a service, those that were added included, and how each is."""
        self._known([name])
        return self._layout.instances(name)

    def spare_instances(self, name: str, count: int) -> list[str]:
        """Return the names that so many more instances of a service would have."""
        self._known([name])
        return self._layout.spare_instances(name, count)

    def add_instance(self, name: str, instance: str) -> bool:
        """Start one more instance of a service, and see it run; return whether it was not there yet."""
        self._known([name])
        there = self._layout.instances(name).get(instance)
        if there and there.running:
            return False
        finished = self._layout.add_instance(name, instance)
        if finished.code != 0:
            raise StackError(f"could not add {instance}: {finished.last_line}")
        self._see_running(name, [instance])
        return True

    def drop_instance(self, name: str, instance: str) -> None:
        """End an instance that was added, and see it gone."""
        self._known([name])
        self._layout.drop_instance(name, instance)
        there = self._layout.instances(name).get(instance)
        if there and there.running:
            raise StackError(f"could not end {instance}: it is still running")

    def restart_instances(self, name: str, instances: Sequence[str]) -> None:
        """Restart instances of a service (one that does not run is started), and see them run."""
        self._known([name])
        finished = self._layout.restart_instances(name, instances)
        if finished.code != 0:
            raise StackError(f"could not restart {', '.join(instances)}: {finished.last_line}")
        self._see_running(name, instances)

    def stop_instances(self, name: str, instances: Sequence[str]) -> None:
        """Stop instances of a service; they stay instances of it, and can be restarted."""
        self._known([name])
        finished = self._layout.stop_instances(name, instances)
        if finished.code != 0:
            raise StackError(f"could not stop {', '.join(instances)}: {finished.last_line}")
        states = self._layout.instances(name)
        if still := [one for one in instances if one in states and states[one].running]:
            raise StackError(f"could not stop {', '.join(still)}: still running")

    def _see_running(self, name: str, instances: Sequence[str]) -> None:
        time.sleep(_PAUSE)
        states = self._layout.instances(name)
        for instance in instances:
            state = states.get(instance)
            if state is None or not state.running:
                said = f"{state.state} ({state.detail})" if state else MISSING
                raise StackError(f"{instance} does not stay up: it is {said}; read its log")

    def log_file(self, name: str) -> str:
        """Return the file that the output of a service is kept in; raises StackError where there is none."""
        self._known([name])
        return self._layout.log_file(name)

    def _known(self, names: Iterable[str]) -> list[str]:
        wanted = list(dict.fromkeys(names))
        if unknown := [name for name in wanted if name not in self._services]:
            raise StackError(
                f"the stack of this host has no service {', '.join(unknown)}; nothing was done: "
                f"it has {', '.join(self._services) or 'no services at all, see stack_services'}"
            )
        return wanted

    def _operate(
        self, verb: str, operation: Callable[[Sequence[str]], Finished], names: Iterable[str], *, runs_after: bool
    ) -> None:
        wanted = self._known(names)
        if not wanted:
            return
        give_up = time.monotonic() + SECONDS
        finished = operation(wanted)
        if finished.code != 0:
            raise StackError(f"could not {verb} {', '.join(wanted)}: {finished.last_line}")
        if runs_after:
            # Even after a slow operation there is time for the two looks that it takes.
            self._wait_until_running(verb, wanted, max(give_up, time.monotonic() + 3 * _PAUSE))
        elif still := [name for name, state in self._layout.status(wanted).items() if state.running]:
            raise StackError(f"could not {verb} {', '.join(still)}: still running, or started again by something else")

    def _wait_until_running(self, verb: str, wanted: list[str], give_up: float) -> None:
        marks: dict[str, str] = {}
        while True:
            before, marks = marks, self._layout.marks(wanted)
            states = self._layout.status(wanted)
            unwell = {name: state.state for name, state in states.items() if not state.running}
            # Running both times is not enough: it can have fallen and been started again between two looks.
            unwell = unwell or {name: "falling again and again" for name in wanted if marks[name] != before.get(name)}
            if not unwell:
                return
            final = any(not state.running and state.state not in _MOVING for state in states.values())
            if final or time.monotonic() > give_up:
                said = ", ".join(f"{name} is {state} ({states[name].detail})" for name, state in unwell.items())
                raise StackError(f"could not {verb} {', '.join(unwell)}: {said}; read its log")
            time.sleep(_PAUSE)
