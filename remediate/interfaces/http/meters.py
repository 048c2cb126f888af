"""What `/metrics` shows. No label has a value from outside: their values are few, and all are ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from remediate.domain.alert import AlertDecision
from remediate.domain.breaker import BreakerState
from remediate.domain.incident import Stage
from remediate.domain.run import OWNED, WAITING
from remediate.domain.runbook import Severity
from remediate.domain.storm_position import StormPosition
from remediate.engine.intake import Receipt
from remediate.engine.ports import Ports
from remediate.engine.schedule_book import ScheduleBook
from remediate.interfaces.http.recovery_meters import RecoveryMetrics

#: More open incidents than these are not counted.
_MOST_INCIDENTS = 1000
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Meters:
    """The counters of one service."""

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self.posts = Counter(
            "remediate_posts", "Posts of sources, by how they were answered.", ["answer"], registry=registry
        )
        self.post_seconds = Histogram(
            "remediate_post_seconds", "How long a post took to be answered.", buckets=_SECONDS, registry=registry
        )
        self.refused_logins = Counter("remediate_refused_logins", "What nobody asked.", ["door"], registry=registry)
        self._alerts = Counter("remediate_alerts", "New alerts, by what was decided.", ["decision"], registry=registry)
        self._ended = Counter("remediate_alerts_ended", "Alerts that are over.", registry=registry)
        self._runs = Counter("remediate_alert_runs", "Runs that were made of alerts.", registry=registry)
        Gauge("remediate_intake_waiting", "Alerts that wait to be recorded.", registry=registry).set_function(waiting)
        for decision in AlertDecision:
            self._alerts.labels(decision.value)

    def made(self, receipt: Receipt) -> None:
        """Count what came of deliveries."""
        for decision, count in receipt.decisions.items():
            self._alerts.labels(decision.value).inc(count)
        self._ended.inc(receipt.ended)
        self._runs.inc(len(receipt.runs))

    def also(
        self, ports: Ports, position: Callable[[], StormPosition], runbooks: Iterable[str], book: ScheduleBook
    ) -> None:
        """Show as well what the record says at the moment of the question."""
        self._registry.register(_OfRecord(ports, position, tuple(runbooks)))
        self._registry.register(RecoveryMetrics(ports, book))

    def text(self) -> bytes:
        """Return everything in the text format of Prometheus."""
        return generate_latest(self._registry)


class _OfRecord:
    """Runs by state, the breakers and budgets of the storm policy: read when they are asked for."""

    def __init__(self, ports: Ports, position: Callable[[], StormPosition], runbooks: tuple[str, ...]) -> None:
        self._store = ports.store
        self._approvals = ports.approvals
        self._position = position
        self._runbooks = runbooks

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked of the record when this is registered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Read the record, and return what it says."""
        yield self._runs()
        yield self._incidents()
        position = self._position()
        yield GaugeMetricFamily(
            "remediate_paused", "Whether somebody has paused the site.", float(bool(position.pause))
        )
        yield GaugeMetricFamily("remediate_acting_runs", "Runs that change hosts now.", float(len(position.acting)))
        used, most = (position.budget.used, position.budget.most) if position.budget else (0, 0)
        yield GaugeMetricFamily("remediate_budget_used", "Attempts of the budget that are used.", float(used))
        yield GaugeMetricFamily("remediate_budget_most", "Attempts that it allows; 0: none is set.", float(most))
        open_ones = {one.runbook for one in position.breakers if one.state is not BreakerState.CLOSED}
        breakers = GaugeMetricFamily("remediate_breaker_open", "Whether the breaker is open.", labels=["runbook"])
        for runbook in self._runbooks:
            breakers.add_metric([runbook], float(runbook in open_ones))
        yield breakers

    def _incidents(self) -> Metric:
        stages = [stage.value for stage in Stage if stage is not Stage.CLOSED]
        counts = dict.fromkeys(((severity.value, stage) for severity in Severity for stage in stages), 0)
        for incident in self._approvals.incidents(limit=_MOST_INCIDENTS):
            counts[incident.severity.value, incident.stage.value] += 1
        found = GaugeMetricFamily("remediate_incidents", "Incidents that are open.", labels=["severity", "stage"])
        for labels, count in counts.items():
            found.add_metric(labels, float(count))
        return found

    def _runs(self) -> Metric:
        counts = dict.fromkeys(sorted(status.value for status in OWNED | WAITING), 0)
        for one in self._store.standing(OWNED | WAITING):
            counts[one.status.value] += 1
        runs = GaugeMetricFamily("remediate_runs", "Runs that have not ended, by state.", labels=["status"])
        for status, count in counts.items():
            runs.add_metric([status], float(count))
        return runs
