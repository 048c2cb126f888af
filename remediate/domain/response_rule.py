"""The policy about alerts: which alert starts which runbook, where, with what, and how far it may go. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from remediate.domain.alert import Alert, AlertAnswer, AlertDecision, AlertMode
from remediate.domain.approval import HIGHEST_LEVEL
from remediate.domain.host import Host
from remediate.domain.matcher import Matcher, all_match
from remediate.domain.parameter import checked_parameters, short_name
from remediate.domain.runbook import AlertMapping, ParameterValue, Runbook
from remediate.domain.target import NoTarget, target
from remediate.domain.text import quoted
from remediate.domain.value import Value

#: The label by which an alert says what it is about.
INSTANCE = "instance"


class FromLabel(Value):
    """A parameter that a label of the alert fills."""

    label: str


class ResponseRule(Value):
    """One rule: what it is about, what is run, and how far that may go by itself."""

    source: str
    runbook: str
    #: What an alert has to fulfil besides; without one about its name, it is an alert that the runbook's card names.
    matchers: tuple[Matcher, ...] = ()
    #: Values, and labels that hold values; those of the card stand behind them.
    parameters: dict[str, FromLabel | ParameterValue] = {}
    #: The group of the inventory that the host has to be in.
    group: str
    mode: AlertMode = AlertMode.ASK
    #: The runbooks that are tried after it, in this order, each where the one before it has not cured.
    then: tuple[str, ...] = ()
    #: Up to which level plans are carried out without a human, where the mode is `act`.
    unattended: int = Field(default=0, ge=0, le=HIGHEST_LEVEL)
    #: The label that names the host.
    host_label: str = INSTANCE
    #: Where it is written, for messages: `remediate.yml:34`.
    written_at: str = ""

    @property
    def runbooks(self) -> tuple[str, ...]:
        """All runbooks that may be run because of it, in the order in which they are tried."""
        return (self.runbook, *self.then)

    @property
    def names_alerts(self) -> bool:
        """Whether the rule itself says by name which alerts it is about."""
        return any(one.label == "alertname" for one in self.matchers)


class Decided(Value):
    """What was decided about an alert, and what a run of it is to do where there is one."""

    answer: AlertAnswer
    rule: ResponseRule | None = None
    host: str = ""
    parameters: dict[str, ParameterValue] = {}

    @property
    def unattended(self) -> int | None:
        """Up to which level the run may act without a human; None: a human is asked whatever the level is."""
        return self.rule.unattended if self.rule and self.rule.mode is AlertMode.ACT else None


def decide(
    alert: Alert, rules: Sequence[ResponseRule], runbooks: Mapping[str, Runbook], hosts: Sequence[Host]
) -> Decided:
    """Decide what is done about an alert: the first rule that matches it says so. Without a rule nothing is done."""
    rule = next((one for one in rules if _matches(one, alert, runbooks[one.runbook])), None)
    if rule is None:
        of_source = sum(one.source == alert.source for one in rules)
        why = f"none of the {of_source} rules for {alert.source} matches it" if of_source else "its source has no rules"
        return _not(AlertDecision.NO_RULE, why)
    runbook = runbooks[rule.runbook]
    found = target(alert.labels.get(rule.host_label, ""), hosts)
    if isinstance(found, NoTarget):
        return _not(AlertDecision.NO_TARGET, found.reason, rule)
    if rule.group not in next(host.groups for host in hosts if host.name == found.host):
        return _not(AlertDecision.OTHER_GROUP, f"{found.host} is not in the group {rule.group}", rule)
    values, problems = _parameters(rule, alert, runbook)
    if problems:
        return _not(AlertDecision.BAD_PARAMETER, quoted("; ".join(problems)), rule)
    looks = rule.mode is AlertMode.SUGGEST
    answer = AlertAnswer(
        decision=AlertDecision.SUGGESTED if looks else AlertDecision.ADMITTED,
        reason=f"{rule.written_at or 'a rule'} says: {_says(rule)}, for {found.host}",
        runbook=rule.runbook,
        mode=rule.mode,
    )
    return Decided(answer=answer, rule=rule, host=found.host, parameters=values)


def following(rule: ResponseRule, runbook: str) -> str:
    """Return the runbook that a rule wants tried where another one of it has not cured; empty: a human has to look."""
    if runbook not in rule.runbooks:
        return ""  # the rule was changed since
    return next(iter(rule.runbooks[rule.runbooks.index(runbook) + 1 :]), "")


def _says(rule: ResponseRule) -> str:
    if rule.mode is AlertMode.ACT:
        return f"act, without a human up to level {rule.unattended}"
    return "diagnose, plan and ask" if rule.mode is AlertMode.ASK else "only say what would be done"


def _matches(rule: ResponseRule, alert: Alert, runbook: Runbook) -> bool:
    named = rule.names_alerts or mapping_of(alert, runbook) is not None
    return rule.source == alert.source and named and all_match(rule.matchers, alert.labels)


def mapping_of(alert: Alert, runbook: Runbook) -> AlertMapping | None:
    """Return what the card of a runbook says about an alert, or None when it does not name it."""
    return next((one for one in runbook.alerts if one.name == alert.name and _fulfils(alert, one.matchers)), None)


def _fulfils(alert: Alert, wanted: Mapping[str, str]) -> bool:
    return all(alert.labels.get(label) == value for label, value in wanted.items())


def _parameters(
    rule: ResponseRule, alert: Alert, runbook: Runbook
) -> tuple[dict[str, ParameterValue], tuple[str, ...]]:
    """Return the typed values for a run; a label that is missing fills nothing, and the default counts."""
    mapping = mapping_of(alert, runbook)
    labelled = {
        short_name(name, runbook.role): label for name, label in (mapping.parameters if mapping else {}).items()
    }
    given: dict[str, object] = {name: alert.labels[label] for name, label in labelled.items() if label in alert.labels}
    missing = []
    for name, value in rule.parameters.items():
        if not isinstance(value, FromLabel):
            given[short_name(name, runbook.role)] = value
        elif value.label in alert.labels:
            given[short_name(name, runbook.role)] = alert.labels[value.label]
        else:
            missing.append(f"{name}: the alert has no label {value.label}")
    values, problems = checked_parameters(runbook.parameters, runbook.role, given)
    return values, (*missing, *problems)


def _not(decision: AlertDecision, reason: str, rule: ResponseRule | None = None) -> Decided:
    runbook, mode = (rule.runbook, rule.mode) if rule else ("", None)
    answer = AlertAnswer(decision=decision, reason=reason, runbook=runbook, mode=mode)
    return Decided(answer=answer, rule=rule)


def rule_problems(rule: ResponseRule, runbook: Runbook, hosts: Sequence[Host]) -> tuple[tuple[str, str], ...]:
    """Return what is wrong with a rule on this site: the field, and a sentence that says what to do about it."""
    problems: list[tuple[str, str]] = []
    groups = {group for host in hosts for group in host.groups}
    if rule.group not in groups:
        known = ", ".join(sorted(groups)[:15]) or "none"
        problems.append(
            ("group", f"no host of the inventory is in the group {rule.group!r}; groups with hosts: {known}")
        )
    fixed = {name: value for name, value in rule.parameters.items() if not isinstance(value, FromLabel)}
    _, wrong = checked_parameters(runbook.parameters, runbook.role, fixed)
    labelled = [name for name, value in rule.parameters.items() if isinstance(value, FromLabel)]
    known_names = {*runbook.parameters, *(short_name(name, runbook.role) for name in runbook.parameters)}
    unknown = [f"{name}: {runbook.id} has no such parameter" for name in labelled if name not in known_names]
    problems += [("parameters", f"{what}; see `remediate show {runbook.id}`") for what in (*wrong, *unknown)]
    if not rule.names_alerts and not runbook.alerts:
        what = f'the card of {runbook.id} names no alerts: name them, with a matcher such as alertname="NAME"'
        problems.append(("matchers", what))
    return tuple(problems)
