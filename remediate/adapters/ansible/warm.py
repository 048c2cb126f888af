"""The warm parent: a process that has imported Ansible once and forks for each command.

Starting Ansible costs half a second of imports; a fork of a process that has done them costs a few milliseconds, which
is what makes five phases of a run affordable (docs/adr/0003). A fork is used for one command only, so nothing of one
command is seen by the next. A command whose Ansible settings differ from those imported is started cold instead.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from remediate.adapters.ansible.processes import die_with_parent

#: The commands that a warm parent stands in for.
COMMANDS = ("ansible-playbook", "ansible-inventory")

#: Plugins that every play on a real host needs. Not the callback of ansible-runner, which reads its settings of the run
#: when it is imported.
_PLUGINS = {
    "action": ("normal", "set_stats", "validate_argument_spec"),
    "cache": ("memory",),
    "callback": ("default", "junit", "minimal", "oneline", "tree"),
    "inventory": ("auto", "host_list", "ini", "script", "toml", "yaml"),
    "strategy": ("linear",),
}
#: Of these a play reads the documentation of each plugin that there is, before its first task.
_READ_WHOLE = ("become", "connection", "shell")


def write_launcher(session: Path, command: str) -> Path:
    """Write the executable that stands in for an Ansible command in this session."""
    path = session / command
    launcher = Path(__file__).with_name("launcher.py")
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{launcher}" "{session / "warm.sock"}" {command} "$@"\n')
    path.chmod(0o700)
    return path


def start(session: Path, environment: Mapping[str, str]) -> int:
    """Fork the warm parent and return its process id; must be called before this process has threads."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(session / "warm.sock"))
    listener.listen(64)
    process = os.fork()
    if process:
        listener.close()
        return process
    die_with_parent()
    _leave_the_pipes(listener.fileno())
    os.environ.clear()
    os.environ.update(environment)
    _import_ansible()
    _serve(listener, environment)
    os._exit(0)


def _leave_the_pipes(listener: int) -> None:
    """Let go of the supervisor's pipes, or the program would not see them end when it dies."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.closerange(3, listener)
    os.closerange(listener + 1, os.sysconf("SC_OPEN_MAX"))


def _import_ansible() -> None:
    # All of these are what a playbook run imports; doing it here is the whole point of this module.
    import ansible.cli.inventory  # noqa: PLC0415  # in the fork, never in the supervisor
    import ansible.cli.playbook  # noqa: PLC0415  # in the fork, never in the supervisor
    import ansible.executor.playbook_executor  # noqa: PLC0415  # in the fork, never in the supervisor
    import ansible.executor.process.worker  # noqa: PLC0415  # in the fork, never in the supervisor
    import ansible.executor.task_queue_manager  # noqa: F401, PLC0415  # in the fork, never in the supervisor
    from ansible.plugins import loader  # noqa: PLC0415  # in the fork, never in the supervisor

    # Ansible's own redirections are a large document; the command line would read it again for every command.
    loader.init_plugin_loader()
    importlib.import_module("ansible_collections.ansible.builtin")
    # As a plain module: the loader of such remembers which it has given out, and would not give it to a fork again.
    importlib.import_module("ansible.plugins.vars.host_group_vars")
    # What a plugin can be told stands as YAML in its documentation: to read it is a third of a short play.
    for kind, names in _PLUGINS.items():
        for name in names:
            getattr(loader, f"{kind}_loader").get(name, class_only=True)
    for kind in _READ_WHOLE:
        list(getattr(loader, f"{kind}_loader").all(class_only=True))
    # No fork needs to look at all of this again for what it could free; looking also copies the memory.
    gc.collect()
    gc.freeze()


def _serve(listener: socket.socket, imported: Mapping[str, str]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            os._exit(_answer(connection, imported))
        connection.close()


def _answer(connection: socket.socket, imported: Mapping[str, str]) -> int:
    """Run one command in a further fork and send back its exit code."""
    die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    process = os.fork()
    if process == 0:
        die_with_parent()
        connection.close()
        _become(json.loads(request), descriptors, imported)
    for descriptor in descriptors:
        os.close(descriptor)
    _, status = os.waitpid(process, 0)
    with suppress(OSError):
        connection.send(str(os.waitstatus_to_exitcode(status) & 0xFF).encode())
    return 0


def _become(request: Mapping[str, object], descriptors: list[int], imported: Mapping[str, str]) -> None:
    """Turn this fork into the command; never returns."""
    command, arguments = str(request["command"]), [str(argument) for argument in _list(request["arguments"])]
    environment = {str(name): str(value) for name, value in _mapping(request["environment"]).items()}
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(str(request["directory"]))
    os.environ.clear()
    os.environ.update(environment)
    if command not in COMMANDS or _ansible_part(environment) != _ansible_part(imported):
        os.execve(Path(sys.executable).parent / command, [command, *arguments], environment)  # noqa: S606  # a list of arguments, no shell
    os._exit(_run(command, arguments, environment))


def _run(command: str, arguments: list[str], environment: Mapping[str, str]) -> int:
    from ansible import constants  # noqa: PLC0415  # in the fork, never in the supervisor
    from ansible.cli.inventory import InventoryCLI  # noqa: PLC0415  # in the fork, never in the supervisor
    from ansible.cli.playbook import PlaybookCLI  # noqa: PLC0415  # in the fork, never in the supervisor

    # As the environment says to a command that is started cold; this interpreter has begun without looking there.
    sys.dont_write_bytecode = True
    # What init_plugin_loader did in the warm parent serves here as well.
    warnings.filterwarnings("ignore", message="AnsibleCollectionFinder has already been configured")
    # Where the run's packed modules are: those of another run only where all that decides them is the same (ADR 22).
    constants.DEFAULT_LOCAL_TMP = environment["REMEDIATE_LOCAL_TMP"]
    code = 0
    try:
        cli = PlaybookCLI if command == "ansible-playbook" else InventoryCLI
        cli.cli_executor([command, *arguments])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _ansible_part(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("ANSIBLE_")}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> dict[object, object]:
    return value if isinstance(value, dict) else {}
