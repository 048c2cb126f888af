"""The steps of ssl-expiry: a pair is renewed or taken over, put in place whole, tried, served, and put back."""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from dataclasses import replace
from typing import Any

from ansible.module_utils import acme_webroot
from ansible.module_utils.acme_client import WEBROOT, issue, make_key, reach
from ansible.module_utils.certificate_deploy import Contents, keep, kept, obstacle, present, put
from ansible.module_utils.certificate_der import CertificateError, from_pem
from ansible.module_utils.certificate_pair import read_pair, read_small
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.run_state import make_private, write_whole
from ansible.module_utils.ssl_site import SslSite

_OTHERS = 0o007


class PairKind(Kind):
    """Gives the server another pair. Where that comes from is what its two kinds differ in."""

    def __init__(self, site: SslSite) -> None:
        self._site = site

    @abstractmethod
    def obtain(self, step: Step, saved: dict[str, Any], old: Contents) -> Contents:
        """Return the new pair; nothing that the server reads is changed yet."""

    def save(self, step: Step, keep_in: str) -> dict[str, Any]:
        """Keep the pair that is there, and whether the server runs."""
        if said := obstacle(self._site.place):
            raise StepError(said)
        ran = self._site.server.runs()
        make_private(keep_in)
        return {"keep": keep_in, "old": keep(present(self._site.place), os.path.join(keep_in, "old")), "ran": ran}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Obtain the new pair unless an earlier attempt has, put it in place, and let the server serve it."""
        old = _old(saved)
        new = _obtained(saved) or _remembered(saved, self.obtain(step, saved, old))
        now = present(self._site.place)
        if now.digest not in {old.digest, new.digest}:
            raise StepError(f"{step.target} was changed by somebody else meanwhile and is left as it is: start again")
        if now.digest != new.digest:
            put(self._site.place, new)
        self._serve(new, old)
        return True

    def obstacle(self, step: Step, saved: dict[str, Any]) -> str:
        """Return whether somebody has changed the pair since."""
        new = _obtained(saved)
        known = {_old(saved).digest, *([new.digest] if new else [])}
        if present(self._site.place).digest in known:
            return ""
        return "it was changed after the fix, and putting the old pair back would lose that"

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Put the old pair back, and let the server read it where it would take it."""
        old, server = _old(saved), self._site.server
        if present(self._site.place).digest != old.digest:
            put(self._site.place, old)
        if not server.runs():
            if saved["ran"]:
                server.start()
        elif not server.complaint():
            server.take_over(from_pem(old.certificate))
        return step.target

    def _serve(self, new: Contents, old: Contents) -> None:
        """Let the server serve the new pair; if it does not want it, the old one is put back."""
        server = self._site.server
        if complaint := server.complaint() if server.runs() else "":
            put(self._site.place, old)
            raise StepError(
                f"nginx refuses its configuration ({complaint}); the previous pair is back, nothing was reloaded"
            )
        try:
            server.take_over(from_pem(new.certificate))
        except StackError as error:
            put(self._site.place, old)
            raise StepError(f"{error}; the previous pair is back") from error


class Renew(PairKind):
    """Has a new certificate issued, with the same key or with a new one."""

    def obtain(self, step: Step, saved: dict[str, Any], old: Contents) -> Contents:
        """Ask the ACME server."""
        place, names, method = saved["keep"], step.data["names"], step.data["method"]
        key = self._site.place.key
        if step.data["new_key"]:
            key = os.path.join(place, "key.pem")
            if not os.path.exists(key):
                make_key(key, self._site.settings["key_type"])
        reach(self._site.acme)
        if method == WEBROOT:
            prove_webroot(self._site)
            directory = issue(self._site.acme, names, key, method, place)
        else:
            directory = self._issue_alone(names, key, saved)
        return _like(old, read_small(os.path.join(directory, "fullchain.pem")), read_small(key))

    def _issue_alone(self, names: list[str], key: str, saved: dict[str, Any]) -> str:
        """Stop the server for as long as certbot answers on port 80 itself."""
        server = self._site.server
        runs = server.runs()
        if runs and (complaint := server.complaint()):
            raise StepError(
                f"nginx runs, but would not start again ({complaint}), so it was not stopped; nothing was changed: "
                "correct its configuration, or let it give out the webroot"
            )
        try:
            if runs:
                server.stop()
            return issue(self._site.acme, names, key, "standalone", saved["keep"])
        finally:
            if runs or saved["ran"]:
                server.start()


class Deploy(PairKind):
    """Takes over the newer pair that lies on the disk already."""

    def obtain(self, step: Step, saved: dict[str, Any], old: Contents) -> Contents:
        """Read it, and see that it is a pair."""
        try:
            pair = read_pair(step.data["certificate"], step.data["key"])
            new = _like(old, read_small(pair.certificate_path), read_small(pair.key_path))
        except (OSError, CertificateError) as error:
            raise StepError(f"the newer pair cannot be read any more ({error}); nothing was changed") from error
        if pair.key_troubles:
            raise StepError(f"the newer pair is none any more: {pair.key_troubles[0]}; nothing was changed")
        return new


class TakeOver(Kind):
    """Lets the server serve what lies where it reads its pair."""

    def __init__(self, site: SslSite) -> None:
        self._site = site

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Try the configuration, then reload."""
        server = self._site.server
        if complaint := server.complaint() if server.runs() else "":
            raise StepError(f"nginx refuses its configuration: {complaint}; nothing was reloaded")
        server.take_over(self._site.pair().certificate)
        return True


def prove_webroot(site: SslSite) -> None:
    """Prove that the webroot is given out, before anything is asked of the ACME server."""
    acme_webroot.lay_probe(site.webroot)
    given_out, said = acme_webroot.served(site.webroot)
    if not given_out:
        raise StepError(f"{said}; nothing was changed: start again, the next diagnosis takes it into account")


def _old(saved: dict[str, Any]) -> Contents:
    return kept(os.path.join(saved["keep"], "old"), saved["old"])


def _obtained(saved: dict[str, Any]) -> Contents | None:
    """Return the new pair, when an earlier attempt has got as far as that."""
    try:
        with open(os.path.join(saved["keep"], "new.json"), encoding="ascii") as source:
            remembered = json.load(source)
    except FileNotFoundError:
        return None
    return kept(os.path.join(saved["keep"], "new"), remembered)


def _remembered(saved: dict[str, Any], new: Contents) -> Contents:
    remembered = keep(new, os.path.join(saved["keep"], "new"))
    write_whole(os.path.join(saved["keep"], "new.json"), json.dumps(remembered).encode("ascii"))
    return new


def _like(old: Contents, certificate: bytes, key: bytes) -> Contents:
    """Return a pair with the looks of the old one; but nobody else may read the key."""
    looks = replace(old.key_looks, mode=old.key_looks.mode & ~_OTHERS)
    return Contents(certificate, key, old.certificate_looks, looks)
