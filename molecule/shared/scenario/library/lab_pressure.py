#!/usr/bin/python
"""Makes a lab host short of something, by real load that ends by itself, and takes it away again."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: lab_pressure
short_description: Load a lab host, or take the load away
description:
  - Each kind of load is a real one, is bounded, and ends by itself after some minutes.
options:
  kind:
    description: What to do; C(clear) takes away what all others have made.
    type: str
    choices: [php_spin, php_grow, leaking_worker, held_connections, slow_queries, full_redis, burner, clear,
      redis_witness_kept, redis_witness_gone]
    required: true
  layout:
    description: How the application is laid out.
    type: str
    choices: [compose, systemd]
    required: true
  sessions:
    description: Of a full Redis, percent that sessions hold; caches hold the rest.
    type: int
    default: 0
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Let a request never end
  lab_pressure:
    kind: php_spin
    layout: systemd
"""

RETURN = r"""
made:
  description: What was made, in a word.
  returned: always
  type: str
"""

_UNITS = ("lab-burner", "lab-connections", "lab-query", "lab-backup-query")
_SECONDS = 240
_STORAGE = {"compose": Path("/opt/chom/storage"), "systemd": Path("/var/www/chom/shared/storage")}
_PROJECT = Path("/opt/chom/docker-compose.production.yml")
_OVERRIDE = Path("/opt/chom/docker-compose.remediate.yml")
_DROP_INS = Path("/etc/systemd/system/chom-queue@1.service.d")
_LIMITED = '"--max-time=3600"'
_UNLIMITED = '"--memory=1024"'
#: It is included before the framework, so that a fault needs nothing of the application's own code.
_SCRIPT = """<?php
$lab = $_SERVER['REQUEST_URI'] ?? '';
if ($lab === '/lab/spin' || $lab === '/lab/grow') {
    set_time_limit(0);
    ini_set('memory_limit', '600M');
    $kept = $lab === '/lab/grow' ? str_repeat('x', 314572800) : '';
    for ($end = time() + %d; time() < $end;) {
        $lab === '/lab/grow' ? usleep(100000) : hash('sha256', $end);
    }
    exit;
}
"""
#: What must survive whatever happens to Redis, byte for byte: in the queues, and a session where those are not emptied.
_QUEUE_WITNESS = "queues:witness"
_SESSION_WITNESS = "chom_cache:witness"
_QUEUED = ("first", "\0second\r\n", "x" * 9000)
_LOGGED_IN = "\0 who is logged in \r\n"
_PIECE = 65536


def main() -> None:
    """Run as an Ansible module."""
    kinds: dict[str, Callable[[dict[str, Any]], None]] = {
        "php_spin": lambda params: request(params["layout"], "/lab/spin"),
        "php_grow": lambda params: request(params["layout"], "/lab/grow"),
        "leaking_worker": lambda params: leaking_worker(params["layout"]),
        "held_connections": lambda _params: hold_connections(),
        "slow_queries": lambda params: slow_queries(params["layout"]),
        "full_redis": lambda params: full_redis(params["layout"], params["sessions"]),
        "burner": lambda _params: unit("lab-burner", "stress-ng", "--cpu", "1", "--timeout", str(_SECONDS)),
        "redis_witness_kept": lambda params: witness(params["layout"], sessions=True),
        "redis_witness_gone": lambda params: witness(params["layout"], sessions=False),
        "clear": lambda params: clear(params["layout"]),
    }
    module = AnsibleModule(
        argument_spec={
            "kind": {"type": "str", "choices": list(kinds), "required": True},
            "layout": {"type": "str", "choices": ["compose", "systemd"], "required": True},
            "sessions": {"type": "int", "default": 0},
        },
    )
    try:
        kinds[module.params["kind"]](module.params)
    except (OSError, RuntimeError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, made=module.params["kind"])


def run(*command: str, said: bytes | None = None) -> str:
    """Run a command and return what it printed; a failure is an error that says what was printed."""
    done = subprocess.run(command, check=False, capture_output=True, input=said)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]} ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    return done.stdout.decode()


def unit(name: str, *command: str, options: tuple[str, ...] = ()) -> None:
    """Let a program of nobody's run on the host."""
    run(
        "systemd-run",
        "--quiet",
        f"--unit={name}",
        "--collect",
        f"--property=RuntimeMaxSec={_SECONDS}",
        *options,
        *command,
    )


def request(layout: str, path: str) -> None:
    """Send a request that never gets an answer."""
    script = _STORAGE[layout] / "framework" / "maintenance.php"
    script.write_text(_SCRIPT % _SECONDS)
    script.chmod(0o644)
    # The file is looked for again only after a moment.
    time.sleep(2.1)
    subprocess.run(("curl", "--silent", "--max-time", "1", f"http://127.0.0.1{path}"), check=False, capture_output=True)


def leaking_worker(layout: str) -> None:
    """Give the worker no limits, and jobs of which each keeps some memory."""
    if layout == "compose":
        _PROJECT.write_text(_PROJECT.read_text().replace(_LIMITED, _UNLIMITED))
        run(*_compose(), "up", "--detach", "--pull=never", "--no-deps", "queue")
    else:
        _DROP_INS.mkdir(exist_ok=True)
        worker = "/usr/bin/php artisan queue:work redis --queue=default,emails --sleep=1 --tries=3 --memory=1024"
        (_DROP_INS / "10-lab.conf").write_text(f"[Service]\nExecStart=\nExecStart={worker}\n")
        run("systemctl", "daemon-reload")
        run("systemctl", "restart", "chom-queue@1.service")
    name = "App\\Jobs\\KeepMemory"
    data = {"commandName": name, "command": f'O:{len(name)}:"{name}":0:{{}}'}
    job = {
        "displayName": name,
        "job": "Illuminate\\Queue\\CallQueuedHandler@call",
        "maxTries": 3,
        "data": data,
        "attempts": 0,
    }
    jobs = [json.dumps(job | {"id": str(number), "uuid": str(number)}) for number in range(4000)]
    redis(layout, 2, b"".join(command("RPUSH", "queues:default", one) for one in jobs))


def hold_connections() -> None:
    """Hold as many connections as nginx gives, each in the middle of a request."""
    script = (
        "import resource, socket, time\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))\n"
        "held, refused = [], 0\n"
        "while refused < 150 and len(held) < 4000:\n"
        "    one = socket.create_connection(('127.0.0.1', 80), 5)\n"
        "    one.sendall(b'POST /orders HTTP/1.1\\r\\nHost: lab\\r\\nContent-Length: 999\\r\\n\\r\\n')\n"
        "    held.append(one)\n"
        "    if len(held) % 50 == 0 or refused:\n"
        "        time.sleep(0.02)\n"
        "        one.settimeout(0.02)\n"
        "        try:\n"
        "            refused += one.recv(1) == b''\n"
        "        except TimeoutError:\n"
        "            pass\n"
        "        except ConnectionError:\n"
        "            refused += 1\n"
        "while True:\n"
        "    time.sleep(15)\n"
        "    for one in held:\n"
        "        try:\n"
        "            one.sendall(b'x')\n"
        "        except OSError:\n"
        "            pass\n"
    )
    unit("lab-connections", "python3", "-c", script, options=("--property=LimitNOFILE=8192",))
    time.sleep(5)


def slow_queries(layout: str) -> None:
    """Let the application's user, and the backup's, ask for something that takes minutes."""
    sql = "SELECT SLEEP({}), 'the secret of /* somebody */'"
    for name, user, seconds in (("lab-query", "chom", _SECONDS), ("lab-backup-query", "root", _SECONDS + 1)):
        ask = (
            'exec mariadb --execute "$1"'
            if user == "root"
            else (
                'MYSQL_PWD="$DB_PASSWORD" exec mariadb --host=127.0.0.1 --protocol=tcp --user=chom --execute "$1" chom'
            )
        )
        words = ("sh", "-c", ask, "sh", sql.format(seconds))
        if layout == "compose":
            # What the container was made with may be older than the password that a cure has set.
            run("docker", "exec", "--detach", "--env-file", "/opt/chom/.env", "chom-mysql", *words)
        else:
            unit(name, *words, options=("--property=EnvironmentFile=/var/www/chom/shared/.env",))


def full_redis(layout: str, sessions: int) -> None:
    """Fill Redis until it refuses to take more, with known values among the queues and the sessions."""
    redis(layout, 2, b"".join(command("RPUSH", _QUEUE_WITNESS, value) for value in _QUEUED))
    redis(layout, 3, command("SET", _SESSION_WITNESS, _LOGGED_IN))
    room = 32 << 20
    held = room * sessions // 100
    fill(layout, 3, "chom_cache:session", held)
    fill(layout, 1, "chom_cache:page", room - held)
    # What clients need while they write is given back a moment later: so the limit comes last.
    asked(layout, "CONFIG", "SET", "maxmemory", str(used_memory(layout) - (256 << 10)))


def used_memory(layout: str) -> int:
    """Return what Redis holds."""
    lines = asked(layout, "INFO", "memory").splitlines()
    return int(next(line for line in lines if line.startswith("used_memory:")).split(":")[1])


def witness(layout: str, *, sessions: bool) -> None:
    """Raise unless what must survive a full Redis is there, byte for byte."""
    queued = tuple(asked(layout, "-n", "2", "LINDEX", _QUEUE_WITNESS, str(number)) for number in range(len(_QUEUED)))
    if queued != tuple(f"{value}\n" for value in _QUEUED):
        raise RuntimeError(f"the queue is not as it was: {queued!r}"[:500])
    kept = asked(layout, "-n", "3", "GET", _SESSION_WITNESS) == f"{_LOGGED_IN}\n"
    if kept != sessions:
        raise RuntimeError(f"the session {'was lost' if sessions else 'is still there'}")


def fill(layout: str, database: int, prefix: str, most: int) -> None:
    """Write values of one size until there are enough."""
    value = "v" * _PIECE
    redis(layout, database, b"".join(command("SET", f"{prefix}:{number}", value) for number in range(most // _PIECE)))


def command(*words: str) -> bytes:
    """Return a command as Redis reads it."""
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)


def redis(layout: str, database: int, commands: bytes) -> None:
    """Send many commands to one database."""
    where = ("docker", "exec", "--interactive", "chom-redis") if layout == "compose" else ()
    run(*where, "redis-cli", "-n", str(database), "--pipe", said=commands)


def asked(layout: str, *words: str) -> str:
    """Ask Redis one thing."""
    where = ("docker", "exec", "chom-redis") if layout == "compose" else ()
    return run(*where, "redis-cli", *words)


def clear(layout: str) -> None:
    """Take everything away that this module has made, and what runs have left."""
    for name in _UNITS:
        subprocess.run(("systemctl", "stop", f"{name}.service"), check=False, capture_output=True)
    script = _STORAGE[layout] / "framework" / "maintenance.php"
    spun = script.exists()
    script.unlink(missing_ok=True)
    asked(layout, "CONFIG", "SET", "maxmemory", "0")
    for database in (1, 2, 3):
        asked(layout, "-n", str(database), "FLUSHDB")
    clear_compose(spun=spun) if layout == "compose" else clear_systemd(spun=spun)
    for place in ("/var/lib/remediate/high_resources", "/run/remediate/high_resources"):
        shutil.rmtree(place, ignore_errors=True)


def clear_compose(*, spun: bool) -> None:
    """Put the project's file back, and end what runs in its containers."""
    text = _PROJECT.read_text()
    if _UNLIMITED in text or _OVERRIDE.exists():
        _OVERRIDE.unlink(missing_ok=True)
        _PROJECT.write_text(text.replace(_UNLIMITED, _LIMITED))
        run(*_compose(), "up", "--detach", "--pull=never", "--no-deps", "queue")
    if spun:
        run("docker", "exec", "chom-app", "sh", "-c", "kill -s USR2 1")
    # With 1 it says that there was none.
    run("docker", "exec", "chom-mysql", "sh", "-c", "pkill -x mariadb; test $? -le 1")
    run(*_compose(), "up", "--detach", "--no-recreate", "--pull=never")


def clear_systemd(*, spun: bool) -> None:
    """Put the worker's unit back, and end what runs in children of PHP-FPM."""
    if _DROP_INS.exists():
        shutil.rmtree(_DROP_INS)
        run("systemctl", "daemon-reload")
        run("systemctl", "restart", "chom-queue@1.service")
    if spun:
        run("systemctl", "reload", "php8.4-fpm.service")
    run("systemctl", "start", "mariadb", "redis-server", "php8.4-fpm", "nginx", "chom-queue@1", "chom-scheduler")


def _compose() -> tuple[str, ...]:
    files = [str(_PROJECT), *([str(_OVERRIDE)] if _OVERRIDE.exists() else [])]
    return ("docker", "compose", *(f"--file={file}" for file in files))


if __name__ == "__main__":
    main()
