"""Whether the policy about alerts, the cards and what Prometheus and Alertmanager have loaded fit together: pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum

from remediate.domain.alert_route import AlertRoute, reaches
from remediate.domain.alert_rule import AlertRule
from remediate.domain.response_rule import ResponseRule
from remediate.domain.runbook import Runbook
from remediate.domain.text import quoted
from remediate.domain.times import span
from remediate.domain.value import Value


class Misfit(StrEnum):
    """What does not fit."""

    #: Nothing could be asked: there is no address, or no answer.
    NOT_ASKED = "not asked"
    #: An alert that is mapped, and no rule that is loaded makes it.
    NO_RULE = "no rule"
    #: A rule that Prometheus cannot evaluate.
    BROKEN = "broken rule"
    #: A rule that is loaded, and nothing is done about its alert.
    UNMAPPED = "unmapped"
    #: A rule that is loaded with other limits than the one that is shipped with the runbook.
    THRESHOLD = "threshold"
    #: The alert of a rule that is loaded has another severity than on the card.
    SEVERITY = "severity"
    #: Alertmanager tells us of it on no way.
    NOT_ROUTED = "not routed"


class Misfitting(Value):
    """One thing that does not fit, and what to do about it."""

    kind: Misfit
    source: str
    #: The alert, or the runbook, or the source itself.
    about: str
    what: str
    remedy: str
    #: Whether it is only worth knowing: nothing is lost by it.
    note: bool = False


class Loaded(Value):
    """What was asked about one source; None where it could not be, and why."""

    source: str
    rules: tuple[AlertRule, ...] | None = None
    rules_trouble: str = ""
    route: AlertRoute | None = None
    route_trouble: str = ""


class Expected(Value):
    """An alert that a runbook answers, as its card and the rules that are shipped with it say."""

    runbook: str
    name: str
    severity: str
    shipped: AlertRule | None = None


def expected_alerts(
    rules: Iterable[ResponseRule],
    source: str,
    runbooks: Mapping[str, Runbook],
    shipped: Mapping[str, Sequence[AlertRule]],
) -> tuple[Expected, ...]:
    """Return the alerts that the policy answers for a source: those of the cards of the runbooks that it names."""
    named = dict.fromkeys(rule.runbook for rule in rules if rule.source == source and not rule.names_alerts)
    return tuple(
        Expected(
            runbook=name,
            name=mapping.name,
            severity=mapping.severity.value,
            shipped=next((one for one in shipped.get(name, ()) if one.name == mapping.name), None),
        )
        for name in named
        for mapping in runbooks[name].alerts
    )


def misfits(
    loaded: Loaded, expected: Sequence[Expected], rules: Sequence[ResponseRule], runbooks: Mapping[str, Runbook]
) -> tuple[Misfitting, ...]:
    """Return everything about one source that does not fit."""
    return (
        *_not_asked(loaded),
        *(_of_rules(loaded, expected) if loaded.rules is not None else ()),
        *(_unmapped(loaded, rules, runbooks) if loaded.rules is not None else ()),
        *(_not_routed(loaded, expected) if loaded.route is not None else ()),
    )


def _not_asked(loaded: Loaded) -> Iterator[Misfitting]:
    asked = ((loaded.rules, loaded.rules_trouble, "prometheus"), (loaded.route, loaded.route_trouble, "url"))
    for found, trouble, field in asked:
        if found is None and trouble:
            remedy = f"is it up? see sources.{loaded.source}.{field} in remediate.yml"
            yield _misfit(loaded, Misfit.NOT_ASKED, loaded.source, trouble, remedy)


def _of_rules(loaded: Loaded, expected: Sequence[Expected]) -> Iterator[Misfitting]:
    for one in expected:
        found = [rule for rule in loaded.rules or () if rule.name == one.name]
        if not found:
            what = f"{one.runbook} answers {one.name}, and no rule that is loaded makes it"
            remedy = f"load playbooks/roles/{one.runbook.replace('-', '_')}/files/alerts.yml, or rules of your own"
            yield _misfit(loaded, Misfit.NO_RULE, one.name, what, remedy)
        for rule in found:
            yield from _of_rule(loaded, one, rule)


def _of_rule(loaded: Loaded, one: Expected, rule: AlertRule) -> Iterator[Misfitting]:
    if rule.trouble:
        yield _misfit(loaded, Misfit.BROKEN, rule.name, quoted(rule.trouble), "correct its expression in Prometheus")
    severity = rule.labels.get("severity", "")
    if severity != one.severity and "{{" not in severity:
        has = quoted(severity, 40) or "missing"
        what = f"its label severity is {has}, the card of {one.runbook} says {one.severity}"
        yield _misfit(loaded, Misfit.SEVERITY, rule.name, what, "correct the label of the rule, or the card")
    if one.shipped and (what := _difference(rule, one.shipped)):
        remedy = "load the rule that is shipped, unless this limit is meant: the runbook's own limits do not follow it"
        yield _misfit(loaded, Misfit.THRESHOLD, rule.name, what, remedy)


def _difference(rule: AlertRule, shipped: AlertRule) -> str:
    """Say in which limits two rules differ, or nothing."""
    here, there = limits(rule.expression), limits(shipped.expression)
    if here != there:
        return f"it fires at {', '.join(here) or 'no limit'}; shipped is {', '.join(there) or 'no limit'}"
    if rule.holds_for != shipped.holds_for:
        return f"it fires after {_for(rule.holds_for)}; shipped is {_for(shipped.holds_for)}"
    return ""


def _for(duration: timedelta) -> str:
    return span(duration) if duration else "no time at all"


_NUMBER = r"-?[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?"
_LIMIT = re.compile(rf"(==|!=|>=|<=|>|<)\s*(?:bool\s+)?({_NUMBER}(?:\s*\*\s*{_NUMBER})*)(?![0-9a-z.])", re.IGNORECASE)
_TEXT = re.compile(r"""\{[^{}]*\}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\[[^\]]*\]""")


def limits(expression: str) -> tuple[str, ...]:
    """Return the limits that an expression compares with, such as `> 90`, sorted: however it is written."""
    bare = _TEXT.sub(" ", expression[:20_000])
    found = ((sign, math.prod(map(float, text.split("*")))) for sign, text in _LIMIT.findall(bare))
    return tuple(sorted(f"{sign} {number:.10g}" for sign, number in found))


def _unmapped(loaded: Loaded, rules: Sequence[ResponseRule], runbooks: Mapping[str, Runbook]) -> Iterator[Misfitting]:
    """Alerts that nothing is done about. Those that name a runbook of ours want something to be done."""
    mine = [rule for rule in rules if rule.source == loaded.source]
    named = {rule.name: rule.annotations.get("runbook", "") for rule in loaded.rules or ()}
    for name, annotated in sorted(named.items()):
        if any(_may_answer(rule, name, runbooks[rule.runbook]) for rule in mine):
            continue
        ours = annotated in runbooks
        what = f"its rule names the runbook {annotated}" if ours else "nothing is done about it"
        remedy = f"add a rule with `source: {loaded.source}` to `responses:` in remediate.yml"
        yield _misfit(loaded, Misfit.UNMAPPED, name, f"no response is for it; {what}", remedy, note=not ours)


def _may_answer(rule: ResponseRule, name: str, runbook: Runbook) -> bool:
    """Whether a rule may be about alerts of a name; what their other labels hold is not known here."""
    if rule.names_alerts:
        return all(one.matches({"alertname": name}) for one in rule.matchers if one.label == "alertname")
    return name in {mapping.name for mapping in runbook.alerts}


def _not_routed(loaded: Loaded, expected: Sequence[Expected]) -> Iterator[Misfitting]:
    assert loaded.route is not None  # noqa: S101  # asked by the caller
    for one in expected:
        found = next((rule.labels for rule in loaded.rules or () if rule.name == one.name), {})
        labels = {"alertname": one.name, "severity": one.severity, **found}
        # What a template makes of it is not known.
        known = {name: value for name, value in labels.items() if "{{" not in value}
        path = f"/webhook/alertmanager/{loaded.source}"
        if not reaches(loaded.route, known, path):
            what = "no route of Alertmanager leads it to a receiver that posts to us"
            remedy = f"add a receiver whose url ends with {path}, and a route to it"
            yield _misfit(loaded, Misfit.NOT_ROUTED, one.name, what, remedy)


def _misfit(loaded: Loaded, kind: Misfit, about: str, what: str, remedy: str, *, note: bool = False) -> Misfitting:
    return Misfitting(kind=kind, source=loaded.source, about=quoted(about, 100), what=what, remedy=remedy, note=note)
