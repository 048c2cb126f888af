"""What a host shows about its current release: how it answers, since when, and whether something else is to blame."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.answer_log import Answer, Rate, good_answers, parsed, rate, tail_of
from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.remediate_stack import StackError

_ASK_SECONDS = 8.0
_PAUSE = 0.7
_PROBES = 3
_LOG_LINES = 3000
_MOST_BYTES = 1 << 16
_NOTHING = Rate(0, 0)
_LIVES = {"mysql": ("mariadb-admin", "ping"), "redis": ("redis-cli", "ping")}


@dataclass(frozen=True)
class Reply:
    """What came back when an address was asked."""

    status: int = 0
    seconds: float = 0.0
    body: str = ""
    trouble: str = ""

    @property
    def good(self) -> bool:
        """A plain yes."""
        return self.status == 200

    @property
    def shown(self) -> str:
        """The answer for people, without anything that a stranger wrote."""
        return str(self.status) if self.status else f"no answer ({self.trouble})"


@dataclass(frozen=True)
class Facts:
    """What one look told; everything a decision needs."""

    now: float
    current: str
    switched: float
    ready: tuple[Reply, ...] = ()
    pages: tuple[Reply, ...] = ()
    #: What does not work and is no part of a release: a dependency that is not connected.
    blame: tuple[str, ...] = ()
    #: The state of each service that is not running.
    down: Mapping[str, str] = field(default_factory=dict)
    last_minute: Rate = _NOTHING
    longer: Rate = _NOTHING
    #: The same address, and the same while, before the release became current.
    before: Rate = _NOTHING
    good_since: int = 0
    log_notes: tuple[str, ...] = ()


def ask(url: str, seconds: float = _ASK_SECONDS) -> Reply:
    """Ask an address once; never through a proxy, and only so much of the answer is read."""
    if not url.startswith(("http://", "https://")):
        return Reply(trouble=f"{url!r} is no http address: correct stack_health_url")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    begun = time.monotonic()
    try:
        with opener.open(url, timeout=seconds) as answer:  # the scheme was checked above
            body = answer.read(_MOST_BYTES).decode("utf-8", "replace")
            return Reply(answer.status, time.monotonic() - begun, body)
    except urllib.error.HTTPError as error:
        with error:
            body = error.read(_MOST_BYTES).decode("utf-8", "replace")
        return Reply(error.code, time.monotonic() - begun, body)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return Reply(seconds=time.monotonic() - begun, trouble=str(reason)[:200])


def beside(url: str, name: str) -> str:
    """Return the address of another health endpoint, beside the one that is known."""
    return urllib.parse.urljoin(url, name)


def several(url: str) -> tuple[Reply, ...]:
    """Ask an address; when the answer is bad, again: a moment's trouble is no evidence."""
    replies = [ask(url)]
    while not replies[-1].good and len(replies) < _PROBES:
        time.sleep(_PAUSE)
        replies.append(ask(url))
    return tuple(replies)


def not_connected(reply: Reply) -> list[str]:
    """Return the dependencies that the application itself says it cannot reach."""
    try:
        told = json.loads(reply.body)
    except ValueError:
        return []
    if not isinstance(told, dict):
        return []
    return [str(name)[:50] for name, one in told.items() if isinstance(one, dict) and one.get("connected") is False]


def blame(settings: Mapping[str, Any], stack: dict[str, Any], down: Mapping[str, str]) -> list[str]:
    """Return what is broken and belongs to no release: the application's word counts, else each server is asked."""
    told = not_connected(ask(beside(stack["health_url"], "dependencies")))
    if told:
        return [f"the application says that {name} is not connected" for name in told]
    found = []
    for service in settings["dependencies"]:
        if service in down:
            found.append(f"{service} is {down[service]}")
        elif service in _LIVES and not _lives(stack, service):
            found.append(f"{service} does not answer")
    return found


def _lives(stack: dict[str, Any], service: str) -> bool:
    try:
        return stack_of(stack).exec(service, _LIVES[service], _ASK_SECONDS)[0] == 0
    except StackError:
        return False


def answers(settings: Mapping[str, Any], stack: dict[str, Any]) -> tuple[list[Answer], tuple[str, ...]]:
    """Return what the web server's log tells, and why it tells nothing."""
    try:
        if settings["access_log"]:
            return list(parsed(tail_of(settings["access_log"]))), ()
        return list(parsed(stack_of(stack).logs(settings["web_server"], _LOG_LINES).splitlines())), ()
    except (OSError, StackError) as error:
        return [], (f"the access log was not read ({error}): see deployment_rollback_access_log",)


def facts(settings: Mapping[str, Any], stack: dict[str, Any], current: str, moments: tuple[float, float]) -> Facts:
    """Look at the host once; what is not needed on a healthy one is not asked.

    `moments` are when the release became current, and when the runbook last went back before that: what was answered
    earlier may have been the same bad release.
    """
    switched, went_back = moments
    url = stack["health_url"]
    ready = several(url)
    states = stack_of(stack).status()
    down = {name: state.state for name, state in states.items() if not state.running}
    log, notes = answers(settings, stack)
    now = time.time()
    window, besides = settings["window"], settings["watchers"]
    pages = tuple(ask(urllib.parse.urljoin(url, path)) for path in settings["probe_paths"]) if ready[-1].good else ()
    seen = Facts(
        now,
        current,
        switched,
        ready,
        pages,
        down=down,
        last_minute=rate(log, max(switched, now - min(window, 60)), besides),
        longer=rate(log, max(switched, now - window), besides),
        before=rate([one for one in log if one.at < switched], max(switched - window, went_back), besides),
        good_since=len(good_answers(log, switched + 1, urllib.parse.urlsplit(url).path)),
        log_notes=notes,
    )
    suspicious = not ready[-1].good or bool(down) or seen.longer.errors > 0 or not all(one.good for one in pages)
    return _with_blame(seen, blame(settings, stack, down)) if suspicious else seen


def _with_blame(seen: Facts, found: Sequence[str]) -> Facts:
    return Facts(**{**seen.__dict__, "blame": tuple(found)})
