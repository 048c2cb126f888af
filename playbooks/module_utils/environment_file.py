"""Settings of an application in its environment file: read, and replaced without touching anything else."""

from __future__ import annotations

import os
import re

from ansible.module_utils.host_step import StepError
from ansible.module_utils.safe_files import Directory, split

_LINE = re.compile(r"^(?P<before>\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*)(?P<value>.*?)\s*$")
#: What needs no quotes, and has no meaning to any reader of such files.
_PLAIN = re.compile(r"[A-Za-z0-9_:+/=.-]*")


def settings_of(text: str) -> dict[str, str]:
    """Return names and values; the last line of a name wins, as it does for the application."""
    matches = filter(None, map(_LINE.match, text.splitlines()))
    return {match["name"]: _unquoted(match["value"]) for match in matches}


def replaced(text: str, values: dict[str, str]) -> str:
    """Return the text with other values; a name that is not there is an error, as is a value that needs quotes."""
    if unfit := [name for name, value in values.items() if not _PLAIN.fullmatch(value)]:
        raise StepError(f"the value for {', '.join(unfit)} cannot be written without quotes; nothing was changed")
    if missing := values.keys() - settings_of(text).keys():
        raise StepError(f"the environment file does not set {', '.join(sorted(missing))}; nothing was changed")
    return "".join(_with(line, values) for line in text.splitlines(keepends=True))


def _with(line: str, values: dict[str, str]) -> str:
    match = _LINE.match(line)
    if match is None or match["name"] not in values:
        return line
    return match["before"] + values[match["name"]] + ("\n" if line.endswith("\n") else "")


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value.split(" #", 1)[0].rstrip()


def read(path: str) -> str:
    """Return the text of an environment file; raises StepError when it cannot be read."""
    parent, name = split(path)
    try:
        with Directory(parent) as directory, os.fdopen(directory.open(name), encoding="utf-8") as source:
            return source.read()
    except (OSError, UnicodeDecodeError) as error:
        raise StepError(f"{path} cannot be read ({error}); correct data_breach_env_file") from error


def write(path: str, text: str) -> None:
    """Write the file in place: a container that has just this file mounted goes on seeing the old one else."""
    data = text.encode()
    parent, name = split(path)
    with Directory(parent) as directory:
        descriptor = directory.open(name, os.O_WRONLY)
        try:
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
