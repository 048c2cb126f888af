"""Measures what the issue of speed is about, each against its comparison in the same run: `make bench`.

Prints medians with minimum and maximum, and the ratios; machines are noisy, so ratios and medians are what counts.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from remediate.adapters.ansible.environment import ansible_environment
from remediate.catalog.settings import AnsibleSettings

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
HOST = "landsraad-systemd"
FAULT = "old_backups"
PAIRS = int(os.environ.get("BENCH_PAIRS", "5"))
STARTS = 21


def seconds(command: list[str], environment: dict[str, str]) -> float:
    """Run a command that must succeed and return how long it took."""
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
    return took


def shown(name: str, times: list[float]) -> float:
    """Print one row and return its median."""
    median = statistics.median(times)
    least, most = min(times) * 1000, max(times) * 1000
    print(f"{name:44} median {median * 1000:7.0f} ms   min {least:7.0f}   max {most:7.0f}   n={len(times)}")
    return median


def start_times() -> None:
    """How long the command line takes to say something."""
    environment = {**os.environ, "REMEDIATE_SITE": str(ROOT / "molecule/shared/site")}
    commands: dict[str, list[str]] = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "remediate --help": [str(BIN / "remediate"), "--help"],
        "remediate list": [str(BIN / "remediate"), "list"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(STARTS):
        for name, command in commands.items():
            times[name].append(seconds(command, environment))
    for name, measured in times.items():
        shown(name, measured)


def play(playbook: str, *extra: str, environment: dict[str, str] | None = None) -> list[str]:
    """Return the command line of a bare playbook run on the measured host."""
    return [str(BIN / "ansible-playbook"), "-i", "inventory/lab", "--limit", HOST, playbook, *extra]


def bare_environment(directory: Path) -> dict[str, str]:
    """Return the environment of a bare run: the same SSH settings as the executor's."""
    for name in ("cp", "home"):
        (directory / name).mkdir(mode=0o700)
    (directory / "ansible.cfg").write_text("[defaults]\n")
    content = ROOT / "playbooks"
    return {
        **ansible_environment(directory, directory / "cp", AnsibleSettings()),
        "ANSIBLE_ROLES_PATH": str(content / "roles"),
        "ANSIBLE_LIBRARY": str(content / "library"),
        "ANSIBLE_MODULE_UTILS": str(content / "module_utils"),
        "ANSIBLE_ACTION_PLUGINS": str(content / "action_plugins"),
    }


def broken(run: Callable[[], float]) -> float:
    """Break the host, untimed, then run."""
    setting = {**os.environ}
    seconds(play("molecule/disk_full/reset.yml"), setting)
    seconds(play("molecule/disk_full/break.yml", "-e", f"fault={FAULT}"), setting)
    return run()


def bare() -> float:
    """One bare ansible-playbook run of all phases."""
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        environment = bare_environment(Path(temporary))
        took = seconds(
            play("tests/bench/bare.yml", "-e", json.dumps({"bench_run_id": f"bench-{time.time_ns()}"})), environment
        )
        subprocess.run(["pkill", "-f", f"{temporary}/cp/"], check=False)
        return took


def ours() -> float:
    """One whole run of the command."""
    with tempfile.TemporaryDirectory(prefix="bench-state-") as state:
        environment = {
            **os.environ,
            "REMEDIATE_SITE": str(ROOT / "molecule/shared/site"),
            "REMEDIATE_STATE": f"{state}/state",
        }
        return seconds([str(BIN / "remediate"), "disk-full", "--limit", HOST, "--yes"], environment)


def main() -> None:
    """Measure everything."""
    start_times()
    times: dict[str, list[float]] = {"bare ansible-playbook, all phases": [], "remediate disk-full --yes": []}
    for _ in range(PAIRS):
        times["bare ansible-playbook, all phases"].append(broken(bare))
        times["remediate disk-full --yes"].append(broken(ours))
    base, whole = (shown(name, measured) for name, measured in times.items())
    ratios = [mine / theirs for theirs, mine in zip(*times.values(), strict=True)]
    print(
        f"ratio of medians {whole / base:.2f}; per pair median {statistics.median(ratios):.2f}, worst {max(ratios):.2f}"
    )


if __name__ == "__main__":
    main()
