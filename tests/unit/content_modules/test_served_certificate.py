"""What is served is seen as a client sees it: a real handshake on this machine, and a webroot that is really asked."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from ansible.module_utils import acme_webroot
from ansible.module_utils.acme_webroot import Webroot, lay_probe
from ansible.module_utils.certificate_der import CertificateError, from_pem
from ansible.module_utils.host_step import StepError
from ansible.module_utils.served_certificate import TlsPlace, distrust, page_status, served

from tests.certificates import Made, make

Serve = Callable[[Made], TlsPlace]
NAME = "shop.example.org"


class Answer(http.server.SimpleHTTPRequestHandler):
    """Answers with what is in a directory, and says nothing about it."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serves a directory by HTTPS with a certificate."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(made: Made) -> TlsPlace:
        (tmp_path / "www").mkdir()
        directory = made.put(tmp_path / "served")

        handler = partial(Answer, directory=str(tmp_path / "www"))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "fullchain.pem", directory / "privkey.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # refused handshakes are what is tested
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return TlsPlace("127.0.0.1", server.server_port, NAME)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def authority(tmp_path: Path) -> Made:
    made = make((), common_name="authority", now=datetime.now(UTC))
    (tmp_path / "authority.pem").write_bytes(made.pem)
    return made


@pytest.mark.parametrize(
    ("ends", "names", "trusted", "word"),
    [
        (90, (NAME,), True, ""),
        (-0.5, (NAME,), True, "expired"),
        (90, ("other.example.org",), True, "mismatch"),
        (90, (NAME,), False, "issuer"),
    ],
)
def test_it_is_read_whatever_it_is_worth_and_what_it_is_worth_is_told(
    serve: Serve, authority: Made, tmp_path: Path, ends: float, names: tuple[str, ...], trusted: bool, word: str
) -> None:
    made = make(names, ends=ends, by=authority, now=datetime.now(UTC))
    place = serve(made)
    bundle = str(tmp_path / "authority.pem") if trusted else ""

    assert served(place) == from_pem(made.pem)
    reason = distrust(place, bundle)
    assert (word in reason) if word else (reason == "")


def test_the_page_is_asked_as_a_client_that_believes_the_certificate(
    serve: Serve, authority: Made, tmp_path: Path
) -> None:
    place = serve(make((NAME,), by=authority, now=datetime.now(UTC)))
    (tmp_path / "www/here").write_text("x")
    bundle = str(tmp_path / "authority.pem")
    assert (page_status(place, "/here", bundle), page_status(place, "/gone", bundle)) == (200, 404)
    with pytest.raises(OSError, match="verify failed"):
        page_status(place, "/here", "")


def test_where_nothing_listens_that_is_told() -> None:
    with pytest.raises(CertificateError, match="serves no certificate"):
        served(TlsPlace("127.0.0.1", 1, NAME))


def test_a_bundle_that_is_not_there_is_told_as_that(serve: Serve) -> None:
    with pytest.raises(CertificateError, match="bundle of trusted authorities"):
        distrust(serve(make((NAME,), now=datetime.now(UTC))), "/nowhere/bundle.pem")


@pytest.fixture
def webroot(tmp_path: Path) -> Iterator[Webroot]:
    """A directory that is really given out over HTTP."""
    (tmp_path / "acme").mkdir()

    handler = partial(Answer, directory=str(tmp_path / "acme"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield Webroot(str(tmp_path / "acme"), "127.0.0.1", server.server_port, 1, NAME)
    server.shutdown()
    server.server_close()


def test_looking_at_a_webroot_writes_nothing_and_says_when_it_cannot_tell(webroot: Webroot) -> None:
    assert acme_webroot.served(webroot)[0] is None
    assert list(Path(webroot.directory).iterdir()) == []


def test_a_webroot_that_is_given_out_is_proven_by_the_probe(webroot: Webroot) -> None:
    lay_probe(webroot)
    assert acme_webroot.served(webroot)[0] is True
    assert Path(webroot.probe).stat().st_mode & 0o777 == 0o644


def test_a_copy_of_the_probe_in_another_directory_proves_nothing_after_the_next_one(
    webroot: Webroot, tmp_path: Path
) -> None:
    lay_probe(webroot)
    Path(webroot.directory).rename(tmp_path / "moved")  # given out is what has the name
    (tmp_path / "acme").symlink_to("moved")
    other = Webroot(str(tmp_path / "other"), webroot.address, webroot.http_port, 1, NAME)
    Path(other.probe).parent.mkdir(parents=True)
    Path(other.probe).write_bytes((tmp_path / "moved" / webroot.probe.split("/acme/", 1)[1]).read_bytes())
    lay_probe(other)
    given_out, said = acme_webroot.served(other)
    assert given_out is False
    assert "answered something else" in said


def test_a_webroot_that_is_not_there_is_told_and_not_made(webroot: Webroot, tmp_path: Path) -> None:
    missing = Webroot(str(tmp_path / "none"), webroot.address, webroot.http_port, 1, NAME)
    assert acme_webroot.served(missing)[0] is False
    with pytest.raises(StepError, match="set ssl_expiry_webroot"):
        lay_probe(missing)
    assert not (tmp_path / "none").exists()


def test_where_nothing_answers_the_webroot_is_not_given_out(webroot: Webroot) -> None:
    lay_probe(webroot)
    closed = Webroot(webroot.directory, "127.0.0.1", 1, 1, NAME)
    assert acme_webroot.served(closed)[0] is False
