"""Prometheus over its HTTP API, version 1: the rules that are loaded, what is scraped, and what an expression finds.

An expression is asked as it stands in the rule; labels of an alert are never written into it. What it finds is compared
with them here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from remediate.adapters.json_api import NOTHING, JsonApi, number
from remediate.catalog.endpoint import Endpoint
from remediate.domain.alert_rule import AlertRule, ScrapeTarget, Series
from remediate.domain.text import quoted
from remediate.engine.monitoring import Answer

#: More series than these are not one host's trouble.
_MOST_SERIES = 100_000


class Prometheus:
    """Implements the port `Monitoring`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._api = JsonApi("Prometheus", endpoint)

    def rules(self) -> tuple[AlertRule, ...]:
        """Return the alerting rules that are loaded."""
        groups = self._data(self._api.get("/api/v1/rules", parameters={"type": "alert"})).get("groups")
        with self._understood("rules"):
            return tuple(_rules(groups))

    def targets(self) -> tuple[ScrapeTarget, ...]:
        """Return what is scraped; empty where the service scrapes nothing itself and knows no such path."""
        answer = self._api.get("/api/v1/targets", parameters={"state": "active"}, optional=True)
        if answer is NOTHING:
            return ()
        data = self._data(answer)
        with self._understood("targets"):
            return tuple(_target(one) for one in data["activeTargets"])

    def ask(self, expression: str) -> Answer:
        """Return what an expression finds now."""
        answer = self._api.post("/api/v1/query", form={"query": expression, "timeout": "10s"})
        data = self._data(answer)
        with self._understood("samples"):
            warnings = tuple(quoted(str(one)) for one in answer.get("warnings", ()))
            return Answer(series=tuple(_series(data)), warnings=warnings)

    def time(self) -> datetime:
        """Return the time now by the clock of Prometheus."""
        data = self._data(self._api.post("/api/v1/query", form={"query": "time()"}))
        with self._understood("a time"):
            return datetime.fromtimestamp(float(data["result"][1]), UTC)

    def _data(self, answer: Any) -> dict[str, Any]:
        if (
            not isinstance(answer, dict)
            or answer.get("status") != "success"
            or not isinstance(answer.get("data"), dict)
        ):
            raise self._api.nonsense("no data")
        data: dict[str, Any] = answer["data"]
        return data

    def _understood(self, what: str) -> Understood:
        return Understood(self._api, what)


class Understood:
    """Turns what reading an answer of another form raises into one error."""

    def __init__(self, api: JsonApi, what: str) -> None:
        self._api = api
        self._what = what

    def __enter__(self) -> None:
        """Nothing is needed to begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Say which part of the answer could not be understood."""
        if isinstance(error, (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError)):
            raise self._api.nonsense(f"{self._what} of another form") from error


def _rules(groups: Any) -> Iterator[AlertRule]:
    for group in groups:
        for rule in group["rules"]:
            if rule["type"] == "alerting":
                yield AlertRule(
                    name=rule["name"],
                    expression=rule["query"],
                    holds_for=timedelta(seconds=float(rule.get("duration", 0))),
                    labels=rule.get("labels") or {},
                    annotations=rule.get("annotations") or {},
                    group=group["name"],
                    trouble=quoted(rule.get("lastError") or "no reason given") if rule.get("health") == "err" else "",
                )


def _target(found: Any) -> ScrapeTarget:
    scraped = moment(found["lastScrape"])
    return ScrapeTarget(
        labels=found["labels"],
        up=found["health"] == "up",
        # A target that was never scraped has the year 1.
        last_scrape=scraped if scraped.year > 1970 else None,
    )


def _series(data: Any) -> Iterator[Series]:
    if data["resultType"] == "scalar":
        # A number is always there: an expression of a rule never gives one.
        yield Series(labels={}, value=number(data["result"][1]))
        return
    if data["resultType"] != "vector":
        raise ValueError(f"a {data['resultType']} is no answer to an instant query")
    yield from _vector(data["result"])


def _vector(result: Iterable[Any]) -> Iterator[Series]:
    for index, one in enumerate(result):
        if index >= _MOST_SERIES:
            raise ValueError("too many series")
        # A histogram has no single value; that it is there is what counts.
        value = one["value"][1] if "value" in one else "inf"
        yield Series(labels=one["metric"], value=number(value))


def moment(text: str) -> datetime:
    """Return a moment as Go writes it: RFC 3339, with up to nine digits after the second."""
    whole, dot, rest = text.partition(".")
    if dot:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        text = f"{whole}.{rest[:digits][:6]:0<6}{rest[digits:]}"
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a moment without its zone")
    return found.astimezone(UTC)
