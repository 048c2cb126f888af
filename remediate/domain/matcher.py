"""Matchers on labels, as Prometheus and Alertmanager write them: `severity="critical"`, `mountpoint=~"/(var|srv)"`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cached_property

from pydantic import model_validator

from remediate.domain.value import Value

#: A longer value is matched by no regular expression: who sends it must not decide how long we think about it.
LONGEST_MATCHED = 256
_LONGEST_PATTERN = 500
_WRITTEN = re.compile(r"\s*(?P<label>[A-Za-z_][A-Za-z0-9_]*)\s*(?P<kind>=~|!~|!=|=)\s*(?P<value>.*?)\s*\Z", re.DOTALL)
#: A group that is repeated, or what looks at itself: these can take time without end on a value that is made for it.
_ENDLESS = re.compile(r"\)\s*[*+{]|\\[1-9]|\(\?(?!:)")
_MOST_REPEATS = 3


class Kind(StrEnum):
    """How a value is compared."""

    EQUAL = "="
    NOT_EQUAL = "!="
    MATCHES = "=~"
    MATCHES_NOT = "!~"


class Matcher(Value):
    """One condition on one label. A label that is missing has the empty value; a regular expression matches in full."""

    label: str
    kind: Kind
    value: str

    @model_validator(mode="after")
    def _can_be_matched(self) -> Matcher:
        if self.kind in {Kind.MATCHES, Kind.MATCHES_NOT}:
            _check_pattern(self.value)
        return self

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self.value, re.DOTALL)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels fulfil the condition."""
        given = labels.get(self.label, "")
        match self.kind:
            case Kind.EQUAL:
                return given == self.value
            case Kind.NOT_EQUAL:
                return given != self.value
        if len(given) > LONGEST_MATCHED:
            return False
        return (self._pattern.fullmatch(given) is not None) is (self.kind is Kind.MATCHES)

    def __str__(self) -> str:
        """Return it as it is written."""
        return f'{self.label}{self.kind.value}"{self.value}"'


def matcher(text: str) -> Matcher:
    """Return the matcher that a text writes, its value with or without quotation marks; raises ValueError."""
    found = _WRITTEN.match(text)
    if found is None:
        raise ValueError(f"{text!r} is no matcher: LABEL=VALUE is wanted, or != or =~ or !~ between them")
    value = found["value"]
    quotes = value[:1]
    if quotes in {'"', "'"}:
        if len(value) < 2 or not value.endswith(quotes):
            raise ValueError(f"{text!r}: the quotation mark at its end is missing")
        value = value[1:-1]
    return Matcher(label=found["label"], kind=Kind(found["kind"]), value=value)


def all_match(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Return whether labels fulfil every condition."""
    return all(one.matches(labels) for one in matchers)


def _check_pattern(pattern: str) -> None:
    if len(pattern) > _LONGEST_PATTERN:
        raise ValueError(f"a regular expression has at most {_LONGEST_PATTERN} characters")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
    plain = re.sub(r"\\.|\[[^\]]*\]", "x", re.sub(r"\\[1-9]", r")*", pattern))
    if _ENDLESS.search(plain):
        raise ValueError(f"{pattern!r} repeats a group, or looks around: a value could keep it busy for ever")
    if any(len(re.findall(r"[*+{]", branch)) > _MOST_REPEATS for branch in re.split(r"[|()]", plain)):
        raise ValueError(f"{pattern!r} repeats more than {_MOST_REPEATS} things: a value could keep it busy for long")
