"""A stack that is a set of units."""

from __future__ import annotations

import glob
import grp
import itertools
import os
import pwd
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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

#: Where instances stand that are started when the host starts.
_ENABLED = "/etc/systemd/system/*.wants"
_DROP_INS = "/etc/systemd/system"


class Systemd:
    """A stack that is a set of units."""

    def __init__(self, units: dict[str, str], services: Iterable[str]) -> None:
        if without := [name for name in services if not units.get(name)]:
            raise StackError(f"stack_units names no unit for {', '.join(without)}; nothing was done: add it")
        self._units = units

    def status(self, names: Sequence[str]) -> dict[str, ServiceState]:
        """Return how services are."""
        if not names:
            return {}
        blocks = self._show(names, "LoadState,ActiveState,SubState,Result")
        return {name: _unit_state(block) for name, block in zip(names, blocks, strict=True)}

    def marks(self, names: Sequence[str]) -> dict[str, str]:
        """Return for each service what changes whenever it is started anew."""
        blocks = self._show(names, "InvocationID")
        return {name: block.get("InvocationID", "") for name, block in zip(names, blocks, strict=True)}

    def places(self, names: Sequence[str]) -> dict[str, str]:
        """Return the directory in which the main process of each service works; none where it does not run."""
        blocks = self._show(names, "MainPID")
        return {name: _directory_of(block.get("MainPID", "0")) for name, block in zip(names, blocks, strict=True)}

    def start(self, names: Sequence[str]) -> Finished:
        """Start services, and what they need."""
        self._forgive(names)
        return self._systemctl("start", names)

    def stop(self, names: Sequence[str]) -> Finished:
        """Stop services."""
        return self._systemctl("stop", names)

    def restart(self, names: Sequence[str]) -> Finished:
        """Restart services; one that does not run is started."""
        self._forgive(names)
        return self._systemctl("restart", names)

    def reload(self, names: Sequence[str]) -> Finished:
        """Make services read their configuration again."""
        blocks = self._show(names, "CanReload")
        able = {name: block.get("CanReload") == "yes" for name, block in zip(names, blocks, strict=True)}
        if unable := [name for name in names if not able[name]]:
            raise StackError(
                f"{', '.join(unable)} cannot read the configuration again while running; nothing was done: "
                "restart it instead"
            )
        return self._systemctl("reload", names)

    def exec(self, name: str, argv: Sequence[str], timeout: float, **streams: Any) -> Finished:
        """Run a program on this host as the user, and in the directory, that a service has."""
        block = dict.fromkeys(("User", "Group", "WorkingDirectory"), "") | _properties(
            self._command("show", ["--property=User,Group,WorkingDirectory"], [self._service_unit(name)]).output
        )
        return run_program(
            argv, timeout, **streams, **_identity(block["User"], block["Group"]), **_place(block["WorkingDirectory"])
        )

    def once(self, name: str, argv: Sequence[str], places: Sequence[str], timeout: float, **streams: Any) -> Finished:
        """Run a program as a service would; every place of the host can be seen anyway."""
        del places
        return self.exec(name, argv, timeout, **streams)

    def logs(self, name: str, lines: int) -> str:
        """Return the last lines that a service logged, each with its time."""
        wanted = ["--lines", str(lines), "--unit", self._service_unit(name)]
        finished = run_program(
            ["journalctl", "--no-pager", "--quiet", "--output", "short-iso-precise", *wanted], SECONDS
        )
        if finished.code != 0:
            raise StackError(f"the log of {name} cannot be read: {finished.last_line}")
        return "\n".join(plain(line) for line in finished.output.rstrip("\n").split("\n"))

    def groups(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the units in whose control groups the processes of services are."""
        return {name: (self._service_unit(name),) for name in names}

    def command(self, name: str) -> list[str]:
        """Return the command of the main process of a service."""
        shown = self._command("show", ["--property=MainPID"], [self._service_unit(name)])
        process = _properties(shown.output).get("MainPID", "0")
        try:
            with open(f"/proc/{int(process) or 'none'}/cmdline", "rb") as source:
                return source.read().decode("utf-8", "surrogateescape").removesuffix("\0").split("\0")
        except (OSError, ValueError) as error:
            raise StackError(f"the command of {name} cannot be told: it has no main process") from error

    def redefinition(self, name: str, argv: Sequence[str]) -> tuple[str, str]:
        """Return a drop-in that gives a service another command."""
        if not os.path.isabs(argv[0]):
            raise StackError(f"the command of {name} does not begin with an absolute path; nothing was done")
        path = os.path.join(_DROP_INS, f"{self._service_unit(name)}.d", "50-remediate.conf")
        return path, f"[Service]\nExecStart=\nExecStart={' '.join(map(_quoted, argv))}\n"

    def take_up(self, name: str) -> Finished:
        """Start a service anew as its unit is by now."""
        read = run_program(["systemctl", "--no-ask-password", "daemon-reload"], SECONDS)
        return self.restart([name]) if read.code == 0 else read

    def engine_trouble(self) -> str:
        """Return nothing: what carries units is the system itself, and who asks runs on it."""
        return ""

    def revive_engine(self) -> Finished:
        """Refuse: there is nothing to start."""
        raise StackError("units have no engine that could be started anew; nothing was done")

    def beside(self, name: str, argv: Sequence[str], timeout: float) -> Finished:
        """Run a program with the files of a service, whether the service runs or not."""
        return self.exec(name, argv, timeout)

    def address(self, name: str) -> str:
        """Return where the host reaches a service over the network: it runs on the host itself."""
        del name
        return "127.0.0.1"

    def instances(self, name: str) -> dict[str, ServiceState]:
        """Return every instance of a service: its unit, and those of the same template that are enabled, or do run."""
        units = list(dict.fromkeys([self._units[name], *self._enabled(name), *self._loaded(name)]))
        output = self._command("show", ["--property=LoadState,ActiveState,SubState,Result"], units).output
        blocks = [_properties(block) for block in output.strip().split("\n\n")]
        if len(blocks) != len(units):
            raise StackError(f"the instances of {name} cannot be told")
        states = {unit: _unit_state(block) for unit, block in zip(units, blocks, strict=True)}
        # One that was started by hand and stopped again is not missed.
        wanted = self._expected(name)
        return {unit: state for unit, state in states.items() if unit in wanted or state.state != "inactive"}

    def spare_instances(self, name: str, count: int) -> list[str]:
        """Return names for so many more instances; always the same ones while nothing changes."""
        prefix, at, _ = self._units[name].partition("@")
        if not at:
            raise StackError(
                f"{self._units[name]} is one unit and no instance of a template, so {name} cannot run more than once; "
                "nothing was added: make it a template unit (NAME@.service)"
            )
        taken = {unit for unit, state in self.instances(name).items() if state.running or unit in self._expected(name)}
        names = (f"{prefix}@{number}.service" for number in itertools.count(1))
        return list(itertools.islice((one for one in names if one not in taken), count))

    def add_instance(self, name: str, instance: str) -> Finished:
        """Start one more instance of a service; it is not enabled, so it is gone after a reboot."""
        del name
        return self._command("start", [], [instance])

    def drop_instance(self, name: str, instance: str) -> None:
        """End an instance that was added; it gets the time to finish what it does."""
        if instance in self._expected(name):
            raise StackError(f"{instance} belongs to {name} for good and is left alone")
        if (finished := self._command("stop", [], [instance])).code != 0:
            raise StackError(f"could not stop {instance}: {finished.last_line}")

    def restart_instances(self, name: str, instances: Sequence[str]) -> Finished:
        """Restart instances of a service; one that does not run is started."""
        del name
        # A unit that fell too often must be forgiven first; of one that did not, this says nothing that matters.
        self._command("reset-failed", [], instances)
        return self._command("restart", [], instances)

    def stop_instances(self, name: str, instances: Sequence[str]) -> Finished:
        """Stop instances of a service."""
        del name
        return self._command("stop", [], instances)

    def _expected(self, name: str) -> set[str]:
        return {self._units[name], *self._enabled(name)}

    def _enabled(self, name: str) -> list[str]:
        prefix, at, _ = self._units[name].partition("@")
        found = glob.glob(f"{_ENABLED}/{glob.escape(prefix)}@?*.service") if at else []
        return sorted(os.path.basename(path) for path in found)

    def _loaded(self, name: str) -> list[str]:
        prefix, at, _ = self._units[name].partition("@")
        if not at:
            return []
        listed = self._command("list-units", ["--all", "--plain", "--no-legend", "--full"], [f"{prefix}@*.service"])
        if listed.code != 0:
            raise StackError(f"the instances of {name} cannot be told: {listed.last_line}")
        return [line.split()[0] for line in listed.output.splitlines() if line.strip()]

    def log_file(self, name: str) -> str:
        """Say that a unit has no log file that could be found by its name."""
        raise StackError(f"which file {name} logs into is not known for a unit: name the file in the inventory")

    def _forgive(self, names: Sequence[str]) -> None:
        """Let a unit that fell too often start again; only a failed one can be forgiven."""
        if failed := [name for name, state in self.status(names).items() if state.state.startswith("failed")]:
            self._systemctl("reset-failed", failed)

    def _service_unit(self, name: str) -> str:
        """Return the unit that has the processes: a timer only starts another one of the same name."""
        unit = self._units[name]
        return unit.removesuffix(".timer") + ".service" if unit.endswith(".timer") else unit

    def _show(self, names: Sequence[str], properties: str) -> list[dict[str, str]]:
        # By position and not by Id: a unit can be asked for by another of its names.
        finished = self._systemctl("show", names, f"--property={properties}")
        blocks = [_properties(block) for block in finished.output.strip().split("\n\n")]
        if finished.code != 0 or len(blocks) != len(names):
            raise StackError(f"the state of {', '.join(names)} cannot be told: {finished.last_line}")
        return blocks

    def _systemctl(self, verb: str, names: Sequence[str], *options: str) -> Finished:
        return self._command(verb, options, [self._units[name] for name in names])

    def _command(self, verb: str, options: Sequence[str], units: Sequence[str]) -> Finished:
        return run_program(["systemctl", "--no-ask-password", verb, *options, "--", *units], SECONDS)


def _directory_of(process: str) -> str:
    try:
        return os.readlink(f"/proc/{int(process)}/cwd") if process != "0" else ""
    except (OSError, ValueError):
        return ""  # it has ended meanwhile


def _quoted(word: str) -> str:
    """Return a word of a command as units are written: nothing in it means anything."""
    if any(ord(character) < 32 for character in word):
        raise StackError("the command of a service has a control character in it; nothing was done")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def _properties(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _unit_state(block: Mapping[str, str]) -> ServiceState:
    load, active, sub = (block.get(name, "") for name in ("LoadState", "ActiveState", "SubState"))
    if load != "loaded":
        return ServiceState(False, MISSING if load == "not-found" else load, f"the unit is {load}")
    detail = f"{active}, {sub}"
    if active in {"active", "reloading", "refreshing"}:
        return ServiceState(True, RUNNING, detail)
    if active == "activating":
        return ServiceState(False, "restarting" if sub.startswith("auto-restart") else "starting", detail)
    if active == "failed":
        return ServiceState(False, f"failed ({block.get('Result', '')})", detail)
    return ServiceState(False, active, detail)


def _identity(user: str, group: str) -> dict[str, Any]:
    """Return the arguments that start a program as the user of a unit; what it writes then belongs to the service."""
    if not user or os.geteuid() != 0:
        return {}
    try:
        account = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
        main = account.pw_gid if not group else int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise StackError(f"the service runs as {user}:{group or user}, which this host does not know") from error
    return {"user": account.pw_uid, "group": main, "extra_groups": os.getgrouplist(account.pw_name, main)}


def _place(working_directory: str) -> dict[str, Any]:
    path = working_directory.lstrip("!-")
    return {"cwd": path if os.path.isabs(path) and os.path.isdir(path) else "/"}
