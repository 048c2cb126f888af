"""What ssl-expiry works on: the pair that nginx reads, the server, the webroot, and where certificates come from."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from ansible.module_utils import acme_webroot, served_certificate
from ansible.module_utils.acme_client import Acme, checked_names, reach
from ansible.module_utils.acme_webroot import Webroot
from ansible.module_utils.certificate_deploy import Place, obstacle
from ansible.module_utils.certificate_der import Certificate, CertificateError
from ansible.module_utils.certificate_pair import Pair, read_certificate, read_pair
from ansible.module_utils.host_step import StepError
from ansible.module_utils.served_certificate import TlsPlace
from ansible.module_utils.ssl_decision import Facts, usable
from ansible.module_utils.ssl_parameters import acme_of, checked
from ansible.module_utils.tls_server import TlsServer


class SslSite:
    """One pair of one server on this host. Everything is read when it is asked for."""

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._given = settings
        self._stack = stack

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What the role was given; raises StepError when it makes no sense."""
        return checked(self._given)

    @property
    def place(self) -> Place:
        """Where nginx reads its pair."""
        return Place(self.settings["certificate"], self.settings["key"])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The host names: the given ones, or those of the certificate that is there."""
        return tuple(self.settings["names"]) or read_certificate(self.place.certificate).names

    @property
    def acme(self) -> Acme:
        """Where certificates come from."""
        return acme_of(self.settings)

    @cached_property
    def tls(self) -> TlsPlace:
        """Where the server is asked, by the first of its names."""
        name = next((one for one in self.names if not one.startswith("*.")), "")
        if not name:
            raise StepError("no host name is known to ask the server by: set ssl_expiry_names")
        return TlsPlace(self.settings["address"], self.settings["https_port"], checked_names([name])[0])

    @property
    def server(self) -> TlsServer:
        """The server."""
        return TlsServer(self._stack, self.settings["service"], self.tls, self.settings["health_wait"])

    @property
    def webroot(self) -> Webroot:
        """The directory for answers to challenges."""
        given = self.settings
        return Webroot(given["webroot"], given["address"], given["http_port"], given["https_port"], self.tls.name)

    def pair(self) -> Pair:
        """Return the pair that nginx reads."""
        return read_pair(self.place.certificate, self.place.key)

    def facts(self) -> Facts:
        """Look at everything that tells causes apart; read only."""
        if said := obstacle(self.place):
            raise StepError(said)
        now, pair, server = datetime.now(UTC), self.pair(), self.server
        runs = server.runs()
        served, trouble = _served(self.tls)
        renew_days = self.settings["renew_days"]
        late = pair.certificate.days_left(now) < renew_days
        spare = self._spare(pair, now) if late and not pair.key_troubles else None
        notes: list[str] = []
        webroot_trouble = ""
        if pair.key_troubles or (late and spare is None):
            webroot_trouble = self._can_renew(runs, notes)
        return Facts(
            now=now,
            renew_days=renew_days,
            service=self.settings["service"],
            server=self.settings["server"],
            names=self.names,
            pair=pair,
            runs=runs,
            served=served,
            served_trouble=trouble,
            spare=spare,
            webroot_trouble=webroot_trouble,
            key_type=self.settings["key_type"],
            notes=notes,
        )

    def reachable(self) -> str:
        """Return why the ACME server cannot be asked, or nothing."""
        try:
            reach(self.acme)
        except StepError as error:
            return str(error)
        return ""

    def webroot_trouble(self, runs: bool) -> tuple[str, str]:
        """Return why challenges cannot be answered through the webroot; and what could not be told without writing."""
        if not runs:
            return f"{self.settings['service']} does not run, so nothing in the webroot is given out", ""
        if not self.settings["webroot"]:
            return "this host has no webroot: ssl_expiry_webroot is not set", ""
        given_out, said = acme_webroot.served(self.webroot)
        return ("", said) if given_out is None else ("" if given_out else said, "")

    def _can_renew(self, runs: bool, notes: list[str]) -> str:
        """See that a certificate could be asked for at all; return what speaks against the webroot."""
        checked_names(self.names)
        for program in ("certbot", "openssl"):
            if shutil.which(program) is None:
                raise StepError(f"{program} is not on this host; nothing was done: install it")
        trouble, untold = self.webroot_trouble(runs)
        notes += [untold] if untold else []
        return trouble

    def _spare(self, pair: Pair, now: datetime) -> Pair | None:
        """Return the pair that certbot keeps itself, when it is newer than the one that nginx reads and of use."""
        directory = self.settings["spare_dir"] or os.path.join(self.settings["config_dir"], "live", self.tls.name)
        try:
            spare = read_pair(os.path.join(directory, "fullchain.pem"), os.path.join(directory, "privkey.pem"))
        except CertificateError:
            return None
        newer = spare.certificate.not_after > pair.certificate.not_after
        return spare if newer and usable(spare, self.names, self.settings["renew_days"], now) else None


def _served(tls: TlsPlace) -> tuple[Certificate | None, str]:
    try:
        return served_certificate.served(tls), ""
    except CertificateError as error:
        return None, str(error)
