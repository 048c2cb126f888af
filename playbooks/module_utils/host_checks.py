"""What verification looks at on every application host: services, addresses that answer, and one verdict of it all."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from ansible.module_utils.fallen_services import has_stack, stack_of
from ansible.module_utils.remediate_stack import StackError

CURED, NOT_CURED, CANNOT_TELL = "cured", "not_cured", "cannot_tell"
_ASK_SECONDS = 5.0

#: One thing that was looked at: `name`, `verdict` and `detail`.
Check = dict[str, str]


def check(name: str, verdict: str, detail: str) -> Check:
    """Return one thing that was looked at, in the form in which the phase reports."""
    return {"name": name, "verdict": verdict, "detail": detail}


def worst(checks: list[Check]) -> str:
    """Return the verdict of many checks: not cured beats cannot tell, which beats cured."""
    answers = {one["verdict"] for one in checks}
    return next((one for one in (NOT_CURED, CANNOT_TELL) if one in answers), CURED)


def message_of(checks: list[Check]) -> str:
    """Return what is not as it should be, in one line."""
    bad = [f"{one['name']}: {one['detail']}" for one in checks if one["verdict"] != CURED]
    return "; ".join(bad) or "all is well"


def in_time(ask: Callable[[], Check], until: float) -> Check:
    """Ask again and again until the answer is good, or until this moment of the monotonic clock."""
    while True:
        answer = ask()
        if answer["verdict"] == CURED or time.monotonic() >= until:
            return answer
        time.sleep(0.5)


def stack_checks(stack: dict[str, Any], wait: float) -> list[Check]:
    """Ask services and application; they get `wait` seconds together to recover."""
    asks: list[Callable[[], Check]] = []
    if has_stack(stack):
        asks.append(lambda: services(stack))
    if stack["health_url"]:
        asks.append(lambda: healthy(stack["health_url"]))
    until = time.monotonic() + wait
    return [in_time(ask, until) for ask in asks]


def services(stack: dict[str, Any]) -> Check:
    """Look whether every service of the stack runs."""
    try:
        states = stack_of(stack).status()
    except StackError as error:
        return check("services", CANNOT_TELL, str(error))
    down = [f"{service} is {state.state}" for service, state in states.items() if not state.running]
    if down:
        return check("services", NOT_CURED, "; ".join(down))
    return check("services", CURED, f"{', '.join(states)} are running")


def healthy(url: str, name: str = "application") -> Check:
    """Ask an address; only a plain yes counts."""
    if not url.startswith(("http://", "https://")):
        return check(name, CANNOT_TELL, f"{url!r} is no http address: correct stack_health_url in the inventory")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_ASK_SECONDS) as answer:  # the scheme was checked above
            code = answer.status
    except urllib.error.HTTPError as error:
        return check(name, NOT_CURED, f"{url} answered {error.code}")
    except OSError as error:
        return check(name, NOT_CURED, f"{url} did not answer: {error}")
    return check(name, CURED if code == 200 else NOT_CURED, f"{url} answered {code}")
