"""The runbook ssl-expiry on a host: what it finds, what it can do, and how it proves that clients are served."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ansible.module_utils import served_certificate
from ansible.module_utils.acme_client import PUBLIC_SERVER, STANDALONE, WEBROOT, issue
from ansible.module_utils.certificate_der import CertificateError
from ansible.module_utils.certificate_pair import Pair
from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.host_checks import CANNOT_TELL, CURED, NOT_CURED, Check, check, in_time, worst
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Done, Found, Seen, StepError
from ansible.module_utils.ssl_decision import DEPLOY, RENEW, TAKE_OVER, days_measure, decide
from ansible.module_utils.ssl_kinds import Deploy, Renew, TakeOver, prove_webroot
from ansible.module_utils.ssl_site import SslSite


class SslExpiry:
    """What the phases ask."""

    name = "ssl_expiry"

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._site = SslSite(settings, stack)
        self.kinds: dict[str, Kind] = {
            RENEW: Renew(self._site),
            DEPLOY: Deploy(self._site),
            TAKE_OVER: TakeOver(self._site),
        }

    def look(self) -> Found:
        """Look at the certificate and decide."""
        found = decide(self._site.facts())
        if any(step.verb == RENEW for step in found.steps) and (trouble := self._site.reachable()):
            found.notes.append(trouble)
            found.enough = False
        return found

    def check(self, done: Done, *, write: bool) -> Seen:
        """Prove it from the clients' side."""
        try:
            pair = self._site.pair()
        except CertificateError as error:
            return Seen([check("pair", NOT_CURED, str(error))])
        wanted = wanted_days(done, self._site.settings["renew_days"], self._site.settings["min_days"])
        days = days_measure(pair.certificate, datetime.now(UTC), wanted)
        until = time.monotonic() + self._site.settings["health_wait"]
        asks: list[Callable[[], Check]] = [lambda: self._served(pair), self._trusted, self._page]
        checks = [_key(pair), _days(days), *(in_time(ask, until) for ask in asks)]
        # A trial may count against the limits of the server: only where all else is well.
        if write and worst(checks) == CURED:
            checks.append(self._renewal(done))
        return Seen(checks, [days])

    def _served(self, pair: Pair) -> Check:
        tls = self._site.tls
        try:
            found = served_certificate.served(tls)
        except CertificateError as error:
            return check("served", NOT_CURED, str(error))
        if found.fingerprint != pair.certificate.fingerprint:
            return check("served", NOT_CURED, f"{tls.shown} serves another certificate than {pair.certificate_path}")
        return check("served", CURED, f"{tls.shown} serves {pair.certificate_path}")

    def _trusted(self) -> Check:
        bundle = self._site.settings["ca_bundle"]
        try:
            reason = served_certificate.distrust(self._site.tls, bundle)
        except CertificateError as error:
            return check("chain", CANNOT_TELL, str(error))
        by = bundle or "the authorities of the system"
        return check("chain", NOT_CURED if reason else CURED, reason or f"its chain is valid by {by}")

    def _page(self) -> Check:
        tls, path = self._site.tls, self._site.settings["path"]
        url = f"https://{tls.name}{path}"
        try:
            status = served_certificate.page_status(tls, path, self._site.settings["ca_bundle"])
        except (OSError, CertificateError) as error:
            return check("https", NOT_CURED, f"{url} did not answer: {shown(str(error))[:200]}")
        return check("https", CURED if status == 200 else NOT_CURED, f"{url} answered {status}")

    def _renewal(self, done: Done) -> Check:
        """Try whether the next renewal would succeed, in the way that it would take."""
        trouble, _ = self._site.webroot_trouble(runs=self._site.server.runs())
        alone = any(step.verb == RENEW and step.data["method"] == STANDALONE for step in done.steps)
        if trouble and alone:
            said = f"this run has renewed in the only way that there is, standalone; correct the webroot: {trouble}"
            return check("renewal", CURED, said)
        if trouble:
            return check("renewal", NOT_CURED, f"it would need port 80 for a moment: {trouble}")
        try:
            prove_webroot(self._site)
            with tempfile.TemporaryDirectory(prefix="remediate-trial-") as scratch:
                issue(self._site.acme, self._site.names, self._site.place.key, WEBROOT, scratch, trial=True)
        except StepError as error:
            return check("renewal", NOT_CURED, str(error))
        dry = self._site.acme.server == PUBLIC_SERVER
        how = (
            "certbot's dry run passed at the staging server"
            if dry
            else "a certificate was issued on trial and thrown away"
        )
        return check("renewal", CURED, how)


def wanted_days(done: Done, renew_days: int, min_days: int) -> int:
    """Return how many days must be left: a certificate that was there already cannot be as young as a new one."""
    verbs = {step.verb for step in done.steps}
    return renew_days if verbs and verbs <= {DEPLOY, TAKE_OVER} else min_days


def _key(pair: Pair) -> Check:
    if pair.key_troubles:
        return check("key", NOT_CURED, "; ".join(pair.key_troubles))
    return check("key", CURED, f"{pair.key_path} belongs to the certificate, and only its owner and group may read it")


def _days(days: dict[str, Any]) -> Check:
    said = f"{days['value']} days are left, {days['wanted']} are wanted"
    return check("days left", CURED if days["ok"] else NOT_CURED, said)
