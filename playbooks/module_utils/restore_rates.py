"""How fast restores on this host were, and from that how long another one would take."""

from __future__ import annotations

import json
import os

from ansible.module_utils.run_state import write_whole

#: What restores of this host have not measured yet: bytes in a second, on a small host; and the seconds of all else.
_ASSUMED = {"restore": 50e6, "replay": 10e6, "besides": 20.0}
_FILE = "rates.json"


def predicted(stage: str, copied: int, logged: int) -> float:
    """Return how many seconds a full copy and the logs after it, of so many bytes, take until it can be switched."""
    rates = {**_ASSUMED, **_measured(stage)}
    moved = copied / max(1.0, rates["restore"]) + logged / max(1.0, rates["replay"])
    return moved + max(0.0, rates["besides"])


def are_measured(stage: str) -> bool:
    """Return whether a restore on this host has measured anything; else all is assumed."""
    return bool(_measured(stage))


def remember(stage: str, wall: float, fetched: tuple[int, float], replayed: tuple[int, float]) -> None:
    """Write down how long a restore took in all, and how fast its parts were, in bytes and seconds."""
    rates = _measured(stage)
    rates["besides"] = wall
    for name, (size, seconds) in (("restore", fetched), ("replay", replayed)):
        if seconds > 0.5 and size > 1 << 20:
            rates[name] = size / seconds
            rates["besides"] -= seconds
    write_whole(os.path.join(stage, _FILE), json.dumps(rates).encode("ascii"))


def _measured(stage: str) -> dict[str, float]:
    try:
        with open(os.path.join(stage, _FILE), encoding="ascii") as source:
            return {str(name): float(value) for name, value in json.load(source).items()}
    except (OSError, ValueError, AttributeError):
        return {}  # only an estimate rests on it
