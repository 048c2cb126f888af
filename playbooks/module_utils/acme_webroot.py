"""Whether answers to challenges that are laid into a directory reach the world: proven by a small file that stays.

Looking never writes. The file is laid there by the first fix or verification, so that from then on every look can tell.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from ansible.module_utils.certificate_der import CertificateError
from ansible.module_utils.certificate_pair import read_small
from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.host_step import StepError

CHALLENGES = "/.well-known/acme-challenge"
PROBE = "remediate-probe"
_SECONDS = 5.0
_MOST_REDIRECTS = 3


@dataclass(frozen=True)
class Webroot:
    """A directory whose files a server gives out, and where that server is."""

    directory: str
    address: str
    http_port: int
    https_port: int
    name: str

    @property
    def probe(self) -> str:
        """The path of the file that proves it."""
        return self.directory.rstrip("/") + f"{CHALLENGES}/{PROBE}"


def served(webroot: Webroot) -> tuple[bool | None, str]:
    """Return whether the directory is given out, with the evidence; None when no file there could tell."""
    if not os.path.isdir(webroot.directory):
        return False, f"the directory {webroot.directory} is not there"
    try:
        wanted = read_small(webroot.probe)
    except FileNotFoundError:
        return None, f"there is no {webroot.probe} yet: whether it is given out is proven by the fix, before it asks"
    except (OSError, CertificateError) as error:
        return None, f"{webroot.probe} cannot be read: {error}"
    url = f"http://{webroot.name}{CHALLENGES}/{PROBE}"
    try:
        status, content = _fetched(webroot, url)
    except (OSError, http.client.HTTPException) as error:
        return False, f"{url} did not answer: {shown(str(error))[:200]}"
    if status != 200 or content != wanted:
        what = f"answered {status}" if status != 200 else "answered something else"
        return False, f"{url} {what}, so {webroot.directory} is not what the server gives out"
    return True, f"{url} gives out what is in {webroot.directory}"


def lay_probe(webroot: Webroot) -> None:
    """Lay the file that proves it there, each time with another content: an old copy elsewhere proves nothing."""
    if not os.path.isdir(webroot.directory):
        raise StepError(f"the webroot {webroot.directory} is not there; nothing was changed: set ssl_expiry_webroot")
    at = webroot.directory
    for part in CHALLENGES.strip("/").split("/"):
        at = os.path.join(at, part)
        if not os.path.isdir(at):
            os.mkdir(at)
            os.chmod(at, 0o755)  # noqa: S103 - the server, which is somebody else, gives it out
    partial = os.path.join(at, f".{PROBE}.partial")
    if os.path.lexists(partial):
        os.unlink(partial)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as target:
        os.fchmod(target.fileno(), 0o644)
        target.write(
            b"remediate sees by this whether challenges are answered\n" + os.urandom(16).hex().encode() + b"\n"
        )
    os.rename(partial, webroot.probe)


def _fetched(webroot: Webroot, url: str) -> tuple[int, bytes]:
    """Return what the server answers; like the authority, it follows redirects and does not mind the certificate."""
    for _ in range(_MOST_REDIRECTS + 1):
        parts = urlsplit(url)
        connection = _connection(webroot, encrypted=parts.scheme == "https")
        try:
            connection.request("GET", parts.path, headers={"Host": webroot.name})
            answer = connection.getresponse()
            if answer.status not in {301, 302, 303, 307, 308}:
                return answer.status, answer.read(4096)
            url = answer.getheader("Location", "")
        finally:
            connection.close()
        if (urlsplit(url).hostname or webroot.name) != webroot.name:
            raise http.client.HTTPException(f"it sends elsewhere: {url[:100]}")
    raise http.client.HTTPException("it sends from one address to the next")


def _connection(webroot: Webroot, *, encrypted: bool) -> http.client.HTTPConnection:
    if not encrypted:
        return http.client.HTTPConnection(webroot.address, webroot.http_port, timeout=_SECONDS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection((webroot.address, webroot.https_port), timeout=_SECONDS)
    connection = http.client.HTTPConnection(webroot.address, webroot.https_port, timeout=_SECONDS)
    connection.sock = context.wrap_socket(plain, server_hostname=webroot.name)
    return connection
