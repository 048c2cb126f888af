"""Redis from a copy of its data, also where it keeps an append-only file: with that, a dump alone is not even read."""

from __future__ import annotations

import os
import re
import shutil
from typing import Any

from ansible.module_utils.backup_manifest import DUMP, part_of
from ansible.module_utils.backup_shelf import Shelf
from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.host_step import StepError
from ansible.module_utils.mariadb_server import in_time
from ansible.module_utils.remediate_stack import Stack
from ansible.module_utils.run_state import make_private, sync_directory
from ansible.module_utils.stack_program import run_program

_SECONDS = 600.0
_ANSWER_SECONDS = 60.0
_KEYS = re.compile(r"(\d+) keys read")
_HELD = re.compile(r"^db\d+:keys=(\d+)", re.MULTILINE)
_EXPIRES = re.compile(r"(\d+) expires")


class RedisRestore:
    """Puts a copy of Redis in place on this host."""

    def __init__(self, stack: dict[str, Any], service: str, directory: str) -> None:
        self._stack: Stack = stack_of(stack)
        self._service = service
        self._directory = directory

    def put(self, shelf: Shelf, work: str) -> int:
        """Put the newest copy in place, start Redis with it, and return how many keys it has; nothing less counts."""
        dump = fetch(shelf, work)
        keys, expiring = keys_in(dump)
        self._stack.stop([self._service])
        self._lay(dump, os.path.join(self._directory, "dump.rdb"))
        self._start()
        if self._setting("appendonly") == "yes":
            # It has not read the dump, and has begun an empty log: the dump becomes the base of a log of its own.
            place = os.path.join(self._directory, self._setting("appenddirname"))
            name = self._setting("appendfilename")
            self._stack.stop([self._service])
            self._lay(dump, os.path.join(self._directory, "dump.rdb"))
            self._as_log(dump, place, name)
            self._start()
        found = held(self._ask("INFO", "keyspace"))
        if found < keys - expiring:
            raise StepError(f"Redis has {found} keys of the {keys} of its copy: it is left as it is, stop it and look")
        return found

    def _start(self) -> None:
        self._stack.start([self._service])
        if not in_time(lambda: self._answer("PING") == "PONG", _ANSWER_SECONDS):
            raise StepError(f"Redis does not answer within {_ANSWER_SECONDS:.0f} s after it was started with its copy")

    def _as_log(self, dump: str, place: str, name: str) -> None:
        shutil.rmtree(place, ignore_errors=True)
        os.mkdir(place, 0o750)
        self._own(place)
        base = f"{name}.1.base.rdb"
        self._lay(dump, os.path.join(place, base))
        manifest = os.path.join(place, f"{name}.manifest")
        with open(manifest, "x", encoding="ascii") as target:
            target.write(f"file {base} seq 1 type b\n")
        self._own(manifest)
        sync_directory(place)

    def _lay(self, dump: str, target: str) -> None:
        partial = f"{target}.partial"
        shutil.copyfile(dump, partial)
        self._own(partial)
        os.chmod(partial, 0o660)
        os.rename(partial, target)
        sync_directory(os.path.dirname(target))

    def _own(self, path: str) -> None:
        owner = os.stat(self._directory)
        os.chown(path, owner.st_uid, owner.st_gid)

    def _setting(self, name: str) -> str:
        lines = self._ask("CONFIG", "GET", name).splitlines()
        return lines[1].strip() if len(lines) > 1 else ""

    def _ask(self, *words: str) -> str:
        code, output, errors = self._stack.exec(self._service, ["redis-cli", *words])
        if code != 0:
            raise StepError(f"Redis refused: {(errors or output).strip()[-200:]}")
        return output.strip()

    def _answer(self, word: str) -> str:
        code, output, _ = self._stack.exec(self._service, ["redis-cli", word])
        return output.strip() if code == 0 else ""


def fetch(shelf: Shelf, work: str) -> str:
    """Get the newest copy out, proven whole; return its path."""
    snapshots = shelf.redis()
    if not snapshots:
        raise StepError(f"{shelf.repository.name} has no copy of Redis of {shelf.source}; Redis is left as it is")
    stored = shelf.read(snapshots[0])
    shutil.rmtree(work, ignore_errors=True)
    make_private(work)
    shelf.repository.restore(stored.snapshot.id, work)
    path = work + stored.paths[DUMP]
    if part_of(path) not in stored.manifest.files:
        raise StepError(f"the copy {stored.manifest.id} of Redis is not what was stored; Redis is left as it is")
    return path


def held(keyspace: str) -> int:
    """Return how many keys Redis has in all of its databases, as it says itself."""
    return sum(int(count) for count in _HELD.findall(keyspace))


def keys_in(dump: str) -> tuple[int, int]:
    """Return how many keys a dump has, and how many of them expire, as Redis's own tool says."""
    done = run_program(["redis-check-rdb", dump], _SECONDS)
    if done.code != 0:
        raise StepError(f"the copy of Redis is damaged, and Redis is left as it is: {done.last_line}")
    keys, expires = _KEYS.search(done.output), _EXPIRES.search(done.output)
    return int(keys[1]) if keys else 0, int(expires[1]) if expires else 0
