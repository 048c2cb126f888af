"""The twin of the switches."""

from __future__ import annotations

from threading import RLock

from remediate.domain.switch import Switch


class MemorySwitches:
    """Implements the port `Switches` in memory, for one process."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._pressed: dict[str, Switch] = {}

    def press(self, switch: Switch) -> None:
        """Record the position of a switch."""
        with self._lock:
            self._pressed[switch.name] = switch

    def switches(self) -> tuple[Switch, ...]:
        """Return every switch that was ever pressed, by name."""
        with self._lock:
            return tuple(switch for _, switch in sorted(self._pressed.items()))
