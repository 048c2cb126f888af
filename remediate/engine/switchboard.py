"""The switchboard: pause and resume, closing a circuit breaker by hand, and where every rule stands."""

from __future__ import annotations

from remediate.catalog.loader import Catalogue
from remediate.domain.breaker import Breaker, BreakerState, breaker_of
from remediate.domain.storm import LIVE, LiveRun, Situation
from remediate.domain.storm_position import StormPosition, position
from remediate.domain.switch import PAUSE, Switch, breaker_switch
from remediate.engine.admission import Admission
from remediate.engine.ports import Clock, Store, Switches
from remediate.errors import UsageError


class Switchboard:
    """What a person can do about the storm policy while it is at work."""

    def __init__(
        self, admission: Admission, store: Store, switches: Switches, clock: Clock, catalogue: Catalogue
    ) -> None:
        self._admission = admission
        self._store = store
        self._switches = switches
        self._clock = clock
        self._catalogue = catalogue

    def pause(self, by: str, reason: str) -> tuple[LiveRun, ...]:
        """Let no run begin to change anything from now on; return the runs that are live.

        Those that are changing hosts go on to their end; all others are refused when they get there.
        """
        _want(reason)
        with self._store.together():
            self._store.in_turn()
            self._press(PAUSE, by, reason, on=True)
            return self._store.live(LIVE)

    def resume(self, by: str, reason: str) -> Switch | None:
        """Lift the pause and return it; None when there was none, and nothing was pressed."""
        _want(reason)
        with self._store.together():
            self._store.in_turn()
            pressed = self._pressed().get(PAUSE)
            if pressed is None or not pressed.on:
                return None
            self._press(PAUSE, by, reason, on=False)
            return pressed

    def close_breaker(self, runbook: str, by: str, reason: str) -> Breaker:
        """Close the circuit breaker of a runbook and return where it stood; one that was closed is left alone.

        Raises UnknownRunbook. What failed up to now counts no more.
        """
        _want(reason)
        self._catalogue.role_directory(runbook)
        with self._store.together():
            self._store.in_turn()
            now, limit = self._clock.now(), self._admission.policy.breaker
            attempts = self._store.attempts(now - limit.within)
            stood = breaker_of(runbook, Situation(attempts=attempts, switches=self._pressed(), now=now), limit)
            if stood.state is not BreakerState.CLOSED:
                self._press(breaker_switch(runbook), by, reason, on=False, after=attempts[-1].sequence)
            return stood

    def position(self) -> StormPosition:
        """Return where every rule stands now; raises InvalidDocument when the catalogue has problems."""
        cooldowns = {runbook.id: runbook.cooldown for runbook in self._catalogue.load_all()}
        situation = self._admission.situation(max(cooldowns.values(), default=self._admission.policy.horizon))
        return position(situation, self._admission.policy, cooldowns)

    def _pressed(self) -> dict[str, Switch]:
        return {switch.name: switch for switch in self._switches.switches()}

    def _press(self, name: str, by: str, reason: str, *, on: bool, after: int = 0) -> None:
        self._switches.press(Switch(name=name, on=on, by=by, reason=reason, at=self._clock.now(), after=after))


def _want(reason: str) -> None:
    """Refuse to press a switch without a reason."""
    if not reason.strip():
        raise UsageError("A reason is wanted: others will ask.", next_step="add --reason TEXT")
