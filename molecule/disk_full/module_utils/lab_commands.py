"""Commands that the modules of this scenario run on a lab host."""

from __future__ import annotations

import subprocess


def run(*command: str) -> str:
    """Run a command and return what it printed; a failure is an error that says what was printed."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
