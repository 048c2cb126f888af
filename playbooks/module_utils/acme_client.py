"""Asks an ACME server for a certificate, through certbot: a request goes in, a chain of certificates comes out.

The request (CSR) and the key are made here, so that certbot keeps nothing but its account and its logs: what is issued
lies where the caller wants it and nowhere else, and whether the key stays the same is the caller's decision.
"""

from __future__ import annotations

import os
import re
import shutil
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from ansible.module_utils.certificate_der import CertificateError, covers
from ansible.module_utils.certificate_pair import read_pair
from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.host_step import StepError
from ansible.module_utils.stack_program import StackError, run_program

WEBROOT, STANDALONE = "webroot", "standalone"
PUBLIC_SERVER = "https://acme-v02.api.letsencrypt.org/directory"
_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE
)
_SECONDS = 180.0
_REACH_SECONDS = 10.0
#: Lines of certbot that say nothing about what went wrong.
_NOISE = re.compile(
    r"Saving debug log|Ask for help|See the logfile|An unexpected error|Some challenges have failed|^Hint:|^- - -",
    re.IGNORECASE,
)
_LIMITED = re.compile(r"rateLimited|too many|rate limit", re.IGNORECASE)
_KEYS = {
    "ecdsa": ("EC", "ec_paramgen_curve:P-256"),
    "rsa": ("RSA", "rsa_keygen_bits:3072"),
}


@dataclass(frozen=True)
class Acme:
    """A server, and how this host asks it."""

    server: str
    email: str
    webroot: str
    #: Authorities that the ACME server's own certificate is believed by; empty: those of the system.
    ca_bundle: str
    config_dir: str
    work_dir: str
    logs_dir: str


def checked_names(names: Sequence[str]) -> list[str]:
    """Return host names that a certificate can be asked for by http-01."""
    if not names:
        raise StepError("no host name is known to ask a certificate for: set ssl_expiry_names")
    if len(names) > 100:
        raise StepError(f"{len(names)} names in one certificate are too many: an ACME server takes 100")
    for name in names:
        if name.startswith("*."):
            raise StepError(
                f"{shown(name)} needs the challenge dns-01, which this runbook does not do: renew it where its DNS is"
            )
        if not _NAME.fullmatch(name):
            raise StepError(f"{shown(name)[:100]!r} is no host name that a certificate can be asked for")
    return list(names)


def reach(acme: Acme) -> None:
    """See that the server answers; raises StepError when it does not. Nothing is asked of it yet."""
    if shutil.which("certbot") is None:
        raise StepError("certbot is not on this host; nothing was changed: install it")
    if not acme.server.startswith("https://"):
        raise StepError(
            f"ssl_expiry_server is {shown(acme.server)[:100]!r}; nothing was changed: it is an https address"
        )
    try:
        context = ssl.create_default_context(cafile=acme.ca_bundle or None)
        with urllib.request.urlopen(acme.server, timeout=_REACH_SECONDS, context=context) as answer:  # noqa: S310 - https
            answer.read(1)
    except (OSError, ValueError) as error:
        reason = shown(str(getattr(error, "reason", None) or error))[:200]
        raise StepError(f"the ACME server {acme.server} cannot be reached ({reason}); nothing was changed") from error


def make_key(path: str, key_type: str) -> None:
    """Make a new private key that only root may read."""
    algorithm, option = _KEYS[key_type]
    made = f"{path}.partial"
    os.close(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    _openssl("genpkey", "-quiet", "-algorithm", algorithm, "-pkeyopt", option, "-out", made)
    os.chmod(made, 0o600)
    os.rename(made, path)


def issue(acme: Acme, names: Sequence[str], key: str, method: str, place: str, *, trial: bool = False) -> str:
    """Have a certificate issued for a key; return the directory below `place` that holds `fullchain.pem`.

    A trial on the public server goes to its staging server (certbot's own dry run) and brings no certificate back.
    On any other server a trial is a real issue, whose result the caller throws away.
    """
    directory = tempfile.mkdtemp(prefix="issue-", dir=place)
    request = os.path.join(directory, "request.pem")
    wanted = ",".join(f"DNS:{name}" for name in checked_names(names))
    _openssl("req", "-new", "-key", key, "-subj", "/", "-addext", f"subjectAltName={wanted}", "-out", request)
    dry = trial and acme.server == PUBLIC_SERVER
    try:
        finished = run_program(_arguments(acme, method, request, directory, dry=dry), _SECONDS, env=_environment(acme))
    except StackError as error:
        raise StepError(f"{error}; nothing was changed") from error
    if finished.code != 0:
        raise StepError(refusal(acme.server, f"{finished.output}\n{finished.errors}"))
    if not dry:
        _proven(os.path.join(directory, "fullchain.pem"), key, names)
    return directory


def _proven(chain: str, key: str, names: Sequence[str]) -> None:
    """Look at what came back before anything is replaced by it."""
    try:
        pair = read_pair(chain, key)
    except CertificateError as error:
        raise StepError(f"what the ACME server issued is of no use: {error}; nothing was changed") from error
    missing = [name for name in names if not covers(pair.certificate, name)]
    if missing or not pair.key_fits:
        what = f"it is not for {', '.join(missing)}" if missing else "it is for another key"
        raise StepError(f"what the ACME server issued is of no use: {what}; nothing was changed")


def refusal(server: str, printed: str) -> str:
    """Return one sentence for what certbot printed when it failed."""
    lines = [shown(line.strip()) for line in printed[-20000:].splitlines() if line.strip() and not _NOISE.search(line)]
    said = " ".join(dict.fromkeys(lines[-6:]))[:500] or "it said nothing"
    if _LIMITED.search(printed):
        return (
            f"the ACME server {server} refuses for now, because its rate limit is reached: {said}; nothing was changed"
        )
    return f"the ACME server {server} issued nothing: {said}; nothing was changed"


def _arguments(acme: Acme, method: str, request: str, directory: str, *, dry: bool) -> list[str]:
    way = ["--webroot", "--webroot-path", acme.webroot] if method == WEBROOT else ["--standalone"]
    return [
        "certbot", "certonly", "--non-interactive", "--agree-tos", "--no-directory-hooks",
        *(["--email", acme.email, "--no-eff-email"] if acme.email else ["--register-unsafely-without-email"]),
        "--server", acme.server,
        "--config-dir", acme.config_dir, "--work-dir", acme.work_dir, "--logs-dir", acme.logs_dir,
        "--preferred-challenges", "http", *way, *(["--dry-run"] if dry else []),
        "--csr", request,
        "--cert-path", os.path.join(directory, "cert.pem"),
        "--chain-path", os.path.join(directory, "chain.pem"),
        "--fullchain-path", os.path.join(directory, "fullchain.pem"),
    ]  # fmt: skip


def _environment(acme: Acme) -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8", **({"REQUESTS_CA_BUNDLE": acme.ca_bundle} if acme.ca_bundle else {})}


def _openssl(*arguments: str) -> None:
    try:
        finished = run_program(["openssl", *arguments], 30.0)
    except StackError as error:
        raise StepError(f"{error}; nothing was changed: install openssl") from error
    if finished.code != 0:
        raise StepError(f"openssl {arguments[0]} failed: {finished.last_line}; nothing was changed")
