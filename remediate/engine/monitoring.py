"""The ports to what watches the hosts: Prometheus knows why an alert fires, Alertmanager tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from remediate.domain.alert import Alert
from remediate.domain.alert_rule import AlertRule, ScrapeTarget, Series
from remediate.domain.silence import KeptSilence, Silence
from remediate.domain.value import Value


class Answer(Value):
    """What an expression finds now."""

    series: tuple[Series, ...]
    warnings: tuple[str, ...] = ()


class Monitoring(Protocol):
    """What evaluates the rules. Every method raises MonitoringFailed when it does not answer as it should."""

    def rules(self) -> tuple[AlertRule, ...]:
        """Return the alerting rules that are loaded."""
        ...

    def targets(self) -> tuple[ScrapeTarget, ...]:
        """Return what is scraped; empty where that is not told."""
        ...

    def ask(self, expression: str) -> Answer:
        """Return what an expression finds now."""
        ...

    def time(self) -> datetime:
        """Return the time now by its own clock."""
        ...


class Messenger(Protocol):
    """What tells us of alerts. Every method raises MonitoringFailed when it does not answer as it should."""

    def alerts(self) -> tuple[Alert, ...]:
        """Return the alerts that it holds and that have not resolved, those that are silenced too."""
        ...

    def silence(self, wanted: Silence) -> str:
        """Make a silence and return its id."""
        ...

    def silences(self, comment: str) -> tuple[str, ...]:
        """Return the ids of silences that are not over, and that were made by us with this comment."""
        ...

    def unsilence(self, external_id: str) -> None:
        """End a silence; one that is over, or that there never was, is fine."""
        ...

    def configuration(self) -> str:
        """Return its configuration as YAML, in which it has blotted out all secrets."""
        ...


@dataclass(frozen=True)
class Watcher:
    """What there is to ask about the alerts of one source; neither, where the settings name no address."""

    monitoring: Monitoring | None = None
    messenger: Messenger | None = None


#: By the name of the source that an alert came from.
Watchers = Mapping[str, Watcher]


class Silences(Protocol):
    """The record of our silences. Every method is one transaction."""

    def want(self, wanted: Silence) -> KeptSilence:
        """Record a silence that is about to be made."""
        ...

    def made(self, kept: KeptSilence, external_id: str) -> KeptSilence:
        """Record what the silence is called where it was made."""
        ...

    def removed(self, kept: KeptSilence, now: datetime) -> None:
        """Record that a silence is gone."""
        ...

    def not_removed(self, kept: KeptSilence, trouble: str) -> None:
        """Record why a silence could not be removed."""
        ...

    def standing(self, *, run_id: str = "") -> tuple[KeptSilence, ...]:
        """Return the silences that are not known to be gone, oldest first; of one run only, when it is named."""
        ...
