"""The unit that follows the binary log of a source: what it consists of, how it is, and putting it up."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import json
import os
import time
import zlib
from dataclasses import dataclass
from typing import Any

from ansible.module_utils import stream_follower
from ansible.module_utils.backup_manifest import this_machine
from ansible.module_utils.host_step import StepError
from ansible.module_utils.run_state import make_private, write_whole
from ansible.module_utils.stack_program import run_program

_PACKAGE = "ansible.module_utils"
_PROGRAM = f"{_PACKAGE}.stream_follower"
_UNITS = "/etc/systemd/system"
_SECONDS = 60.0
_BEGIN_SECONDS = 30.0
#: So long may the last proof that everything is here be ago: it is sought every five seconds.
FRESH_SECONDS = 30.0


@dataclass(frozen=True)
class StreamState:
    """How the stream of a source is. Moments are seconds since 1970."""

    #: What is wrong with the unit: not there, another one, not running; or nothing.
    unit: str
    #: Everything that was committed before this is here.
    point: float
    #: How long the server's last known position took to come; less than 0 before the first time.
    lag: float
    #: The directory of the present start.
    start: str
    #: What the server said when it was asked, or why the stream ended; or nothing.
    error: str
    #: That the stream could not go on where it had ended; or nothing.
    broken: str
    #: Why the server does not wait for the stream though it should; or nothing.
    semi_sync: str = ""


class StreamUnit:
    """The stream of one source."""

    def __init__(self, source: dict[str, Any], settings: dict[str, Any]) -> None:
        self.source = str(source["name"])
        self._stream = source["stream"]
        self._settings = settings
        self.root = os.path.join(settings["stream_dir"], self.source)
        self._library = os.path.join(settings["stream_dir"], ".program")
        self.name = f"remediate-stream-{self.source}.service"

    def state(self) -> StreamState:
        """Look at it."""
        status: dict[str, Any] = {}
        try:
            with open(os.path.join(self.root, stream_follower.STATUS), encoding="ascii") as source:
                status = json.load(source)
        except (OSError, ValueError):
            pass
        return StreamState(
            self._unit_trouble(),
            float(status.get("point", 0.0)),
            float(status.get("lag", -1.0)),
            str(status.get("start", "")),
            str(status.get("error", "")),
            str(status.get("broken", "")),
            str(status.get("semi_sync", "")),
        )

    def _unit_trouble(self) -> str:
        different = [path for path, text in self._files().items() if _read(path) != text]
        if different:
            there = os.path.exists(os.path.join(_UNITS, self.name))
            return f"{self.name} is not as it should be ({different[0]})" if there else f"{self.name} is not there"
        done = run_program(["systemctl", "show", "--property=ActiveState,UnitFileState", self.name], _SECONDS)
        told = dict(line.partition("=")[::2] for line in done.output.splitlines())
        if told.get("UnitFileState") != "enabled":
            return f"{self.name} would not be started with the host"
        active = told.get("ActiveState", "")
        # Between two attempts it is started again by itself: that is no trouble of the unit.
        return "" if active in {"active", "activating"} else f"{self.name} is {active or 'not known'}"

    def put_up(self) -> None:
        """Write everything and start it anew; returns when the stream has shown that everything is here.

        Raises StepError when it does not come to that; what was written stays.
        """
        make_private(self.root)
        for path, text in self._files().items():
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            write_whole(path, text.encode("utf-8"))
        began = time.time()
        for words in (["daemon-reload"], ["reset-failed", self.name], ["enable", self.name], ["restart", self.name]):
            done = run_program(["systemctl", *words], _SECONDS)
            if done.code != 0 and words[0] != "reset-failed":
                raise StepError(f"systemctl {' '.join(words)} failed: {done.last_line}; what was written is left there")
        self._await(began)

    def _await(self, began: float) -> None:
        """Return when everything is here; where the server should wait for the stream, it is given time to begin so."""
        until = time.monotonic() + _BEGIN_SECONDS
        while (state := self.state()).point < began or state.semi_sync:
            if time.monotonic() > until:
                break
            time.sleep(0.3)
        if state.point < began:
            why = state.error or state.unit or "it has not shown that it has everything"
            raise StepError(f"the stream of {self.source} was started, and does not work: {why}")

    def _files(self) -> dict[str, str]:
        """Return every file that the stream consists of, with its text."""
        return {
            **{os.path.join(self._library, *name.split(".")) + ".py": text for name, text in _sources().items()},
            self._path("settings.json"): json.dumps(self._told(), indent=1, sort_keys=True) + "\n",
            self._path("options.cnf"): self._options(),
            os.path.join(_UNITS, self.name): self._unit(),
        }

    def _path(self, name: str) -> str:
        return os.path.join(self.root, name)

    def _told(self) -> dict[str, Any]:
        metrics = self._settings["metrics_file"]
        beside = f"remediate_stream_{self.source}.prom"
        return {
            **{name: self._stream[name] for name in ("address", "port", "user", "semi_sync", "semi_sync_fsync")},
            "source": self.source,
            "server_id": server_id(this_machine(), self.source),
            "options_file": self._path("options.cnf"),
            "directory": self.root,
            "days": self._settings["keep_log_days"],
            "metrics_file": os.path.join(os.path.dirname(metrics), beside) if metrics else "",
        }

    def _options(self) -> str:
        """The password is in a file that root alone reads: a command line, everybody does."""
        path = self._stream["password_file"]
        try:
            with open(path, encoding="utf-8") as source:
                password = source.read().rstrip("\n")
        except OSError as error:
            raise StepError(f"{path} cannot be read ({error.strerror}); nothing was done: put it there") from error
        quoted = password.replace("\\", "\\\\").replace('"', '\\"')
        return f'[client]\npassword="{quoted}"\n'

    def _unit(self) -> str:
        writes = " ".join([self.root, *([os.path.dirname(one)] if (one := self._settings["metrics_file"]) else [])])
        # The text of the program is part of the unit, so that a new one is started.
        digest = hashlib.sha256("".join(_sources().values()).encode()).hexdigest()[:16]
        return f"""# Written by remediate (backup-verify). Program {digest}.
[Unit]
Description=Binary log of {self.source}, transaction by transaction
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Environment=PYTHONPATH={self._library}
ExecStart=/usr/bin/python3 -B -m {_PROGRAM} {self._path("settings.json")}
Restart=always
RestartSec=1
UMask=0077
CPUWeight=1000
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=yes
ReadWritePaths={writes}

[Install]
WantedBy=multi-user.target
"""


def server_id(machine: str, source: str) -> int:
    """Return the number under which this machine follows a source: of two with the same one the server drops one."""
    return 0x8000_0000 | (zlib.crc32(f"{machine}:{source}".encode()) & 0x7FFF_FFFF)


def _sources() -> dict[str, str]:
    """Return the text of the program and of all modules of ours that it needs, by their names."""
    found: dict[str, str] = {}
    wanted = [_PROGRAM]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = inspect.getsource(importlib.import_module(name))
            wanted += _ours(found[name])
    return dict(sorted(found.items()))


def _ours(text: str) -> list[str]:
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    whole = [f"{_PACKAGE}.{one.name}" for node in imports if node.module == _PACKAGE for one in node.names]
    return whole + [str(node.module) for node in imports if str(node.module).startswith(f"{_PACKAGE}.")]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as source:
            return source.read()
    except OSError:
        return ""
