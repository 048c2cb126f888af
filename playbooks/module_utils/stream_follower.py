"""Follows the binary log of a source and keeps what it reads: the program of a unit, beside which nothing is needed.

It is copied to the backup host with the modules that it uses. The tool that streams writes without ever asking for it
to be on the disk, ends when the server does, and does not notice a connection that has died silently; so this asks for
the disk, ends with the tool to be started again, and asks the server how far it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

from ansible.module_utils import stream_files, stream_receiver, stream_semi_sync
from ansible.module_utils.binlog_events import NOT_UNDERSTOOD, DamageError
from ansible.module_utils.controller_watch import die_with_parent
from ansible.module_utils.stream_tail import Tail

STATUS, JOINED = "status.json", "joined.json"
_TURN_SECONDS = 0.2
_ASK_SECONDS = 5.0
_ANSWER_SECONDS = 10.0
#: A position that was not reached within this time: the connection is dead, whatever it says.
_STALL_SECONDS = 60.0
_TIDY_SECONDS = 600.0
_FIRST_SECONDS = 30.0
_NICE = 5
_PURGED = "Could not find first log file name"
_QUESTION = ["@@gtid_binlog_pos", "@@server_uid"]


class StreamError(Exception):
    """The stream cannot go on; the message says why."""


class Follower:
    """One start of the stream of one source."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._root = str(settings["directory"])
        self._tail: Tail | None = None
        self._child: subprocess.Popen[str] | None = None
        self._synced: set[str] = set()
        self._status: dict[str, Any] = {
            "broken": "",
            "broken_at": 0.0,
            "point": 0.0,
            "server": "",
            **self._before(),
            "started": time.time(),
            "start": "",
            "lag": -1.0,
            "position": "",
            "error": "",
            "semi_sync": "",
        }
        #: How many transactions the server had not waited for, when it was asked.
        self._unwaited: int | None = None
        #: What the server has said that it has, when it was asked, and by the clock that never jumps.
        self._wanted: tuple[str, float, float] | None = None

    def run(self) -> None:
        """Stream until something ends it; raises StreamError."""
        try:
            self._begin()
            self._follow()
        except (StreamError, DamageError, OSError, *NOT_UNDERSTOOD) as error:
            self._status["error"] = str(error)
            raise StreamError(str(error)) from error
        finally:
            self._sync()
            self._show()
            if self._child:
                self._child.kill()
                self._child.wait()

    def stop(self, *_: object) -> None:
        """End when told so."""
        raise StreamError("it was told to stop")

    def _before(self) -> dict[str, Any]:
        """Return what still holds of the start before: how far it was; a break, until the chain was found whole."""
        status = _loaded(os.path.join(self._root, STATUS))
        kept = {name: status[name] for name in ("broken", "broken_at", "point", "server") if name in status}
        return {**kept, "broken": ""} if self._joined().get("at", 0.0) > kept.get("broken_at", 0.0) else kept

    def _begin(self) -> None:
        """Start the tool with the first log that the server still has of those that go on from what is here."""
        choices = stream_files.first_choices(stream_files.look(self._root))
        for name in choices:
            if self._started(name):
                return
        if choices:
            self._status["broken_at"] = time.time()
            self._status["broken"] = (
                f"the server has purged {choices[0]}, with which the stream would go on: what was written between is "
                "not here; take a new full backup now"
            )
        # The server's oldest.
        if not self._started(""):
            raise StreamError("the server has no binary log: set log_bin")

    def _started(self, first: str) -> bool:
        """Start the tool; return whether the server has this log."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        start = f"{stamp}-{time.time_ns() % 1_000_000_000:09}"
        directory = os.path.join(self._root, start)
        os.mkdir(directory, 0o700)
        errors = os.path.join(self._root, "errors")
        with open(errors, "w", encoding="utf-8") as target:
            self._child = subprocess.Popen(
                self._tool(directory, first),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=target,
                text=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - the kernel offers no other way to die with the parent
            )
        until = time.monotonic() + _FIRST_SECONDS
        while not os.listdir(directory):
            if self._child.poll() is not None or time.monotonic() > until:
                self._child.kill()
                self._child.wait()
                os.rmdir(directory)
                said = self._said()
                if _PURGED in said:
                    return False
                raise StreamError(f"the stream did not begin: {said}")
            time.sleep(0.02)
        # Reading back what has come must not keep it from coming.
        with contextlib.suppress(OSError):
            os.nice(_NICE)
        self._status["start"] = start
        self._tail = Tail(directory)
        return True

    def _tool(self, directory: str, first: str) -> list[str]:
        number = self._settings["server_id"]
        if self._settings["semi_sync"]:
            program = [sys.executable, "-B", "-m", stream_receiver.__name__]
            kind = [f"--server-id={number}", *(["--fsync"] if self._settings["semi_sync_fsync"] else [])]
        else:
            program = ["mariadb-binlog"]
            kind = ["--read-from-remote-server", "--raw", "--stop-never", f"--stop-never-slave-server-id={number}"]
        return [*program, *self._client(), *kind, f"--result-file={directory}/", first]

    def _client(self) -> list[str]:
        one = self._settings
        server = [f"--host={one['address']}", f"--port={one['port']}", f"--user={one['user']}"]
        return [f"--defaults-extra-file={one['options_file']}", *server]

    def _said(self) -> str:
        with open(os.path.join(self._root, "errors"), encoding="utf-8", errors="backslashreplace") as source:
            words = " ".join(source.read().split())
        return "".join(letter if letter.isprintable() else " " for letter in words)[-300:] or "it printed nothing"

    def _follow(self) -> None:
        asked = tidied = float("-inf")
        while self._child and self._child.poll() is None:
            self._read()
            if time.monotonic() - asked >= _ASK_SECONDS:
                asked = time.monotonic()
                self._ask()
                self._read()
                self._sync()
                self._show()
            if time.monotonic() - tidied >= _TIDY_SECONDS:
                tidied = time.monotonic()
                self._tidy()
            time.sleep(_TURN_SECONDS if self._wanted is None else 0.01)
        raise StreamError(f"the stream has ended: {self._said()}")

    def _read(self) -> None:
        """Read what has come; note when all is there that the server said it has."""
        if self._tail is None:
            return
        self._tail.read()
        self._status["position"] = f"{self._tail.name}:{self._tail.offset}"
        if self._wanted is None:
            return
        wanted, moment, began = self._wanted
        waited = time.monotonic() - began
        if self._tail.has(wanted):
            self._status.update(point=moment, lag=waited, error="")
            self._wanted = None
        else:
            self._status["lag"] = waited
            if waited > _STALL_SECONDS:
                raise StreamError(f"{wanted} did not come within {_STALL_SECONDS:.0f} s: the connection is dead")

    def _ask(self) -> None:
        moment, began = time.time(), time.monotonic()
        question = [*_QUESTION, *(stream_semi_sync.COLUMNS if self._settings["semi_sync"] else [])]
        argv = ["mariadb", *self._client(), "--batch", "--skip-column-names"]
        try:
            done = subprocess.run(
                [*argv, f"--execute=SELECT {', '.join(question)}"],
                capture_output=True,
                check=False,
                encoding="utf-8",
                errors="backslashreplace",
                stdin=subprocess.DEVNULL,
                timeout=_ANSWER_SECONDS,
            )
        except subprocess.TimeoutExpired:
            self._status["error"] = "the server does not answer"
            return
        words = done.stdout.rstrip("\n").split("\t")
        if done.returncode != 0 or len(words) != len(question):
            self._status["error"] = f"the server does not answer: {done.stderr.strip()[-200:]}"
            return
        self._status["server"] = words[1]
        # What it said before is still on its way where the stream is late: that shows how late.
        self._wanted = self._wanted or (words[0], moment, began)
        if self._settings["semi_sync"]:
            self._judge(words[len(_QUESTION) :])

    def _judge(self, answer: list[str]) -> None:
        """Note whether the server waits for what it commits."""
        unwaited = stream_semi_sync.unwaited(answer)
        before = unwaited if self._unwaited is None else self._unwaited
        self._status["semi_sync"] = stream_semi_sync.trouble(answer, before)
        self._unwaited = unwaited

    def _sync(self) -> None:
        """Have everything on the disk: the tool never asks for it."""
        if not self._tail:
            return
        directory = os.path.join(self._root, self._status["start"])
        for one in stream_files.look(self._root):
            if one.start == self._status["start"] and one.path not in self._synced:
                _to_disk(one.path)
                if not one.open:
                    self._synced.add(one.path)
        _to_disk(directory)
        _to_disk(self._root)

    def _tidy(self) -> None:
        """Remove what the new start is past, and what is out of its time."""
        self._sync()
        files = stream_files.look(self._root)
        for one in stream_files.superseded(files, time.time(), float(self._settings["days"])):
            os.unlink(one.path)
        for start in {one.start for one in files} - {str(self._status["start"])}:
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(self._root, start))

    def _joined(self) -> dict[str, Any]:
        """Return what the last look said: until when shipped logs reach, and whether the stream goes on from them."""
        return _loaded(os.path.join(self._root, JOINED))

    def _show(self) -> None:
        """Write down how it goes, for the next look, and for the monitoring."""
        _put(os.path.join(self._root, STATUS), json.dumps(self._status), 0o600)
        if not self._settings["metrics_file"]:
            return
        joined = self._joined()
        whole = bool(joined.get("joined")) and not self._status["broken"]
        point = max(joined.get("covered", 0.0), float(self._status["point"]) if whole else 0.0)
        numbers = {
            "remediate_backup_recoverable_point_timestamp_seconds": point,
            "remediate_backup_stream_alive_timestamp_seconds": float(self._status["point"]),
            "remediate_backup_stream_lag_seconds": float(self._status["lag"]),
        }
        if self._settings["semi_sync"]:
            numbers["remediate_backup_stream_semi_sync"] = float(not self._status["semi_sync"])
        label = f'{{source="{self._settings["source"]}"}}'
        lines = [line for name in numbers for line in (f"# TYPE {name} gauge", f"{name}{label} {numbers[name]!r}")]
        _put(self._settings["metrics_file"], "\n".join([*lines, ""]), 0o644)


def _loaded(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="ascii") as source:
            found = json.load(source)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _to_disk(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put(path: str, text: str, mode: int) -> None:
    partial = f"{path}.partial"
    with open(partial, "w", encoding="utf-8") as target:
        target.write(text)
    os.chmod(partial, mode)
    os.replace(partial, path)


def main(arguments: list[str]) -> int:
    """Follow the source that a file describes; ends with 1 to be started again."""
    with open(arguments[0], encoding="ascii") as source:
        settings = json.load(source)
    os.umask(0o077)
    with open(os.path.join(settings["directory"], "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        follower = Follower(settings)
        signal.signal(signal.SIGTERM, follower.stop)
        try:
            follower.run()
        except StreamError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
