"""The web server that serves a certificate: tried before it is told to read its files again, and seen to serve them."""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils import served_certificate
from ansible.module_utils.certificate_der import Certificate, CertificateError
from ansible.module_utils.fallen_services import has_stack, stack_of
from ansible.module_utils.host_step import StepError
from ansible.module_utils.served_certificate import TlsPlace
from ansible.module_utils.stack_program import plain

_PAUSE = 0.2


class TlsServer:
    """The service of the stack that serves a certificate."""

    def __init__(self, stack: dict[str, Any], service: str, place: TlsPlace, wait: float) -> None:
        if not has_stack(stack):
            raise StepError("the inventory does not say what runs on this host: set stack_layout and stack_services")
        self._stack = stack_of(stack)
        if service not in self._stack.services:
            raise StepError(
                f"the stack of this host has no service {service}; nothing was done: set ssl_expiry_service to one of "
                + ", ".join(self._stack.services)
            )
        self._service = service
        self.place = place
        self._wait = wait

    def runs(self) -> bool:
        """Return whether it runs."""
        return self._stack.status()[self._service].running

    def complaint(self) -> str:
        """Return what it says against its own configuration, or nothing."""
        code, output, errors = self._stack.exec(self._service, ["nginx", "-t", "-q"])
        if code == 0:
            return ""
        lines = [line for line in (errors + output).splitlines() if line.strip()]
        # The first line names the reason; what follows is that the test failed.
        return plain(lines[0] if lines else f"nginx -t ended with {code}")[:300]

    def take_over(self, certificate: Certificate) -> None:
        """Let it serve what lies on the disk: reloaded where it runs, started where it does not."""
        if self.runs():
            self._stack.reload([self._service])
        else:
            self._stack.start([self._service])
        self._wait_until_served(certificate)

    def reload(self) -> None:
        """Let it read its files again."""
        self._stack.reload([self._service])

    def start(self) -> None:
        """Start it."""
        self._stack.start([self._service])

    def stop(self) -> None:
        """Stop it: its ports are free then."""
        self._stack.stop([self._service])

    def _wait_until_served(self, certificate: Certificate) -> None:
        until = time.monotonic() + self._wait
        while True:
            seen = self._served()
            if seen == certificate.fingerprint:
                return
            if time.monotonic() > until:
                what = "something else is served" if seen else "nothing is served"
                raise StepError(f"the new pair is in place, but {what} at {self.place.shown}: read the log of nginx")
            time.sleep(_PAUSE)

    def _served(self) -> str:
        try:
            return served_certificate.served(self.place).fingerprint
        except CertificateError:
            return ""
