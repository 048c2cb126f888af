"""What Prometheus knows about an alert: its rule, the series that its expression finds, the targets it is made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from remediate.domain.value import Value

#: What Prometheus itself adds to the labels of an alert.
_ADDED = frozenset({"alertname", "__name__"})


class AlertRule(Value):
    """An alerting rule, as Prometheus has loaded it."""

    name: str
    expression: str
    #: How long the expression has to hold before the alert fires.
    holds_for: timedelta = timedelta(0)
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    group: str = ""
    #: Why Prometheus could not evaluate it the last time; empty: it could.
    trouble: str = ""


class Series(Value):
    """One series that an expression finds now."""

    labels: dict[str, str]
    value: float


class ScrapeTarget(Value):
    """Something that Prometheus scrapes."""

    labels: dict[str, str]
    up: bool
    #: When it was last scraped; None: not yet.
    last_scrape: datetime | None = None


def rules_of(labels: Mapping[str, str], rules: Iterable[AlertRule]) -> tuple[AlertRule, ...]:
    """Return the rules that an alert with these labels may come from: by name, and by the labels that are fixed.

    A label that the rule makes from a template may have any value.
    """
    named = (rule for rule in rules if rule.name == labels.get("alertname"))
    return tuple(rule for rule in named if all(_fits(labels.get(name), text) for name, text in rule.labels.items()))


def _fits(value: str | None, written: str) -> bool:
    return value == written or "{{" in written


def is_of(labels: Mapping[str, str], series: Series, rule: AlertRule) -> bool:
    """Return whether a series is the one that an alert tells about: no label of the two says something else.

    A label that the alert does not have was taken away on its way; it then counts for every such series. The rule's
    own labels have replaced those of the series.
    """
    own = _ADDED | set(rule.labels)
    return all(labels.get(name, value) == value for name, value in series.labels.items() if name not in own)


def targets_of(labels: Mapping[str, str], targets: Iterable[ScrapeTarget]) -> tuple[ScrapeTarget, ...]:
    """Return the targets that an alert may be made from: those of which no label says something else.

    An alert that shares no label with any target may be made from all of them, which none does exactly: then none.
    """
    found = [target for target in targets if set(target.labels) & set(labels) - {"job"}]
    return tuple(
        target for target in found if all(labels.get(name, text) == text for name, text in target.labels.items())
    )
