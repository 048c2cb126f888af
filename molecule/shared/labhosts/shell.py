"""Runs outside programs and turns their failure into one sentence for a person."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class LabError(Exception):
    """Something the lab needs could not be done; the message says what to do next."""


def run(command: Sequence[str], *, stdin: bytes | None = None, stdin_file: Path | None = None) -> str:
    """Run a command and return what it printed; raise LabError with its words when it fails."""
    try:
        if stdin_file is not None:
            with stdin_file.open("rb") as stream:
                done = subprocess.run(command, stdin=stream, capture_output=True, check=False)
        else:
            done = subprocess.run(command, input=stdin or b"", capture_output=True, check=False)
    except FileNotFoundError as error:
        raise LabError(f"The program '{command[0]}' is not installed.") from error
    if done.returncode != 0:
        words = (done.stderr + done.stdout).decode(errors="replace").strip()
        raise LabError(f"'{' '.join(command[:6])}' failed with exit code {done.returncode}:\n{words[-3000:]}")
    return done.stdout.decode(errors="replace")


def succeeds(command: Sequence[str]) -> bool:
    """Run a command and say whether it ended well."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


def say(sentence: str) -> None:
    """Tell the person at the terminal what is going on."""
    print(sentence, file=sys.stderr, flush=True)
