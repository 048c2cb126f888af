"""The twins of what watches the hosts, and of the record of silences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from threading import RLock

from remediate.domain.alert import Alert
from remediate.domain.alert_rule import AlertRule, ScrapeTarget, Series
from remediate.domain.silence import KeptSilence, Silence
from remediate.engine.monitoring import Answer
from remediate.errors import MonitoringFailed


class FakeMonitoring:
    """Implements the port `Monitoring`: rules, targets and what expressions find are given; it may be unreachable."""

    def __init__(self, now: Callable[[], datetime], rules: Iterable[AlertRule] = ()) -> None:
        self._now = now
        self._rules = tuple(rules)
        self._targets: Callable[[], Sequence[ScrapeTarget]] = lambda: ()
        self._finds: dict[str, Callable[[], Answer]] = {}
        #: Why it cannot be asked; empty: it can.
        self.trouble = ""
        #: The expressions that it was asked.
        self.asked: list[str] = []

    def scrapes(self, targets: Callable[[], Sequence[ScrapeTarget]]) -> None:
        """Say what is scraped, each time that it is asked."""
        self._targets = targets

    def finds(self, expression: str, found: Callable[[], Iterable[Series]], *warnings: str) -> None:
        """Say what an expression finds, each time that it is asked."""
        self._finds[expression] = lambda: Answer(series=tuple(found()), warnings=warnings)

    def rules(self) -> tuple[AlertRule, ...]:
        """Return the rules that were given."""
        self._reach()
        return self._rules

    def targets(self) -> tuple[ScrapeTarget, ...]:
        """Return the targets that were given."""
        self._reach()
        return tuple(self._targets())

    def ask(self, expression: str) -> Answer:
        """Return what was said that the expression finds; nothing, where nothing was said."""
        self._reach()
        self.asked.append(expression)
        found = self._finds.get(expression)
        return found() if found else Answer(series=())

    def time(self) -> datetime:
        """Return the time of the clock that was given."""
        self._reach()
        return self._now()

    def _reach(self) -> None:
        if self.trouble:
            raise MonitoringFailed(self.trouble)


class FakeMessenger:
    """Implements the port `Messenger`: alerts are given, silences are remembered; it may be unreachable."""

    def __init__(self) -> None:
        self.held: list[Alert] = []
        self.configured = ""
        self.trouble = ""
        #: Every silence that was made, by its id; and the ids of those that stand.
        self.made: dict[str, Silence] = {}
        self.standing: set[str] = set()

    def alerts(self) -> tuple[Alert, ...]:
        """Return the alerts that were given."""
        self._reach()
        return tuple(self.held)

    def silence(self, wanted: Silence) -> str:
        """Remember a silence."""
        self._reach()
        external_id = f"silence-{len(self.made) + 1}"
        self.made[external_id] = wanted
        self.standing.add(external_id)
        return external_id

    def silences(self, comment: str) -> tuple[str, ...]:
        """Return the silences that stand and have this comment."""
        self._reach()
        return tuple(one for one, made in self.made.items() if one in self.standing and made.comment == comment)

    def unsilence(self, external_id: str) -> None:
        """Let a silence stand no more."""
        self._reach()
        self.standing.discard(external_id)

    def configuration(self) -> str:
        """Return the configuration that was given."""
        self._reach()
        return self.configured

    def _reach(self) -> None:
        if self.trouble:
            raise MonitoringFailed(self.trouble)


class MemorySilences:
    """Implements the port `Silences` in memory, for one process."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._kept: dict[tuple[str, str, str], KeptSilence] = {}

    def want(self, wanted: Silence) -> KeptSilence:
        """Record a silence that is about to be made."""
        return self._keep(KeptSilence.model_validate(wanted.model_dump()))

    def made(self, kept: KeptSilence, external_id: str) -> KeptSilence:
        """Record what the silence is called where it was made."""
        return self._keep(kept.model_copy(update={"external_id": external_id}))

    def removed(self, kept: KeptSilence, now: datetime) -> None:
        """Record that a silence is gone."""
        self._keep(kept.model_copy(update={"removed_at": now, "trouble": ""}))

    def not_removed(self, kept: KeptSilence, trouble: str) -> None:
        """Record why a silence could not be removed."""
        self._keep(kept.model_copy(update={"trouble": trouble}))

    def standing(self, *, run_id: str = "") -> tuple[KeptSilence, ...]:
        """Return the silences that are not known to be gone, oldest first."""
        with self._lock:
            found = [one for one in self._kept.values() if one.removed_at is None]
        mine = (one for one in found if not run_id or one.run_id == run_id)
        return tuple(sorted(mine, key=lambda one: (one.begins_at, one.key)))

    def _keep(self, kept: KeptSilence) -> KeptSilence:
        with self._lock:
            self._kept[kept.key] = kept
        return kept
