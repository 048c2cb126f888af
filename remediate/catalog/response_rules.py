"""Reads the section `responses:` of remediate.yml: which alert starts which runbook, and how far that may go."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from remediate.catalog.document import Document, Problems
from remediate.catalog.people import Line
from remediate.domain.alert import AlertMode
from remediate.domain.approval import HIGHEST_LEVEL
from remediate.domain.host import Host
from remediate.domain.matcher import matcher
from remediate.domain.response_rule import INSTANCE, FromLabel, ResponseRule, rule_problems
from remediate.domain.runbook import Runbook

_LABEL = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"


def _written(text: str) -> str:
    matcher(text)
    return text


def _parameter(value: JsonValue) -> JsonValue:
    if isinstance(value, dict) and "label" in value:
        label = value["label"]
        if set(value) != {"label"} or not isinstance(label, str) or not re.fullmatch(_LABEL, label):
            raise ValueError("{label: NAME} is wanted, with the name of a label")
    return value


class ResponseRuleEntry(BaseModel):
    """One rule. The first rule that matches an alert says what is done; where none does, nothing is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Line = Field(description="The source that the alerts come from.")
    runbook: Line = Field(description="The runbook that is run.")
    matchers: tuple[Annotated[str, AfterValidator(_written)], ...] = Field(
        default=(),
        description='What labels must fulfil, such as `severity=~"critical|warning"`. Without one about `alertname`, '
        "the rule is about the alerts that the runbook's card names.",
    )
    parameters: dict[Line, Annotated[JsonValue, AfterValidator(_parameter)]] = Field(
        default={}, description="Parameters of the runbook: a value, or `{label: NAME}` for what a label holds."
    )
    group: Line = Field(description="The group of the inventory that the host has to be in.")
    mode: AlertMode = Field(
        default=AlertMode.ASK,
        description="`ask`: diagnose, plan and ask a human. `act`: carry out by itself what `unattended` allows. "
        "`suggest`: only record what would be done.",
    )
    unattended: int = Field(
        default=0,
        ge=0,
        le=HIGHEST_LEVEL,
        strict=True,
        description="With `mode: act`: the highest level that is carried out without a human, 0 to 4.",
    )
    then: tuple[Line, ...] = Field(
        default=(),
        description="Runbooks that are tried next, in this order, where the one before was proven not to have cured.",
    )
    host_label: str = Field(default=INSTANCE, pattern=_LABEL, description="The label that names the host.")

    @model_validator(mode="after")
    def _unattended_acts(self) -> Self:
        if self.mode is not AlertMode.ACT and self.unattended:
            raise ValueError(
                f"unattended: {self.unattended} means nothing with `mode: {self.mode.value}`; say `mode: act`"
            )
        return self

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        tried = (self.runbook, *self.then)
        if twice := sorted({name for name in tried if tried.count(name) > 1}):
            raise ValueError(f"then: {', '.join(twice)} would be tried twice; name each runbook once")
        if self.then and self.mode is AlertMode.SUGGEST:
            raise ValueError("then: nothing is tried with `mode: suggest`; say `mode: ask` or `mode: act`")
        return self

    def as_rule(self, written_at: str) -> ResponseRule:
        """Return the domain's value."""
        return ResponseRule(
            source=self.source,
            runbook=self.runbook,
            matchers=tuple(map(matcher, self.matchers)),
            parameters={name: _filled_by(value) for name, value in self.parameters.items()},
            group=self.group,
            mode=self.mode,
            then=self.then,
            unattended=self.unattended,
            host_label=self.host_label,
            written_at=written_at,
        )


def _filled_by(value: JsonValue) -> FromLabel | JsonValue:
    if isinstance(value, dict) and isinstance(label := value.get("label"), str):
        return FromLabel(label=label)
    return value


def check_response_rules(
    rules: Sequence[ResponseRuleEntry],
    sources: Collection[str],
    runbooks: Collection[str],
    document: Document,
    problems: Problems,
) -> None:
    """Note rules about what there is not: a source that nothing comes from, a runbook with a typing error."""
    for index, rule in enumerate(rules):
        named: list[tuple[str, tuple[str | int, ...], str, Collection[str]]] = [
            ("source", ("source",), rule.source, sources),
            ("runbook", ("runbook",), rule.runbook, runbooks),
            *(("runbook", ("then", number), name, runbooks) for number, name in enumerate(rule.then)),
        ]
        for kind, field, value, known in named:
            if value not in known:
                near = get_close_matches(value, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                document.note(("responses", index, *field), f"there is no {kind} {value!r}{hint}", problems)


def check_on_site(rules: Sequence[ResponseRule], runbooks: Mapping[str, Runbook], hosts: Sequence[Host]) -> None:
    """Raise InvalidDocument with everything that is wrong with rules on this site: groups without hosts, parameters.

    That takes the inventory and the runbooks, so it is asked when a service starts, not for every command.
    """
    problems = Problems()
    for index, rule in enumerate(rules):
        for field, what in rule_problems(rule, runbooks[rule.runbook], hosts):
            problems.sentences.append(f"{rule.written_at}: responses.{index}.{field}: {what}")
    problems.raise_if_any("The responses to alerts cannot be used, so the service was not started:")
