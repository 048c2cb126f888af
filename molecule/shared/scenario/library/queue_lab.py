#!/usr/bin/python
"""Breaks the queue of a lab host, proves that it is broken, and makes it well again."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.queue_jobs import class_of, list_key
from ansible.module_utils.queue_redis import connect
from ansible.module_utils.redis_wire import Redis
from ansible.module_utils.stack_parameters import STACK

DOCUMENTATION = r"""
---
module: queue_lab
short_description: Break the queue of a lab host, or prove something about it
options:
  do:
    description: A fault, the proof of its symptom, the proof that no job was lost, or C(reset).
    type: str
    required: true
  stack:
    description: As in the module C(queue_failure).
    type: dict
    required: true
  before:
    description: What the fault C(poison_job) returned, for the proof of its symptom.
    type: dict
    default: {}
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Kill the worker
  queue_lab:
    do: workers_killed
    stack: "{{ lab_stack }}"
"""

RETURN = r"""
jobs:
  description: The poisonous jobs, how often each was tried, and the bytes of those that wait for long.
  returned: for the fault C(poison_job)
  type: dict
"""

_URL = "http://127.0.0.1"
_POISON = "App\\Jobs\\SendInvoice"
_INVOICES = 9
_PATIENT = 5
_MUCH_LATER = 600
#: A busy machine takes its time.
_SECONDS = 240.0
#: Where the lab's application has its queues: molecule/shared/app/config.
_PLACE = {"redis_host": "", "redis_port": 6379, "redis_db": 2, "redis_env_file": ""}
_KEYS = [list_key("", queue) for queue in ("default", "emails")]
_RUNS = "/var/lib/remediate/queue_failure"


class Unproven(Exception):
    """What was to be proven does not hold."""


class Lab:
    """One host, in the words of its layout."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self.stack = stack
        self.compose = stack["layout"] == "compose"
        self.storage = "/opt/chom/storage/app" if self.compose else "/var/www/chom/shared/storage/app"

    # Faults.

    def workers_killed(self) -> None:
        """The worker is killed and kept down; then orders come, into both queues."""
        self.signal("KILL")
        self.stop("queue")
        self.order(15)
        self.order(15, "emails")

    def worker_hangs(self) -> None:
        """The worker's process is there and does nothing; then orders come."""
        self.signal("STOP")
        self.order(30)

    def redis_stopped(self) -> None:
        """Redis is stopped while orders wait in it."""
        self.pace(200)
        self.order(100)
        self.stop("redis")

    def redis_damaged(self) -> None:
        """Redis is stopped, and what it saved is damaged: no runbook may start it."""
        self.redis_stopped()
        volume = "/var/lib/docker/volumes/chom_redis-data/_data" if self.compose else "/var/lib/redis"
        with Path(volume, "dump.rdb").open("r+b") as dump:
            dump.seek(20)
            dump.write(b"\xff" * 64)

    def backlog(self) -> None:
        """More orders come than one worker can handle in time."""
        self.pace(400)
        self.order(2500)

    def poison_job(self) -> dict[str, Any]:
        """Invoices fail over and over, and orders are beside them; ends when each invoice was tried often."""
        self.post("/invoices", count=_INVOICES - _PATIENT)
        self.order(20)
        self.post("/invoices", count=_PATIENT, patient=True)
        self.order(20, "emails")

        def often() -> bool:
            seen = self.seen()
            return len(seen["later"]) == _PATIENT and min(seen["jobs"].values(), default=0) >= 12

        self.until(often, "no invoice was tried often enough")
        return {"jobs": self.seen()}

    def poison_and_dead(self) -> None:
        """Invoices fail over and over, and the worker is down as well."""
        self.poison_job()
        self.stop("queue")
        self.order(20)

    # Symptoms.

    def standstill(self) -> None:
        """Jobs wait and none is handled, as the application itself says."""
        before = self.counted()
        time.sleep(2)
        after = self.counted()
        demand(after["depth"] >= 10 and after["handled"] == before["handled"], f"it moves: {before}, {after}")

    def not_ready(self) -> None:
        """The application is not ready."""
        self.until(lambda: self.status("/health/ready") == 503, "the application is ready")

    def too_many(self) -> None:
        """Too many jobs wait for one worker."""
        counted, workers = self.counted(), stack_of(self.stack).instances("queue")
        demand(counted["depth"] > 1000 and len(workers) == 1, f"{counted}, {list(workers)}")

    def poisonous(self, before: dict[str, Any]) -> None:
        """Every invoice is there, once; those that wait have the same bytes and moment as ever; others are tried on."""
        now = self.seen()
        demand(sorted(now["jobs"]) == sorted(before["jobs"]), f"not the same jobs: {before}, {now}")
        demand(now["count"] == len(now["jobs"]) == _INVOICES, f"a job is there twice: {now}")
        demand(now["later"] == before["later"], f"bytes or moments are not the same: {before}, {now}")
        tried = sum(now["jobs"].values())
        self.until(lambda: sum(self.seen()["jobs"].values()) > tried, "no invoice is tried any more")

    # After a case.

    def nothing_lost(self) -> None:
        """Every order that was ever taken is handled in the end, and what was kept is private."""
        self.pace(0)
        self.until(lambda: self.counted()["orders"] == self.counted()["handled"], "orders were lost")
        modes = {path.stat().st_mode & 0o777 for path in Path(_RUNS).rglob("jobs.jsonl")}
        demand(modes <= {0o600}, f"what was kept can be read by others: {modes}")

    def reset(self) -> None:
        """Everything runs, every job is done, nothing of a run or a fault is left."""
        self.pace(0)
        self.write("partner-is-back", "yes")
        self.run(*self.signalled("CONT"), fails=True)
        stack = stack_of(self.stack)
        down = [name for name, state in stack.status().items() if name in {"redis", "queue"} and not state.running]
        stack.start(down)
        for name in list(stack.instances("queue"))[1:]:
            stack.drop_instance("queue", name)
        self.until(self.hurried, "jobs are not done")
        forget = "DELETE FROM failed_jobs; DELETE FROM orders WHERE handled_at IS NULL"
        stack.exec("mysql", ["mariadb", "chom", "--execute", forget])
        shutil.rmtree(_RUNS, ignore_errors=True)
        for name in ("partner-is-back", "order-pace"):
            Path(self.storage, name).unlink()
        self.until(lambda: self.status("/health/ready") == 200, "the application is not ready")

    def hurried(self) -> bool:
        """Make every delayed job due, and say whether none waits any more."""
        with self.redis() as redis:
            for key in _KEYS:
                for payload in redis.command("ZRANGE", f"{key}:delayed", 0, -1):
                    redis.command("ZADD", f"{key}:delayed", "XX", 0, payload)
            return not sum(redis.command("LLEN", key) + redis.command("ZCARD", f"{key}:delayed") for key in _KEYS)

    # What all of these are made of.

    def redis(self) -> Redis:
        """Return a connection to the queues."""
        return connect(stack_of(self.stack), _PLACE)

    def seen(self) -> dict[str, Any]:
        """Return the poisonous jobs as they were in one moment, while workers go on."""
        with self.redis() as redis:
            redis.command("MULTI")
            for key in _KEYS:
                redis.command("LRANGE", key, 0, -1)
                redis.command("ZRANGE", f"{key}:reserved", 0, -1)
                redis.command("ZRANGE", f"{key}:delayed", 0, -1, "WITHSCORES")
            answers = redis.command("EXEC")
        jobs, later, count = {}, {}, 0
        for waiting, reserved, delayed in (answers[:3], answers[3:]):
            moments = dict(zip(delayed[::2], delayed[1::2], strict=True))
            for payload in (one for one in (*waiting, *reserved, *moments) if class_of(one)[0] == _POISON):
                count += 1
                jobs[json.loads(payload)["uuid"]] = class_of(payload)[1]
                if payload in moments and float(moments[payload]) > time.time() + _MUCH_LATER:
                    later[hashlib.sha256(payload).hexdigest()] = moments[payload].decode()
        return {"jobs": jobs, "later": later, "count": count}

    def signalled(self, name: str) -> list[str]:
        """Return the command that sends the worker a signal.

        Not `docker kill`, after which the engine would not start the container again; and not from inside, where the
        first process cannot be stopped.
        """
        if self.compose:
            return ["sh", "-c", f"kill -s {name} $(docker inspect --format '{{{{.State.Pid}}}}' chom-queue)"]
        return ["systemctl", "kill", "chom-queue@1.service", "--signal", name]

    def signal(self, name: str) -> None:
        """Send the worker a signal."""
        self.run(*self.signalled(name))

    def stop(self, service: str) -> None:
        """Stop a service in the ordinary way."""
        unit = self.stack["units"].get(service, "")
        self.run(*(["docker", "stop", f"chom-{service}"] if self.compose else ["systemctl", "stop", unit]))

    def run(self, *command: str, fails: bool = False) -> None:
        """Run a command."""
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        demand(fails or done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}")

    def write(self, name: str, content: str) -> None:
        """Write a file where the application keeps its own."""
        path = Path(self.storage, name)
        path.write_text(content, encoding="ascii")
        path.chmod(0o644)

    def pace(self, milliseconds: int) -> None:
        """Say how long an order takes."""
        self.write("order-pace", str(milliseconds))

    def order(self, count: int, queue: str = "default") -> None:
        """Send orders."""
        self.post("/orders/many", count=count, queue=queue)

    def post(self, path: str, **body: Any) -> None:
        """Send something to the application, and see it taken."""
        sent = json.dumps(body).encode()
        request = urllib.request.Request(f"{_URL}{path}", sent, {"Content-Type": "application/json"})  # noqa: S310 - an address of the lab
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - an address of the lab
            demand(answer.status == 201, f"{path} answered {answer.status}")

    def status(self, path: str) -> int:
        """Return what an address answers."""
        try:
            with urllib.request.urlopen(f"{_URL}{path}", timeout=20) as answer:  # noqa: S310 - an address of the lab
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def counted(self) -> dict[str, int]:
        """Return what the application counts."""
        with urllib.request.urlopen(f"{_URL}/metrics", timeout=_SECONDS) as answer:  # noqa: S310 - an address of the lab
            lines = [line.split() for line in answer.read().decode().splitlines()]
        names = {"depth": "chom_queue_depth", "orders": "chom_orders_total", "handled": "chom_orders_handled_total"}
        return {
            short: sum(int(number) for name, number in lines if name.split("{")[0] == long)
            for short, long in names.items()
        }

    def until(self, holds: Callable[[], bool], otherwise: str) -> None:
        """Wait until something holds."""
        ends = time.monotonic() + _SECONDS
        while not holds():
            demand(time.monotonic() < ends, otherwise)
            time.sleep(0.3)


def demand(holds: bool, otherwise: str) -> None:
    """Raise Unproven unless something holds."""
    if not holds:
        raise Unproven(otherwise)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "do": {"type": "str", "required": True},
            "stack": STACK,
            "before": {"type": "dict", "default": {}},
        },
    )
    lab = Lab(module.params["stack"])
    before = {"before": module.params["before"]} if module.params["do"] == "poisonous" else {}
    try:
        answer = getattr(lab, module.params["do"])(**before) or {}
    except Unproven as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, **answer)


if __name__ == "__main__":
    main()
