"""Silences for the alerts of a run, while it is at work and no longer: what is left over by a crash is removed, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from remediate.domain.run import Run
from remediate.domain.runbook import Runbook
from remediate.domain.silence import KeptSilence, is_over, silence_of
from remediate.engine.alert_proofs import alerts_of
from remediate.engine.monitoring import Messenger, Watchers
from remediate.engine.ports import Ports
from remediate.errors import MonitoringFailed


class Silencing:
    """Makes and removes silences. That one cannot be made is recorded and keeps nobody from a cure."""

    def __init__(self, ports: Ports, watchers: Watchers) -> None:
        self._ports = ports
        self._watchers = watchers

    @contextmanager
    def during(self, run: Run, runbook: Runbook) -> Iterator[None]:
        """Let the alerts of a run be quiet while the block is carried out."""
        self.begin(run, runbook)
        try:
            yield
        finally:
            self.end(run.id)

    def begin(self, run: Run, runbook: Runbook) -> None:
        """Silence the alerts of a run, each for exactly its labels."""
        now = self._ports.clock.now()
        for record in alerts_of(run, self._ports):
            if messenger := self._messenger(record.alert.source):
                # It is on the record before it is made: whoever finds it there after a crash looks for it.
                kept = self._ports.silences.want(silence_of(run.id, record.alert, runbook, now))
                self._make(messenger, kept)

    def end(self, run_id: str) -> None:
        """Remove the silences of a run; one that cannot be removed now is removed by the next look."""
        for kept in self._ports.silences.standing(run_id=run_id):
            self._remove(kept)

    def look(self) -> None:
        """Remove the silences of runs that are not at work any more."""
        for kept in self._ports.silences.standing():
            if is_over(self._ports.store.run(kept.run_id).status):
                self._remove(kept)

    def _make(self, messenger: Messenger, kept: KeptSilence) -> None:
        try:
            external_id = messenger.silence(kept)
        except MonitoringFailed as failed:
            self._ports.silences.not_removed(kept, f"it could not be made: {failed.message}")
            return
        self._ports.silences.made(kept, external_id)

    def _remove(self, kept: KeptSilence) -> None:
        now = self._ports.clock.now()
        messenger = self._messenger(kept.source)
        if messenger is None:
            # Its source is no longer in the settings: it ends by itself.
            if now >= kept.ends_at:
                self._ports.silences.removed(kept, now)
            return
        try:
            # A crash between making it and recording its id leaves one that only its comment tells of.
            for external_id in {*messenger.silences(kept.comment), *filter(None, [kept.external_id])}:
                messenger.unsilence(external_id)
        except MonitoringFailed as failed:
            if now < kept.ends_at:
                self._ports.silences.not_removed(kept, failed.message)
                return
        self._ports.silences.removed(kept, now)

    def _messenger(self, source: str) -> Messenger | None:
        watcher = self._watchers.get(source)
        return watcher.messenger if watcher else None
