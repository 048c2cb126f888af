"""Runs a measurement on a host of the lab, beside the modules of the content, in a directory that is then removed."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from ansible import module_utils

_ROOT = Path(__file__).parents[2]
_CONFIG = _ROOT / ".lab/ssh/config"
HERE = "--here"


def measured_on(host: str, program: str, numbers: Sequence[int]) -> int:
    """Run a program of this directory there as root, with `--here` and numbers; return its exit code."""
    return _run(host, program, numbers, None).returncode


def told_by(host: str, program: str, numbers: Sequence[int]) -> str:
    """Run a program the same way, to a good end; return what it printed."""
    done = _run(host, program, numbers, subprocess.PIPE)
    done.check_returncode()
    return done.stdout.decode()


def _run(host: str, program: str, numbers: Sequence[int], output: int | None) -> subprocess.CompletedProcess[bytes]:
    words = " ".join(str(int(one)) for one in numbers)
    script = (
        "set -eu; place=$(mktemp -d /var/tmp/bench-XXXXXX); trap 'rm -rf $place' EXIT; chmod 711 $place; "
        f"tar --extract --directory=$place; cd $place; python3 -B tests/bench/program.py {HERE} {words}"
    )
    quoted = script.replace("$", "\\$")
    argv = ["ssh", "-F", str(_CONFIG), host, f'sudo bash -c "{quoted}"']
    return subprocess.run(argv, input=_packed(Path(program)), check=False, stdout=output)


def _packed(program: Path) -> bytes:
    """Return the program and all that it imports there, as an archive."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("ansible/__init__.py"))
        # What Ansible gives to every module.
        given = Path(str(module_utils.__file__)).parent
        archive.add(given, "ansible/module_utils", filter=lambda one: None if "__pycache__" in one.name else one)
        for path in sorted((_ROOT / "playbooks/module_utils").glob("*.py")):
            archive.add(path, f"ansible/module_utils/{path.name}")
        archive.add(__file__, "tests/bench/on_host.py")
        archive.add(program, "tests/bench/program.py")
    return made.getvalue()
