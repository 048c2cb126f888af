"""`remediate ssl-expiry` on real hosts of both layouts: without downtime, and without a trace where it cannot be."""

from __future__ import annotations

import http.client
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.integration.lab.hosts import SSH, LabHost, Remediate, play

pytestmark = pytest.mark.lab

_SCENARIO = ("-e", "scenario=ssl_expiry")
_PAIR = {"landsraad": "/opt/chom/tls", "landsraad-systemd": "/etc/nginx/tls"}


@pytest.fixture(params=["landsraad", "landsraad-systemd"])
def host(request: pytest.FixtureRequest, lab: None) -> Iterator[LabHost]:
    """A healthy lab host of each layout, left healthy."""
    found = LabHost(request.param)
    play("molecule/shared/scenario/reset.yml", found, *_SCENARIO)
    yield found
    play("molecule/shared/scenario/reset.yml", found, *_SCENARIO)


def break_it(host: LabHost, fault: str) -> None:
    play("molecule/shared/scenario/break.yml", host, *_SCENARIO, "-e", f"fault={fault}")


@dataclass
class Client:
    """Asks a host again and again, by HTTP and by HTTPS, whatever its certificate is worth."""

    address: str
    answered: dict[str, int] = field(default_factory=lambda: {"http": 0, "https": 0})
    failed: list[str] = field(default_factory=list)
    certificates: set[bytes] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def asking(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask, args=(scheme,)) for scheme in self.answered]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _ask(self, scheme: str) -> None:
        while not self._over.is_set():
            try:
                self._request(scheme)
            except OSError as error:
                self.failed.append(f"{time.time():.1f} {scheme}: {error}")
            else:
                self.answered[scheme] += 1
            time.sleep(0.05)

    def _request(self, scheme: str) -> None:
        context = ssl._create_unverified_context()  # noqa: S323  # an expired certificate is what is being cured
        connection = (
            http.client.HTTPConnection(self.address, timeout=20)
            if scheme == "http"
            else http.client.HTTPSConnection(self.address, timeout=20, context=context)
        )
        try:
            connection.request("GET", "/health/live")
            if isinstance(connection.sock, ssl.SSLSocket):
                self.certificates.add(connection.sock.getpeercert(binary_form=True) or b"")
            status = connection.getresponse().status
            if status != 200:
                raise ConnectionError(f"status {status}")
        finally:
            connection.close()


def address_of(host: LabHost) -> str:
    said = subprocess.run([*SSH, "-G", host.name], capture_output=True, text=True, check=True).stdout
    return next(line.split()[1] for line in said.splitlines() if line.startswith("hostname "))


def test_through_the_webroot_no_client_notices_the_renewal(host: LabHost, remediate: Remediate) -> None:
    break_it(host, "expired")
    client = Client(address_of(host))

    with client.asking():
        run = remediate.json("ssl-expiry", "--limit", host.name, "--yes")

    assert run["status"] == "succeeded"
    assert client.failed == []
    assert min(client.answered.values()) > 20
    assert len(client.certificates) == 2, "the old certificate, then the new one, and nothing else"
    again = remediate.json("ssl-expiry", "--limit", host.name, "--yes")
    assert (again["status"], again["changed"]) == ("not_needed", 0)


def test_where_the_acme_server_does_not_answer_nothing_is_changed(host: LabHost, remediate: Remediate) -> None:
    break_it(host, "expiring")
    before = host.files(_PAIR[host.name])

    done = remediate("ssl-expiry", "--limit", host.name, "--yes", "--set", "ssl_expiry_server=https://mentat:1/dir")

    assert done.returncode not in {0, 10}, done.stdout
    assert "cannot be reached" in done.stdout + done.stderr
    assert host.files(_PAIR[host.name]) == before
