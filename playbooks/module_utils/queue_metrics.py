"""What the application itself counts: jobs that wait and jobs that were handled, read from its metrics."""

from __future__ import annotations

import math
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

_SECONDS = 5.0
_MOST_BYTES = 4 << 20
_SAMPLE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{[^}]*\})?\s+(\S+)")


@dataclass(frozen=True)
class Counted:
    """What the application counts; None where it does not, or was not asked."""

    depth: float | None = None
    handled: float | None = None
    #: Why it could not be asked.
    trouble: str = ""


def ask(settings: dict[str, Any]) -> Counted:
    """Read the application's metrics, where the inventory says where they are."""
    url = settings["metrics_url"]
    if not url:
        return Counted()
    if not url.startswith(("http://", "https://")):
        return Counted(trouble=f"{url!r} is no http address: correct queue_failure_metrics_url")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_SECONDS) as answer:  # the scheme was checked above
            text = answer.read(_MOST_BYTES).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return Counted(trouble=f"{url} answered {error.code}")
    except OSError as error:
        return Counted(trouble=f"{url} did not answer: {error}")
    return Counted(_sum(text, settings["depth_metric"]), _sum(text, settings["handled_metric"]))


def _sum(text: str, wanted: str) -> float | None:
    values = []
    for line in text.splitlines():
        sample = _SAMPLE.match(line)
        if sample and sample[1] == wanted:
            try:
                values.append(float(sample[2]))
            except ValueError:
                return None
    total = sum(values) if values else None
    return total if total is not None and math.isfinite(total) else None
