"""Whether a host has enough of everything again: its causes gone, its figures low, its application quick."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from ansible.module_utils.host_checks import CANNOT_TELL, CURED, NOT_CURED, Check, check, services
from ansible.module_utils.host_scene import Scene
from ansible.module_utils.host_step import Seen
from ansible.module_utils.resource_causes import causes, measures

_ASK_SECONDS = 10.0
_METRICS_BYTES = 4 << 20
_NONE = "none"


def of_scene(scene: Scene, settings: dict[str, Any]) -> Seen:
    """Look whether any cause is left, and whether the host's figures are what they should be."""
    left = causes(scene, settings)
    said = "; ".join(f"{cause}: {evidence[0]}" for cause, evidence in left.items())
    figures = measures(scene, settings)
    checks = [check("causes", NOT_CURED if left else CURED, said or "none is there any more")]
    checks += [
        check(one["name"], CURED if one["ok"] else NOT_CURED, f"{one['value']:g} {one['unit']}, wanted {one['wanted']}")
        for one in figures
    ]
    checks += [check(service, CANNOT_TELL, why) for service, why in scene.unseen.items()]
    return Seen(checks, figures)


def of_application(stack: dict[str, Any], settings: dict[str, Any]) -> Seen:
    """Look whether services run, the application is quick, and its queues are emptied."""
    seen = Seen([services(stack)])
    if not stack["health_url"]:
        return seen
    quick = quickness(stack["health_url"], settings["requests"], settings["response_seconds"])
    seen.checks.append(quick)
    if settings["metrics_url"] != _NONE:
        seen.checks.append(queue_check(stack["health_url"], settings))
    return seen


def quickness(url: str, requests: int, most: float) -> Check:
    """Ask the application some times; every answer has to be a plain yes, and soon enough."""
    times = []
    for number in range(1, requests + 1):
        began = time.monotonic()
        problem = _ask(url)[1]
        times.append(time.monotonic() - began)
        if problem:
            return check("response", NOT_CURED, f"request {number} of {requests}: {problem}")
    slowest = max(times)
    said = f"{requests} answers, the slowest after {slowest:.2f} s, wanted < {most:g} s"
    return check("response", CURED if slowest < most else NOT_CURED, said)


def _ask(url: str) -> tuple[str, str]:
    """Return what an address answers, or why that is no answer."""
    if not url.startswith(("http://", "https://")):
        return "", f"{url!r} is no http address: correct it in the inventory"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_ASK_SECONDS) as answer:  # the scheme was checked above
            return answer.read(_METRICS_BYTES).decode("utf-8", "replace"), "" if answer.status == 200 else "no 200"
    except urllib.error.HTTPError as error:
        return "", f"{url} answered {error.code}"
    except OSError as error:
        return "", f"{url} did not answer: {error}"


def queue_check(health_url: str, settings: dict[str, Any]) -> Check:
    """Look at the queues twice, as the application itself counts them: Redis is not asked about them."""
    url = settings["metrics_url"] or urllib.parse.urljoin(health_url, "/metrics")
    depths = []
    for wait in (0.0, settings["queue_window"]):
        time.sleep(wait)
        text, problem = _ask(url)
        depth = None if problem else depth_in(text, settings["queue_metric"])
        if depth is None:
            said = problem or f"{url} has no {settings['queue_metric']}"
            return check(
                "queue", CANNOT_TELL, f"{said}: set high_resources_metrics_url, or to none where there is none"
            )
        depths.append(depth)
    return queue_verdict(depths[0], depths[1], settings["queue_limit"])


def depth_in(text: str, metric: str) -> int | None:
    """Return how many jobs wait in all queues together, or nothing when that is not told."""
    found = re.findall(rf"^{re.escape(metric)}(?:\{{[^}}\n]*\}})?[ \t]+(\d+(?:\.\d+)?)(?:[ \t]|$)", text, re.MULTILINE)
    return round(sum(map(float, found))) if found else None


def queue_verdict(before: int, after: int, most: int) -> Check:
    """Return whether a queue is emptied: it falls, or is so short that it need not."""
    well = after < before or after <= most
    return check("queue", CURED if well else NOT_CURED, f"{before} jobs waited, then {after}; up to {most} may wait")
