"""Reads documents about alerts that others write: rule files of Prometheus, the configuration of Alertmanager."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from remediate.domain.alert_route import AlertRoute, Receiver, RouteNode
from remediate.domain.alert_rule import AlertRule
from remediate.domain.look_back import look_back
from remediate.domain.matcher import Kind, Matcher, matcher
from remediate.errors import UsageError

_FILE = Path("files") / "alerts.yml"
_DEEPEST = 30


def shipped_rules(role: Path) -> tuple[AlertRule, ...]:
    """Return the alerting rules that a role brings; none where it has no file of them.

    Raises UsageError when its file is not one of rules.
    """
    path = role / _FILE
    if not path.is_file():
        return ()
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        return tuple(_rules(found))
    except (yaml.YAMLError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is no file of alerting rules: {error}", next_step=f"try `promtool check rules {path}`"
        ) from error


def _rules(document: Any) -> Iterator[AlertRule]:
    for group in document["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                yield AlertRule(
                    name=rule["alert"],
                    expression=rule["expr"],
                    holds_for=_duration(rule.get("for", "0s")),
                    labels=rule.get("labels") or {},
                    annotations=rule.get("annotations") or {},
                    group=group["name"],
                )


def _duration(text: str) -> timedelta:
    # Prometheus writes durations everywhere as it writes ranges.
    found = look_back(f"x[{text}]")
    if found is None:
        raise ValueError(f"no duration: {text}")
    return found


def alert_route(text: str) -> AlertRoute:
    """Return the routes that a configuration of Alertmanager describes; raises UsageError when it is none."""
    try:
        document = yaml.safe_load(text)
        receivers = tuple(_receiver(one) for one in document.get("receivers") or ())
        return AlertRoute(root=_route(document["route"], "", _DEEPEST), receivers=receivers)
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"The configuration of Alertmanager cannot be read: {type(error).__name__}.") from error


def _receiver(found: Any) -> Receiver:
    posts = found.get("webhook_configs") or ()
    # An address may stand in a file that only Alertmanager reads.
    return Receiver(name=found["name"], urls=tuple(str(one.get("url") or "<secret>") for one in posts))


def _route(found: Any, above: str, depth: int) -> RouteNode:
    if depth == 0:
        raise ValueError("routes below routes without end")
    receiver = found.get("receiver") or above
    matchers, unsure = _matchers(found)
    return RouteNode(
        receiver=receiver,
        matchers=matchers,
        goes_on=bool(found.get("continue")),
        below=tuple(_route(one, receiver, depth - 1) for one in found.get("routes") or ()),
        unsure=unsure,
    )


def _matchers(found: Any) -> tuple[tuple[Matcher, ...], bool]:
    """Return what an alert has to fulfil, and whether some of it could not be read."""
    read: list[Matcher] = []
    unsure = False
    plain = [
        Matcher(label=name, kind=Kind.EQUAL, value=str(value)) for name, value in (found.get("match") or {}).items()
    ]
    written = [f"{name}=~{value}" for name, value in (found.get("match_re") or {}).items()]
    for text in [*written, *(found.get("matchers") or ())]:
        for part in _parts(str(text)):
            try:
                read.append(matcher(part))
            except ValueError:
                unsure = True
    return (*plain, *read), unsure


def _parts(text: str) -> list[str]:
    """One text may hold several matchers: `{a="b", c=~"d"}`; commas within quotation marks divide nothing."""
    inner = text.strip().removeprefix("{").removesuffix("}")
    return [part for part in re.findall(r'(?:[^,"]|"(?:\\.|[^"\\])*")+', inner) if part.strip()]
