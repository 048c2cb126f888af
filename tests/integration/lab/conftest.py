"""The lab hosts must be up (`make lab-up`): without them these tests fail, they are not skipped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.lab.hosts import ROOT, LabHost, Remediate, reset


@pytest.fixture(scope="session")
def lab() -> None:
    """The lab is up."""
    done = subprocess.run(
        [sys.executable, ROOT / "molecule/shared/lab.py", "status"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"the lab is not up: make lab-up\n{done.stdout}{done.stderr}"


@pytest.fixture(params=["landsraad", "landsraad-systemd"])
def host(request: pytest.FixtureRequest, lab: None) -> Iterator[LabHost]:
    """A healthy lab host of each layout, left healthy."""
    found = LabHost(request.param)
    reset(found)
    yield found
    reset(found)


@pytest.fixture
def remediate(tmp_path: Path) -> Remediate:
    """The command line with a record of this test only."""
    return Remediate(tmp_path / "state")
