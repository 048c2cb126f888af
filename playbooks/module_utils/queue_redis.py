"""How this host's Redis is: reached with the address and password that the inventory and the application give."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.host_step import StepError
from ansible.module_utils.redis_persistence import REDIS
from ansible.module_utils.redis_wire import Redis, RedisRefusedError, RedisUnreachableError
from ansible.module_utils.remediate_stack import Stack, StackError

_MOST_BYTES = 1 << 20
_SECRETS = {"NOAUTH", "WRONGPASS", "NOPERM"}


@dataclass(frozen=True)
class RedisState:
    """How Redis is."""

    #: Why it does not answer; nothing when it does.
    unreachable: str = ""
    #: Why it refuses to write; nothing when it does not.
    cannot_save: str = ""


def connect(stack: Stack, settings: dict[str, Any]) -> Redis:
    """Open a connection to the database of the queues. Raises RedisUnreachableError, or StepError with what to set."""
    host = settings["redis_host"]
    if not host:
        try:
            host = stack.address(REDIS)
        except StackError as error:
            raise RedisUnreachableError(str(error)) from error
    username, password = _credentials(settings["redis_env_file"])
    try:
        return Redis(host, settings["redis_port"], settings["redis_db"], username, password)
    except RedisRefusedError as error:
        if error.code in _SECRETS:
            raise StepError(
                f"Redis wants a password that it was not given ({error.code}); nothing was done: set "
                "queue_failure_redis_env_file to the file in which the application has REDIS_PASSWORD"
            ) from error
        if error.code == "LOADING":
            raise StepError("Redis is still reading what it saved; nothing was done: look again in a minute") from error
        raise StepError(f"Redis refused: {shown(str(error))[:200]}; nothing was done") from error


def state_of(redis: Redis) -> RedisState:
    """Ask a Redis that answers whether it can save; one that cannot refuses all writes."""
    said = redis.command("INFO", "persistence").decode("utf-8", "replace")
    facts = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
    wrong = [
        f"{name} is {shown(facts[name])}"
        for name in ("rdb_last_bgsave_status", "aof_last_write_status")
        if facts.get(name, "ok") != "ok"
    ]
    return RedisState(cannot_save=", ".join(wrong))


def _credentials(path: str) -> tuple[str, str]:
    """Return user and password as the application's settings file has them."""
    if not path:
        return "", ""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as source:
            text = source.read(_MOST_BYTES)
    except OSError as error:
        raise StepError(
            f"{path} could not be read ({error.strerror or os.strerror(error.errno or 0)}); nothing was done: correct "
            "queue_failure_redis_env_file"
        ) from error
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name in {"REDIS_USERNAME", "REDIS_PASSWORD"}:
            found[name] = _unquoted(value.strip())
    # The application takes the word null for no value.
    given = {name: "" if value == "null" else value for name, value in found.items()}
    return given.get("REDIS_USERNAME", ""), given.get("REDIS_PASSWORD", "")


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
