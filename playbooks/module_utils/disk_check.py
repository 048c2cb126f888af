"""Whether a host is cured: room, writes that last, services that run, and an application that says it is ready."""

from __future__ import annotations

import os
import secrets
from typing import Any

from ansible.module_utils.disk_measure import FileSystem
from ansible.module_utils.disk_plan import considered
from ansible.module_utils.host_checks import CANNOT_TELL, CURED, NOT_CURED, check, stack_checks, worst
from ansible.module_utils.safe_files import Directory

_PROBE = b"remediate" * 512


def verdict(settings: dict[str, Any], stack: dict[str, Any], *, write: bool) -> dict[str, Any]:
    """Return what was seen, in the form in which the phase reports, but for what was done."""
    try:
        systems = considered(settings)
    except OSError as error:
        unmeasured = check("disks", CANNOT_TELL, f"they could not be measured: {error}")
        return {"verdict": CANNOT_TELL, "checks": [unmeasured], "measures": []}
    wanted = settings["target_free"]
    checks = [_room(seen, wanted) for seen in systems]
    checks += [_written(seen) for seen in systems] if write else []
    checks += stack_checks(stack, settings["health_wait"])
    if not systems:
        checks.append(check("disks", CANNOT_TELL, "no file system to look at"))
    measures = [row for seen in systems for row in seen.measures(wanted)]
    return {"verdict": worst(checks), "checks": checks, "measures": measures}


def _room(seen: FileSystem, wanted: float) -> dict[str, str]:
    detail = f"{seen.free_percent:.1f} % of space and {seen.free_inodes_percent:.1f} % of inodes free"
    if seen.is_full(wanted):
        return check(f"room on {seen.point}", NOT_CURED, f"{detail}, wanted {wanted:g} %")
    return check(f"room on {seen.point}", CURED, detail)


def _written(seen: FileSystem) -> dict[str, str]:
    """Write a small file, make it last, and remove it again."""
    name = f".remediate-{secrets.token_hex(8)}"
    try:
        with Directory(seen.point) as directory:
            descriptor = directory.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                os.write(descriptor, _PROBE)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
                directory.unlink(name)
    except OSError as error:
        return check(f"writing to {seen.point}", NOT_CURED, f"a write failed: {error.strerror}")
    return check(f"writing to {seen.point}", CURED, f"{len(_PROBE)} bytes were written and removed again")
