"""What is taken as evidence, what vanishes first at first. Reads only."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from ansible.module_utils.breach_accounts import accounts_of, key_files, read_text
from ansible.module_utils.breach_processes import Process, read_processes, script_of
from ansible.module_utils.breach_scan_host import scan_host
from ansible.module_utils.breach_schedules import schedules
from ansible.module_utils.breach_suspect import Scan
from ansible.module_utils.breach_web_shells import suspicious_files
from ansible.module_utils.evidence_store import NO_ROOM, Bundle
from ansible.module_utils.fallen_services import has_stack, stack_of
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.run_state import make_private
from ansible.module_utils.safe_files import Directory, regular_files, split
from ansible.module_utils.stack_program import run_program

_DEPTH = 40
_DUMP_SECONDS = 1200.0
_MOST_OF_A_MAP = 1 << 20
_USERS = "SELECT User, Host, JSON_VALUE(Priv, '$.plugin') FROM mysql.global_priv; SHOW GRANTS;"


class Capture:
    """Takes the evidence of this host."""

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings, self._stack = settings, stack
        self._most = settings["evidence_file_mib"] << 20

    def fill(self, bundle: Bundle) -> None:
        """Take everything; what cannot be taken is said in the manifest, and the rest is taken all the same."""
        processes = read_processes()
        parts: tuple[tuple[str, Callable[[Bundle], None]], ...] = (
            ("processes", lambda to: self._processes(processes, to)),
            ("sockets", lambda to: self._sockets(processes, to)),
            ("users", self._doors),
            ("schedules", self._schedules),
            ("programs", lambda to: self._programs(processes, to)),
            ("web files", self._web_files),
            ("services", self._services),
            ("host", self._host),
            ("logs", self._logs),
            ("database", self._database),
            ("files", self._listing),
        )
        for name, take in parts:
            try:
                take(bundle)
            except StackError as error:
                bundle.missing.append(f"{name}: {error}")
            except OSError as error:
                if error.errno in NO_ROOM:
                    raise
                bundle.missing.append(f"{name}: {error}")

    def _processes(self, processes: list[Process], bundle: Bundle) -> None:
        digests: dict[tuple[int, int], str] = {}
        lines = [json.dumps(_described(one, digests)) for one in processes]
        bundle.add("processes.jsonl", "\n".join(lines) + "\n")

    def _programs(self, processes: list[Process], bundle: Bundle) -> None:
        """Take program and memory map of what does not belong: they are gone when it ends."""
        scan = scan_host(self._settings)
        bundle.add("findings.json", json.dumps([asdict(one) for one in scan.suspects], indent=1))
        bundle.missing += scan.notes
        suspected = {pid for one in scan.of("unexpected_process") for pid, _ in one.data["processes"]}
        for one in (process for process in processes if process.pid in suspected):
            script = script_of(one)
            parts = {"maps": _MOST_OF_A_MAP, "exe": self._most, **({f"root{script}": self._most} if script else {})}
            for part, most in parts.items():
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    bundle.add(f"programs/{one.pid}/{part}", _head(f"/proc/{one.pid}/{part}", most))

    def _sockets(self, processes: list[Process], bundle: Bundle) -> None:
        seen = set()
        for one in processes:
            with contextlib.suppress(OSError):
                space = os.readlink(f"/proc/{one.pid}/ns/net")
                if space not in seen:
                    for table in ("tcp", "tcp6", "udp", "udp6", "unix", "arp", "route"):
                        with contextlib.suppress(OSError):
                            bundle.add(
                                f"sockets/{space[5:-1]}/{table}", _head(f"/proc/{one.pid}/net/{table}", 16 << 20)
                            )
                    seen.add(space)

    def _doors(self, bundle: Bundle) -> None:
        for path in ("/etc/passwd", "/etc/group", "/etc/sudoers", "/etc/ssh/sshd_config"):
            self._file(f"users{path}", path, bundle)
        bundle.add("users/etc/shadow", "\n".join(_without_hashes("/etc/shadow")) + "\n")
        with open("/etc/passwd", encoding="utf-8", errors="surrogateescape") as source:
            accounts = accounts_of(source.read())
        for path in sorted({path for _, path in key_files(accounts)}):
            with contextlib.suppress(OSError):
                if (text := read_text(path)) is not None:
                    bundle.add(f"keys{path}", text)
        for path in ("/var/log/wtmp", "/var/log/btmp", "/var/log/lastlog", "/run/utmp"):
            self._file(f"logins{path}", path, bundle)

    def _schedules(self, bundle: Bundle) -> None:
        for path in schedules():
            self._file(f"schedules{path}", path, bundle)

    def _web_files(self, bundle: Bundle) -> None:
        for path in suspicious_files(self._settings, Scan()):
            self._file(f"web{path}", path, bundle)

    def _services(self, bundle: Bundle) -> None:
        if has_stack(self._stack):
            states = stack_of(self._stack).status()
            bundle.add("services/states.json", json.dumps({name: list(state) for name, state in states.items()}))
        units = ["systemctl", "list-units", "--all", "--no-pager", "--plain"]
        for name, argv in (("units", units), ("timers", ["systemctl", "list-timers", "--all", "--no-pager"])):
            _program(bundle, f"services/{name}", argv)

    def _host(self, bundle: Bundle) -> None:
        for name, argv in (
            ("addresses", ["ip", "address"]),
            ("routes", ["ip", "route", "show", "table", "all"]),
            ("rules", ["nft", "list", "ruleset"]),
            ("logins", ["who", "--all"]),
        ):
            _program(bundle, f"host/{name}", argv)
        with contextlib.suppress(FileNotFoundError):  # a kernel without modules
            bundle.add("host/modules", _head("/proc/modules", 1 << 20))

    def _logs(self, bundle: Bundle) -> None:
        lines = str(self._settings["evidence_lines"])
        journal = ["journalctl", "--no-pager", "--quiet", "--output=short-iso-precise", f"--lines={lines}"]
        login = ["--identifier=sshd", "--identifier=sshd-session", "--identifier=sudo", "--identifier=su"]
        _program(bundle, "logs/journal", journal)
        _program(bundle, "logs/logins", [*journal, *login, "--identifier=useradd", "--identifier=systemd-logind"])
        self._file("logs/auth.log", "/var/log/auth.log", bundle)
        for service in self._stack["services"] if has_stack(self._stack) else ():
            try:
                bundle.add(f"logs/{service}", stack_of(self._stack).logs(service, self._settings["evidence_lines"]))
            except StackError as error:
                bundle.missing.append(f"log of {service}: {error}")

    def _database(self, bundle: Bundle) -> None:
        how, service = self._settings["evidence_database"], self._settings["database_service"]
        if how == "none" or not has_stack(self._stack):
            return
        stack = stack_of(self._stack)
        code, output, errors = stack.exec(service, ["mariadb", "--batch"], given=_USERS)
        if code != 0:
            raise StackError(f"its users could not be listed: {errors.strip()[-200:]}")
        bundle.add("database/users", output)
        dump = ["mariadb-dump", "--single-transaction", "--routines", "--events", "--all-databases"]
        dump += ["--no-data"] if how == "schema" else []
        with tempfile.TemporaryFile(dir=_room(self._settings["state_dirs"])) as target:
            code, _, errors = stack.exec(service, dump, _DUMP_SECONDS, stdout=target)
            bundle.add_file("database/dump.sql", target)
        if code != 0:
            raise StackError(f"it could not be dumped to the end: {errors.strip()[-200:]}")

    def _listing(self, bundle: Bundle) -> None:
        """List files with their digests, so many of them and no more."""
        lines, left = [], self._settings["evidence_files"]
        for line in self._listed(bundle):
            if not left:
                bundle.missing.append("files: there are more than data_breach_evidence_files; the rest is not listed")
                break
            lines.append(line)
            left -= 1
        bundle.add("files.jsonl", "\n".join(lines) + "\n")

    def _listed(self, bundle: Bundle) -> Iterator[str]:
        roots = [*self._settings["evidence_roots"], *self._settings["upload_dirs"]]
        for root in dict.fromkeys(roots):
            for path, status in regular_files(root, bundle.missing.append, _DEPTH):
                known = {name: getattr(status, f"st_{name}") for name in ("size", "uid", "gid", "mtime", "ctime")}
                digest = _digest_of(path, self._most)
                yield json.dumps({"path": path, "mode": oct(status.st_mode), **known, "sha256": digest})

    def _file(self, name: str, path: str, bundle: Bundle) -> None:
        try:
            bundle.add(name, _regular(path, self._most))
        except FileNotFoundError:
            return
        except OSError as error:
            bundle.missing.append(f"{path}: {error.strerror}")


def _described(process: Process, digests: dict[tuple[int, int], str]) -> dict[str, Any]:
    """Return what is known of a process; of its environment only the names, of its open files only where they are."""
    place = f"/proc/{process.pid}"
    known: dict[str, Any] = {
        "pid": process.pid,
        "began": process.began,
        "program": process.program,
        "deleted": process.is_gone,
        "arguments": list(process.arguments),
    }
    with contextlib.suppress(OSError):
        status = os.stat(f"{place}/exe")
        key = (status.st_dev, status.st_ino)
        digests[key] = digests.get(key) or _digest_through(f"{place}/exe")
        known |= {"sha256": digests[key], "status": _head(f"{place}/status", 1 << 16).decode("utf-8", "replace")}
        environment = _head(f"{place}/environ", 1 << 20).decode("utf-8", "backslashreplace").split("\0")
        known["environment"] = sorted({pair.partition("=")[0] for pair in environment if "=" in pair})
        known["open"] = {number: _link(f"{place}/fd/{number}") for number in os.listdir(f"{place}/fd")}
        known |= {
            "directory": _link(f"{place}/cwd"),
            "group": _head(f"{place}/cgroup", 1 << 16).decode("utf-8", "replace"),
        }
    return known


def _link(path: str) -> str:
    try:
        return os.fsencode(os.readlink(path)).decode("utf-8", "backslashreplace")
    except OSError:
        return ""


def _head(path: str, most: int) -> bytes:
    """Return the beginning of a file of the kernel's."""
    with open(path, "rb") as source:
        return source.read(most)


def _regular(path: str, most: int) -> bytes:
    """Return the beginning of a file, never through a link or from a pipe."""
    parent, name = split(path)
    with Directory(os.path.realpath(parent)) as directory, os.fdopen(directory.open(name), "rb") as source:
        if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
            raise OSError(0, "it is no regular file")
        return source.read(most)


def _digest_of(path: str, most: int) -> str:
    try:
        parent, name = split(path)
        with Directory(parent) as directory, os.fdopen(directory.open(name), "rb") as source:
            if os.fstat(source.fileno()).st_size > most:
                return "too large"
            return hashlib.file_digest(source, "sha256").hexdigest()
    except OSError as error:
        return f"not read: {error.strerror}"


def _digest_through(link: str) -> str:
    with open(link, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _without_hashes(path: str) -> Iterator[str]:
    """Yield the lines of the password file with a digest in place of each hash: changes show, hashes do not leave."""
    with open(path, encoding="utf-8", errors="backslashreplace") as source:
        for line in source.read().splitlines():
            name, _, rest = line.partition(":")
            hashed, _, rest = rest.partition(":")
            hidden = hashed if len(hashed) < 4 else hashlib.sha256(hashed.encode()).hexdigest()
            yield f"{name}:{hidden}:{rest}"


def _program(bundle: Bundle, name: str, argv: list[str]) -> None:
    try:
        finished = run_program(argv, 60.0)
    except StackError as error:
        bundle.missing.append(f"{name}: {error}")
        return
    bundle.add(name, finished.output + finished.errors)


def _room(state_dirs: list[str]) -> str:
    make_private(state_dirs[0])
    return state_dirs[0]
