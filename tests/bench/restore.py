"""Measures how fast files come back from a repository: `make lab-up`, `python tests/bench/restore.py [TURNS]`.

On the backup host of the lab, in turns within one run, each with nothing in the cache and until all is on the disk:
`cp -a` of a tree, and the restore of its copy as a runbook does it. Once few large files, once many small ones. Ends
with 1 where a bar is missed.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.on_host import HERE, measured_on

HOST = "mentat"
#: Of each tree: how many files, how big each is (bytes), and how many times as long as `cp -a` it may take.
TREES = {"large": (8, 128 << 20, 3.5), "small": (40_000, 4096, 1.2)}
_IN_A_DIRECTORY = 500


def make_tree(place: Path, count: int, size: int) -> None:
    """Make so many files of this size that nothing can compress or join."""
    for number in range(count):
        directory = place / f"{number // _IN_A_DIRECTORY:03d}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{number:05d}").write_bytes(os.urandom(size))


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of some work, with nothing in the cache before it, until all is on the disk."""
    subprocess.run(["sync"], check=True)
    Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")
    began = time.monotonic()
    work()
    subprocess.run(["sync"], check=True)
    return time.monotonic() - began


def compared(place: Path, name: str, turns: int) -> bool:
    """Measure one tree; return whether the bar was kept."""
    from ansible.module_utils.restic_repository import Repository  # noqa: PLC0415  # on the host only

    count, size, most = TREES[name]
    tree, target = place / name, place / "target"
    make_tree(tree, count, size)
    (place / "address").write_text(str(place / "repository"), encoding="utf-8")
    (place / "password").write_text("measured", encoding="ascii")
    repository = Repository(name, str(place / "address"), str(place / "password"), cached=False)
    repository.make()
    snapshot, _ = repository.store([str(tree)], HOST, [])
    kinds: dict[str, Callable[[], object]] = {
        "cp": lambda: subprocess.run(["cp", "--archive", tree, target], check=True),
        "restore": lambda: repository.restore(snapshot, str(target)),
    }
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(turns):
        for kind in sorted(kinds, reverse=bool(number % 2)):
            times[kind].append(timed(kinds[kind]))
            shutil.rmtree(target)
    shutil.rmtree(tree)
    shutil.rmtree(place / "repository")
    copied, restored = (statistics.median(times[kind]) for kind in ("cp", "restore"))
    verdict = "kept" if restored <= most * copied else "MISSED"
    print(f"{count} files of {size} bytes: restore {restored:.2f} s, cp -a {copied:.2f} s, n={turns}: ", end="")
    print(f"{restored / copied:.2f} times as long, at most {most:g}: {verdict}", flush=True)
    return restored <= most * copied


def here(turns: int) -> int:
    """Measure on this host; return 0 when the bars were kept."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as temporary:
        kept = [compared(Path(temporary), name, turns) for name in TREES]
    return 0 if all(kept) else 1


def main() -> None:
    """Measure on the backup host of the lab."""
    turns = next((int(one) for one in sys.argv[1:] if one != HERE), 3)
    sys.exit(here(turns) if HERE in sys.argv else measured_on(HOST, __file__, [turns]))


if __name__ == "__main__":
    main()
