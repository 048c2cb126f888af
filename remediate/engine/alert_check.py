"""Asks whether the policy about alerts fits what others have loaded, and what old alerts would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from remediate.catalog.alert_documents import alert_route, shipped_rules
from remediate.catalog.loader import Catalogue
from remediate.domain.alert import Alert
from remediate.domain.alert_check import Loaded, Misfitting, expected_alerts, misfits
from remediate.domain.host import Host
from remediate.domain.response_rule import Decided, ResponseRule, decide
from remediate.domain.runbook import Runbook
from remediate.engine.monitoring import Watcher, Watchers
from remediate.errors import MonitoringFailed, UsageError


class AlertCheck:
    """Compares; changes nothing."""

    def __init__(self, watchers: Watchers, catalogue: Catalogue, rules: Sequence[ResponseRule]) -> None:
        self._watchers = watchers
        self._catalogue = catalogue
        self._rules = tuple(rules)

    def check(self) -> tuple[Misfitting, ...]:
        """Return everything that does not fit, source by source; raises UsageError where there is no source."""
        if not self._watchers:
            raise UsageError(
                "No source of alerts is configured, so there is nothing to compare.",
                next_step="add `sources:` to remediate.yml, as docs/how-to/alerts.md shows",
            )
        runbooks = {runbook.id: runbook for runbook in self._catalogue.load_all()}
        shipped = {name: shipped_rules(self._catalogue.role_directory(name)) for name in runbooks}
        found: list[Misfitting] = []
        for source, watcher in self._watchers.items():
            expected = expected_alerts(self._rules, source, runbooks, shipped)
            found += misfits(_loaded(source, watcher), expected, self._rules, runbooks)
        return tuple(found)

    def replay(self, alerts: Sequence[Alert], hosts: Sequence[Host]) -> tuple[tuple[Alert, Decided], ...]:
        """Return what would be decided about alerts now; nothing is recorded, and nothing is run."""
        runbooks: Mapping[str, Runbook] = {
            name: self._catalogue.load(name) for rule in self._rules for name in rule.runbooks
        }
        return tuple((alert, decide(alert, self._rules, runbooks, hosts)) for alert in alerts)


def _loaded(source: str, watcher: Watcher) -> Loaded:
    loaded = Loaded(
        source=source,
        rules_trouble=f"sources.{source} names no `prometheus`: its rules were not compared",
        route_trouble="",
    )
    if watcher.monitoring:
        try:
            loaded = loaded.model_copy(update={"rules": watcher.monitoring.rules()})
        except MonitoringFailed as failed:
            loaded = loaded.model_copy(update={"rules_trouble": failed.message})
    if watcher.messenger:
        try:
            route = alert_route(watcher.messenger.configuration())
            loaded = loaded.model_copy(update={"route": route})
        except (MonitoringFailed, UsageError) as failed:
            loaded = loaded.model_copy(update={"route_trouble": failed.message})
    return loaded
