"""Whether the application is well on the release that it should be on."""

from __future__ import annotations

import json
import time
import urllib.parse
from collections.abc import Mapping
from statistics import median
from typing import Any

from ansible.module_utils.answer_log import rate
from ansible.module_utils.host_checks import (
    CANNOT_TELL,
    CURED,
    NOT_CURED,
    Check,
    check,
    in_time,
    stack_checks,
)
from ansible.module_utils.host_step import Done, Seen, measure
from ansible.module_utils.release_facts import Reply, answers, ask, beside
from ansible.module_utils.release_layout import Releases

_ENDPOINTS = ("live", "dependencies", "security")
_REQUESTS = 10


def seen(settings: Mapping[str, Any], stack: dict[str, Any], releases: Releases, done: Done) -> Seen:
    """Look at everything; services get some time to come up, then they have to stay well for a while."""
    wait = float(settings["health_wait"])
    checks = stack_checks(stack, wait)
    until = time.monotonic() + wait
    url = stack["health_url"]
    checks += [in_time(lambda name=name: _endpoint(url, name), until) for name in _ENDPOINTS]
    wanted = next((step.data["to"] for step in done.steps if step.verb == "switch"), "") or releases.current()
    checks += [_on_disk(releases, wanted), _answering(settings, url, wanted), *_workers(settings, releases, wanted)]
    replies = _several(settings, url)
    checks.append(_pages(replies))
    begin = time.time()
    time.sleep(settings["watch"])
    checks.append(_errors(settings, stack, begin - 1))
    slow = median(one.seconds for one in replies)
    fast = slow < settings["good_seconds"]
    checks.append(_speed(slow, settings["good_seconds"], fast=fast))
    return Seen(checks, [measure("response time", round(slow, 3), "s", f"< {settings['good_seconds']:g}", ok=fast)])


def _endpoint(url: str, name: str) -> Check:
    reply = ask(beside(url, name))
    return check(name, CURED if reply.good else NOT_CURED, f"{beside(url, name)}: {reply.shown}")


def _on_disk(releases: Releases, wanted: str) -> Check:
    current = releases.current()
    good = current == wanted
    return check("release", CURED if good else NOT_CURED, f"the current release is {current}, and should be {wanted}")


def _answering(settings: Mapping[str, Any], url: str, wanted: str) -> Check:
    """Look which release really answers: code that was read before a switch can live on in a process."""
    name = settings["release_field"]
    if not name:
        return check("answering release", CURED, "the application does not tell its release, and is not asked for it")
    try:
        told = json.loads(ask(beside(url, "live")).body)[name]
    except (ValueError, KeyError, TypeError):
        return check(
            "answering release",
            CANNOT_TELL,
            f"/health/live does not tell its {name}: have it do so, or empty deployment_rollback_release_field",
        )
    good = told == wanted
    # What an application tells is shown only when it is what was expected.
    said = f"release {wanted} answers" if good else f"another release than {wanted} answers"
    return check("answering release", CURED if good else NOT_CURED, said)


def _workers(settings: Mapping[str, Any], releases: Releases, wanted: str) -> list[Check]:
    places = releases.places(list(settings["workers"]))
    behind = [f"{name} is still on {place}" for name, place in places.items() if place and place != wanted]
    if not places:
        return []
    return [check("workers", NOT_CURED if behind else CURED, "; ".join(behind) or f"the workers are on {wanted}")]


def _several(settings: Mapping[str, Any], url: str) -> list[Reply]:
    paths = settings["probe_paths"]
    return [ask(urllib.parse.urljoin(url, paths[number % len(paths)])) for number in range(_REQUESTS)]


def _pages(replies: list[Reply]) -> Check:
    bad = [one.shown for one in replies if not one.good]
    detail = f"{len(bad)} of {len(replies)} requests failed: {bad[0]}" if bad else f"{len(replies)} requests: all 200"
    return check("pages", NOT_CURED if bad else CURED, detail)


def _speed(slow: float, limit: float, *, fast: bool) -> Check:
    return check("response time", CURED if fast else NOT_CURED, f"{slow:.3f} s, and should be below {limit:g} s")


def _errors(settings: Mapping[str, Any], stack: dict[str, Any], since: float) -> Check:
    log, notes = answers(settings, stack)
    if notes:
        return check("errors", CANNOT_TELL, notes[0])
    found = rate(log, since, settings["watchers"])
    good = found.percent <= settings["good_percent"]
    detail = (
        f"{found.errors} of {found.answers} answers were errors, and should be at most {settings['good_percent']:g} %"
    )
    return check("errors", CURED if good else NOT_CURED, detail)
