"""What the tests with real Ansible share: the smallest site, on this machine."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import remediate
from tests.integration.local import SITE, LocalSite


@pytest.fixture
def local(tmp_path: Path) -> LocalSite:
    """The site with an empty record, and the illness: a file that should not be there."""
    site = LocalSite(tmp_path)
    site.file.write_text("stray")
    site.file.chmod(0o600)
    return site


@pytest.fixture
def opened(local: LocalSite, monkeypatch: pytest.MonkeyPatch) -> Iterator[remediate.Site]:
    """The same site, opened in this process."""
    monkeypatch.setenv("REMEDIATE_STATE", str(local.state))
    with remediate.open(SITE) as site:
        yield site


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> None:
    """Commands under test inherit an ignored SIGINT from a shell that runs the tests in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
