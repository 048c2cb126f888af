"""Numbers that a host shows to its monitoring: a file that the node exporter reads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ansible.module_utils.host_step import StepError


def show(path: str, samples: Sequence[tuple[str, Mapping[str, str], float]]) -> None:
    """Write numbers so that they are read whole or not at all; an empty path is a host without such monitoring."""
    if not path:
        return
    names = sorted({name for name, _, _ in samples})
    lines = [line for name in names for line in (f"# TYPE {name} gauge", *_lines(name, samples))]
    partial = f"{path}.partial"
    try:
        with open(partial, "w", encoding="utf-8") as target:
            target.write("\n".join([*lines, ""]))
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except OSError as error:
        raise StepError(f"{path} cannot be written ({error.strerror}): make its directory, or name another") from error


def _lines(wanted: str, samples: Sequence[tuple[str, Mapping[str, str], float]]) -> list[str]:
    return [f"{name}{{{_labels(labels)}}} {value!r}" for name, labels, value in samples if name == wanted]


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
