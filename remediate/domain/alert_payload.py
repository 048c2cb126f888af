"""Reads what Alertmanager and Grafana post: bounded, pure, and with one named error whatever is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, NoReturn
from urllib.parse import urlsplit

from remediate.domain.alert import Alert, AlertStatus
from remediate.domain.text import quoted
from remediate.domain.value import Value
from remediate.errors import UnreadableDelivery

SourceKind = Literal["alertmanager", "grafana"]

#: What no real delivery exceeds. Alertmanager itself takes no more than 64 labels from a well-kept Prometheus.
MOST_BYTES = 1024 * 1024
MOST_ALERTS = 5000
MOST_LABELS = 100
LONGEST_NAME = 256
LONGEST_LABEL = 4096
LONGEST_ANNOTATION = 16384
LONGEST_URL = 4096
_DEEPEST = 20
#: How many problems are told.
_MOST_PROBLEMS = 20

#: Which version of the payload each kind of source posts.
_VERSIONS: Mapping[SourceKind, str] = {"alertmanager": "4", "grafana": "1"}

_FINGERPRINT = re.compile(r"[0-9a-f]{1,64}\Z")
#: RFC 3339 as Go writes it, with up to nine digits of a second; of those, six are kept.
_MOMENT = re.compile(
    r"(?P<second>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?"
    r"(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})\Z"
)
_YEARS = range(2000, 2200)
#: NUL and half characters: no database and no log keeps them.
_UNKEEPABLE = re.compile(r"[\x00\ud800-\udfff]")


class Delivery(Value):
    """What one post of a source holds."""

    alerts: tuple[Alert, ...]
    #: Why some alerts of it cannot be used, one sentence each; the others count all the same.
    refused: tuple[str, ...] = ()
    #: How many alerts its source has left out.
    truncated: int = 0
    #: The group that it tells about, as its source names it.
    group: str = ""


def read_delivery(body: bytes, source: str, kind: SourceKind) -> Delivery:
    """Return what a post of a source holds; raises UnreadableDelivery with every problem when it is none.

    One alert that is wrong does not hide the others: whoever can make one alert fire could keep the rest from us.
    """
    if len(body) > MOST_BYTES:
        _refuse(f"it has {len(body)} bytes, more than {MOST_BYTES}")
    envelope = _parsed(body)
    listed, truncated = _checked(envelope, kind)
    alerts: dict[str, Alert] = {}
    refused: list[str] = []
    for number, given in enumerate(listed):
        try:
            alert = _alert(given, source)
        except ValueError as error:
            refused.append(f"alert {number + 1}: {error}")
        else:
            # Of one that stands there twice, the end counts: it is the later news.
            if alert.key not in alerts or alert.status is AlertStatus.RESOLVED:
                alerts[alert.key] = alert
    if refused and not alerts:
        _refuse(*refused)
    return Delivery(
        alerts=tuple(alerts.values()),
        refused=tuple(refused[:_MOST_PROBLEMS]),
        truncated=truncated,
        group=quoted(str(envelope.get("groupKey") or "")),
    )


def _parsed(body: bytes) -> dict[str, object]:
    try:
        # Of bytes json guesses the encoding; a sender that may choose it can say the same thing in many ways.
        text = body.decode("utf-8")
        found = json.loads(text, object_pairs_hook=_no_name_twice, parse_constant=_no_constant)
    except UnicodeDecodeError:
        _refuse("it is not UTF-8")
    except RecursionError:
        _refuse("it is nested too deeply")
    except ValueError as error:
        _refuse(f"it is not JSON that can be used: {quoted(str(error))}")
    if not isinstance(found, dict):
        _refuse("a JSON object is wanted")
    if _is_deeper(found, _DEEPEST):
        _refuse("it is nested too deeply")
    return found


def _no_name_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Two readers of one text must not see two things."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _is_deeper(value: object, limit: int) -> bool:
    """Look level by level, so that the depth of what is looked at is not the depth of the looking."""
    level: list[object] = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _checked(envelope: Mapping[str, object], kind: SourceKind) -> tuple[list[object], int]:
    """Return the alerts, unread, and how many were left out; what is wrong around them is told all at once."""
    problems = []
    if envelope.get("version") != _VERSIONS[kind]:
        problems.append(f"version: {_VERSIONS[kind]!r} is wanted, as {kind} posts it")
    alerts = envelope.get("alerts")
    if not isinstance(alerts, list):
        problems.append("alerts: a list is wanted")
    elif len(alerts) > MOST_ALERTS:
        problems.append(f"alerts: {len(alerts)} of them, more than {MOST_ALERTS}")
    truncated = envelope.get("truncatedAlerts") or 0
    is_count = isinstance(truncated, int) and not isinstance(truncated, bool) and 0 <= truncated < 2**31
    if not is_count:
        problems.append("truncatedAlerts: a count is wanted")
    if problems or not isinstance(alerts, list) or not isinstance(truncated, int):
        _refuse(*problems)
    return alerts, truncated


def _alert(given: object, source: str) -> Alert:
    """Return one alert; raises ValueError with the first problem. Fields that we do not know are not looked at."""
    if not isinstance(given, dict):
        raise ValueError("an object is wanted")
    fingerprint = given.get("fingerprint")
    if not isinstance(fingerprint, str) or not _FINGERPRINT.match(fingerprint):
        raise ValueError("fingerprint: up to 64 hexadecimal digits are wanted")
    status = given.get("status")
    if status not in ("firing", "resolved"):  # a list in its place has no hash
        raise ValueError("status: firing or resolved is wanted")
    return Alert(
        source=source,
        fingerprint=fingerprint,
        status=AlertStatus(status),
        starts_at=_moment(given.get("startsAt"), "startsAt"),
        ends_at=_moment(given.get("endsAt"), "endsAt") if status == "resolved" else None,
        labels=_texts(given.get("labels"), "labels", LONGEST_LABEL),
        annotations=_texts(given.get("annotations"), "annotations", LONGEST_ANNOTATION),
        generator_url=safe_link(given.get("generatorURL")),
    )


def read_active(given: object, source: str) -> Alert:
    """Return an alert as Alertmanager lists those that have not resolved; raises ValueError with the first problem."""
    if not isinstance(given, dict):
        raise ValueError("an object is wanted")
    return _alert({**given, "status": "firing"}, source)


def _moment(given: object, field: str) -> datetime:
    match = _MOMENT.match(given) if isinstance(given, str) and len(given) < 64 else None
    if match is None:
        raise ValueError(f"{field}: a moment like 2026-11-23T21:15:00Z is wanted")
    try:
        zone = "+00:00" if match["zone"] == "Z" else match["zone"]
        found = datetime.fromisoformat(f"{match['second']}.{(match['fraction'] or '0')[:6]:0<6}{zone}")
        moment = found.astimezone(UTC) if found.year in _YEARS else None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(f"{field}: there is no such moment, or it is far away")
    return moment


def _texts(given: object, field: str, longest: int) -> dict[str, str]:
    """Return labels or annotations: names and values, of which nothing else is known."""
    if given is None:
        return {}
    if not isinstance(given, dict) or len(given) > MOST_LABELS:
        raise ValueError(f"{field}: an object of at most {MOST_LABELS} names is wanted")
    for name, value in given.items():
        if not isinstance(value, str) or len(value) > longest or not 0 < len(name) <= LONGEST_NAME:
            raise ValueError(f"{field}: {quoted(name, 60)!r}: text of at most {longest} characters is wanted")
        if _UNKEEPABLE.search(name) or _UNKEEPABLE.search(value):
            raise ValueError(f"{field}: {quoted(name, 60)!r}: it holds characters that cannot be kept")
    return given


def safe_link(given: object) -> str:
    """Return a link as it may be shown: to http or https, printable, without a log-in; else an empty string."""
    if not isinstance(given, str) or len(given) > LONGEST_URL or not given.isprintable() or " " in given:
        return ""
    try:
        parts = urlsplit(given)
    except ValueError:
        return ""
    is_link = parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
    return given if is_link else ""


def _refuse(*problems: str) -> NoReturn:
    left_out = len(problems) - _MOST_PROBLEMS
    listed = [*problems[:_MOST_PROBLEMS], *([f"and {left_out} more"] if left_out > 0 else [])]
    raise UnreadableDelivery("\n  ".join(["This delivery cannot be used; nothing of it was taken:", *listed]))
