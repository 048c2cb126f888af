"""A stack that is a compose project."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.module_utils.container_log import Entry, last_entries
from ansible.module_utils.remediate_engine import ContainerEngine, EngineError
from ansible.module_utils.stack_program import (
    MISSING,
    RUNNING,
    SECONDS,
    Finished,
    ServiceState,
    StackError,
    plain,
    run_program,
)

#: Run directly and not through `docker compose`: killing the client would leave the plugin it started behind.
_PLUGIN_DIRECTORIES = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
    os.path.expanduser("~/.docker/cli-plugins"),
)
#: What makes a service in a container read its configuration again. Not one signal for all: SIGHUP ends some of them.
#: From inside: whatever `docker kill` sends, the engine takes the container for one that somebody has stopped, and
#: does not start it again when it ends.
_RELOADS = {
    "app": ("sh", "-c", "kill -s USR2 1"),
    "mysql": ("sh", "-c", "kill -s HUP 1"),
    "nginx": ("nginx", "-s", "reload"),
}
#: Beside the project's own file: what a runbook has set. It is read wherever it is there.
_OVERRIDE = "docker-compose.remediate.yml"
_ERASE = "\x1b[2K"
_ENGINE_UNIT = "docker.service"
#: An engine that takes longer to say which version it is does not work.
_ANSWER_SECONDS = 10.0
#: What tells a container that was added to a service from a job that somebody runs once.
_ADDED = "-extra-"


class Compose:
    """A stack that is a compose project."""

    def __init__(self, project_dir: str, compose_file: str) -> None:
        if not project_dir or not compose_file:
            raise StackError(
                "the layout compose needs stack_project_dir and stack_compose_file; nothing was done: "
                "set them in the inventory"
            )
        self._where = ["--ansi", "never", "--project-directory", project_dir]
        self._file = os.path.join(project_dir, compose_file)
        self._override = os.path.join(project_dir, _OVERRIDE)
        self._engine = ContainerEngine()

    def status(self, names: Sequence[str]) -> dict[str, ServiceState]:
        """Return how services are."""
        containers = self._containers()
        return {name: _worst([_container_state(one) for one in containers.get(name, [])]) for name in names}

    def marks(self, names: Sequence[str]) -> dict[str, str]:
        """Return for each service what changes whenever it is started anew."""
        containers = self._containers()
        return {name: " ".join(self._started(one["ID"]) for one in containers.get(name, [])) for name in names}

    def _containers(self) -> dict[str, list[dict[str, Any]]]:
        finished = self._compose("ps", "--all", "--format", "json")
        if finished.code != 0:
            raise StackError(f"the state of the services cannot be told: {finished.last_line}")
        containers: dict[str, list[dict[str, Any]]] = {}
        for one in _listed(finished.output):
            if not _is_one_off(one):
                containers.setdefault(one["Service"], []).append(one)
        return containers

    def _started(self, container: str) -> str:
        try:
            return f"{container} {self._engine.inspect(container)['State']['StartedAt']}"
        except EngineError as error:
            raise StackError(f"whether the services stay up cannot be told: {error}") from error

    def start(self, names: Sequence[str]) -> Finished:
        """Start services, and what they need."""
        # Not `compose start`: it cannot start a service whose container was removed.
        return self._compose("up", "--detach", "--no-recreate", "--no-build", "--pull", "never", *names)

    def stop(self, names: Sequence[str]) -> Finished:
        """Stop services."""
        return self._compose("stop", *names)

    def restart(self, names: Sequence[str]) -> Finished:
        """Restart services; one that does not run is started."""
        states = self.status(names)
        there = [name for name in names if states[name].state != MISSING]
        finished = self._compose("restart", *there) if there else Finished(0, "", "")
        gone = [name for name in names if name not in there]
        return self.start(gone) if gone and finished.code == 0 else finished

    def reload(self, names: Sequence[str]) -> Finished:
        """Make services read their configuration again."""
        if unable := [name for name in names if name not in _RELOADS]:
            raise StackError(
                f"{', '.join(unable)} cannot read the configuration again while running; nothing was done: "
                "restart it instead"
            )
        finished = Finished(0, "", "")
        for name in names:
            finished = self._compose("exec", "--no-TTY", name, *_RELOADS[name])
            if finished.code != 0:
                break
        return finished

    def renew(self, names: Sequence[str]) -> Finished:
        """Make containers anew where their image or settings are no longer those of the project; start them."""
        return self._compose("up", "--detach", "--no-deps", "--no-build", "--pull", "never", *names)

    def run_once(
        self, name: str, argv: Sequence[str], variables: Mapping[str, str], mounts: Mapping[str, str], timeout: float
    ) -> Finished:
        """Run a program as a service would, in a container of its own that is gone afterwards.

        `variables` stand before those of the project; `mounts` are directories of the host, read-only, by their place.
        """
        volumes = [word for place, path in mounts.items() for word in ("--volume", f"{path}:{place}:ro")]
        once = ("run", "--rm", "--no-deps", "--no-TTY", *volumes, name, *argv)
        return self._compose(*once, timeout=timeout, env={**os.environ, **variables})

    def wanted_images(self) -> dict[str, str]:
        """Return the image that the project names for each service."""
        finished = self._compose("config", "--format", "json")
        try:
            services = json.loads(finished.output)["services"]
        except (ValueError, KeyError) as error:
            raise StackError(f"the compose project cannot be read: {finished.last_line}") from error
        return {name: str(one.get("image", "")) for name, one in services.items()}

    def descriptions(self, names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Return the engine's description of each container of services."""
        containers = self._containers()
        try:
            return {name: [self._engine.inspect(one["ID"]) for one in containers.get(name, [])] for name in names}
        except EngineError as error:
            raise StackError(f"the containers of the services cannot be looked at: {error}") from error

    def exec(self, name: str, argv: Sequence[str], timeout: float, **streams: Any) -> Finished:
        """Run a program in the container of a service."""
        return self._compose("exec", "--no-TTY", name, *argv, timeout=timeout, **streams)

    def once(self, name: str, argv: Sequence[str], places: Sequence[str], timeout: float, **streams: Any) -> Finished:
        """Run a program in a container of its own, made like those of a service."""
        mounts = [word for place in places for word in ("--volume", f"{place}:{place}")]
        # The time limit is inside as well: ending the client would leave the container behind.
        inside = ["--entrypoint", "timeout", name, "--signal=KILL", f"{timeout:.0f}", *argv]
        run = ("run", "--rm", "--no-deps", "--no-TTY", *mounts, *inside)
        return self._compose(*run, timeout=timeout + SECONDS, **streams)

    def logs(self, name: str, lines: int) -> str:
        """Return the last lines that a service logged, each with its time."""
        files = self._log_files(name)
        if not files or not all(files):
            return self._told_logs(name, lines)
        try:
            found = [entry for path in files for entry in last_entries(path, lines)]
        except OSError as error:
            raise StackError(f"the log of {name} cannot be read: {error}") from error
        return "\n".join(plain(f"{time} {_bare(text)}") for time, text in sorted(found, key=_when)[-lines:])

    def _log_files(self, name: str) -> list[str]:
        """Return where the engine keeps the logs of a service, one per container; empty for one that is not JSON."""
        try:
            found = [self._engine.inspect(one["ID"]) for one in self._containers().get(name, [])]
        except EngineError as error:
            raise StackError(f"where the log of {name} is cannot be told: {error}") from error
        return [str(one.get("LogPath") or "") if _keeps_json(one) else "" for one in found]

    def _told_logs(self, name: str, lines: int) -> str:
        """Ask the engine for a log that it does not keep as a file of JSON."""
        finished = self._compose("logs", "--no-color", "--no-log-prefix", "--timestamps", "--tail", str(lines), name)
        if finished.code != 0:
            raise StackError(f"the log of {name} cannot be read: {finished.last_line}")
        # What the service printed to its standard error comes apart from the rest: put together by time.
        both = [*finished.output.split("\n"), *finished.errors.split("\n")]
        return "\n".join(plain(line) for line in sorted(filter(None, map(_bare, both)), key=_moment)[-lines:])

    def groups(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the ids of the containers of services: their control groups are called after these."""
        containers = self._containers()
        return {name: tuple(one["ID"] for one in containers.get(name, [])) for name in names}

    def command(self, name: str) -> list[str]:
        """Return the command that the container of a service was made with, without the image's entry point."""
        containers = self._containers().get(name, [])
        if not containers:
            raise StackError(f"the command of {name} cannot be told: it has no container")
        try:
            return list(self._engine.inspect(containers[0]["ID"])["Config"]["Cmd"] or [])
        except EngineError as error:
            raise StackError(f"the command of {name} cannot be told: {error}") from error

    def redefinition(self, name: str, argv: Sequence[str]) -> tuple[str, str]:
        """Return a file beside the project's own that gives a service another command."""
        # JSON is YAML as well; a dollar sign would begin a variable.
        command = json.dumps([word.replace("$", "$$") for word in argv])
        return self._override, f"services:\n  {name}:\n    command: {command}\n"

    def take_up(self, name: str) -> Finished:
        """Make the container of a service anew as the project says by now, or restart it when it says nothing new."""
        before = self.marks([name])
        finished = self._compose("up", "--detach", "--no-build", "--no-deps", "--pull", "never", name)
        return self.restart([name]) if finished.code == 0 and self.marks([name]) == before else finished

    def engine_trouble(self) -> str:
        """Return whether the container engine does not answer."""
        return "" if ContainerEngine(timeout=_ANSWER_SECONDS).available else "the container engine does not answer"

    def revive_engine(self) -> Finished:
        """Start the container engine anew: it may have fallen too often for the service manager to try again."""
        run_program(["systemctl", "--no-ask-password", "reset-failed", _ENGINE_UNIT], SECONDS)
        return run_program(["systemctl", "--no-ask-password", "restart", _ENGINE_UNIT], SECONDS)

    def beside(self, name: str, argv: Sequence[str], timeout: float) -> Finished:
        """Run a program with the files of a service, whether the service runs or not."""
        if self.status([name])[name].running:
            return self.exec(name, argv, timeout)
        once = ("run", "--rm", "--no-deps", "--no-TTY", "--entrypoint", argv[0])
        return self._compose(*once, name, *argv[1:], timeout=timeout)

    def address(self, name: str) -> str:
        """Return where the host reaches a service over the network."""
        for one in self._containers().get(name, []):
            networks = self._told(self._engine.inspect, one["ID"])["NetworkSettings"]["Networks"]
            if found := next((network["IPAddress"] for network in networks.values() if network["IPAddress"]), ""):
                return str(found)
            if "host" in networks:
                return "127.0.0.1"
        raise StackError(f"{name} has no address: none of its containers runs")

    def instances(self, name: str) -> dict[str, ServiceState]:
        """Return every instance of a service: its containers, and those that were added to them and have not ended."""
        own = {one["Name"]: _container_state(one) for one in self._containers().get(name, [])}
        if not own:
            own = self.status([name])
        return own | {one["Name"]: _container_state(one) for one in self._added(name) if one["State"] == RUNNING}

    def spare_instances(self, name: str, count: int) -> list[str]:
        """Return names for so many more instances; always the same ones while nothing changes."""
        own = self._containers().get(name, [])
        if not own:
            raise StackError(f"{name} has no container; nothing was added: start it first")
        taken = {one["Name"] for one in self._added(name) if one["State"] == RUNNING}
        names = (f"{own[0]['Name']}{_ADDED}{number}" for number in itertools.count(1))
        return list(itertools.islice((one for one in names if one not in taken), count))

    def add_instance(self, name: str, instance: str) -> Finished:
        """Start one more instance of a service."""
        for one in self._added(name):
            if one["Name"] == instance:
                self._told(self._engine.remove_container, one["ID"])  # it has ended; one that runs is refused
        return self._compose("run", "--detach", "--no-deps", "--name", instance, name)

    def drop_instance(self, name: str, instance: str) -> None:
        """End an instance that was added, and remove it; it gets the time to finish what it does."""
        for one in self._added(name):
            if one["Name"] == instance:
                self._told(self._engine.stop_container, one["ID"])
                self._told(self._engine.remove_container, one["ID"])

    def restart_instances(self, name: str, instances: Sequence[str]) -> Finished:
        """Restart instances of a service."""
        added = self._added_among(name, instances)
        # Those of the service itself only together; the tool knows no other way.
        finished = self.restart([name]) if len(added) < len(instances) else Finished(0, "", "")
        for container in added:
            self._told(self._engine.restart_container, container)
        return finished

    def stop_instances(self, name: str, instances: Sequence[str]) -> Finished:
        """Stop instances of a service."""
        added = self._added_among(name, instances)
        finished = self.stop([name]) if len(added) < len(instances) else Finished(0, "", "")
        for container in added:
            self._told(self._engine.stop_container, container)
        return finished

    def _added_among(self, name: str, instances: Sequence[str]) -> list[str]:
        return [one["ID"] for one in self._added(name) if one["Name"] in instances]

    def _added(self, name: str) -> list[dict[str, Any]]:
        finished = self._compose("ps", "--all", "--format", "json")
        if finished.code != 0:
            raise StackError(f"the instances of {name} cannot be told: {finished.last_line}")
        once = [one for one in _listed(finished.output) if _is_one_off(one) and one["Service"] == name]
        return [one for one in once if _ADDED in one["Name"]]

    def _told(self, operation: Callable[[str], Any], container: str) -> Any:
        try:
            return operation(container)
        except EngineError as error:
            raise StackError(str(error)) from error

    def log_file(self, name: str) -> str:
        """Return the file that the engine keeps the log of a service in."""
        containers = self._containers().get(name, [])
        if not containers:
            raise StackError(f"{name} has no container, so it has no log")
        try:
            path = self._engine.inspect(containers[0]["ID"]).get("LogPath") or ""
        except EngineError as error:
            raise StackError(f"where the log of {name} is cannot be told: {error}") from error
        if not path:
            raise StackError(f"the log of {name} is not kept in a file: its logging driver is not json-file")
        return str(path)

    def _compose(self, *arguments: str, timeout: float = SECONDS, **options: Any) -> Finished:
        return run_program([_compose_program(), *self._where, *self._files(), *arguments], timeout, **options)

    def _files(self) -> list[str]:
        files = [self._file, *([self._override] if os.path.exists(self._override) else [])]
        return [word for file in files for word in ("--file", file)]


def _compose_program() -> str:
    found = shutil.which("docker-compose", path=os.pathsep.join(_PLUGIN_DIRECTORIES)) or shutil.which("docker-compose")
    if not found:
        raise StackError("the program docker-compose is not on this host; nothing was done: install the compose plugin")
    return found


def _listed(output: str) -> list[dict[str, Any]]:
    """Return what `ps` listed; some versions print an array, others one object per line."""
    try:
        if output.lstrip().startswith("["):
            return list(json.loads(output))
        return [json.loads(line) for line in output.splitlines() if line.strip()]
    except ValueError as error:
        raise StackError(
            f"what docker-compose lists is not understood: {error}; it must be version 2 or later"
        ) from error


def _bare(line: str) -> str:
    """Return a line without the order to erase that some versions put before it, even when told not to."""
    return line.removeprefix(_ERASE).removesuffix("\r")


def _moment(line: str) -> str:
    return line.partition(" ")[0]


def _when(entry: Entry) -> tuple[str, str]:
    return entry.moment


def _keeps_json(container: Mapping[str, Any]) -> bool:
    return str(container.get("HostConfig", {}).get("LogConfig", {}).get("Type", "")) == "json-file"


def _is_one_off(container: Mapping[str, Any]) -> bool:
    """Return whether `compose run` made the container: it says nothing about the service."""
    return "com.docker.compose.oneoff=True" in str(container.get("Labels", "")).split(",")


def _container_state(container: Mapping[str, Any]) -> ServiceState:
    state, health = container["State"], container.get("Health", "")
    detail = str(container.get("Status") or state)
    if state == RUNNING:
        return ServiceState(True, f"running ({health})" if health == "unhealthy" else RUNNING, detail)
    return ServiceState(False, f"exited ({container['ExitCode']})" if state == "exited" else state, detail)


def _worst(states: list[ServiceState]) -> ServiceState:
    """Return the state that a service with several containers is in: the one of the worst of them."""
    if not states:
        return ServiceState(False, MISSING, "there is no container")
    return min(states, key=lambda state: (state.running, state.state == RUNNING))
