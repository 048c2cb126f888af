"""A replica that acknowledges says so before it asks for a log, and keeps to what the client's options want."""

from __future__ import annotations

import socket
import ssl
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import pytest
from ansible.module_utils import stream_connection
from ansible.module_utils.stream_connection import ConnectionFailedError, connect, options_of

CHECKSUM = "@master_binlog_checksum = @@global.binlog_checksum"
FINE = b"\7\0\0\1\0\0\0\2\0\0\0"
HERE = stream_connection.Server("db", 3307, "binlog", 0x80000007)


GREETING = b"\n11.8.9-MariaDB\0" + b"x" * 30 + b"\0mysql_native_password\0"
SALT = b"s" * 20


class Packet:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def get_all_data(self) -> bytes:
        return self._data


class Server:
    """A server and its end of the connection, and what the library was told."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}
        self.asked: list[str] = []
        self.checksum = "CRC32"
        self.says = [GREETING, b"\0\0\0\2\0\0\0", b"\0\0\0\2\0\0\0"]
        self.near, self.far = socket.socketpair()
        self.connection: Any = None


def library(server: Server) -> type:
    """PyMySQL as far as it is used: it hears what a server says, is asked, and hands over its socket."""

    class Connection:
        def __init__(self, **told: Any) -> None:
            server.told, server.connection = told, self
            self._sock: Any = server.near
            self.salt = SALT
            for _ in list(server.says):
                self._read_packet()

        def _read_packet(self, *_: object) -> Packet:
            return Packet(server.says.pop(0))

        def cursor(self) -> Self:
            return self

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def execute(self, statement: str) -> None:
            server.asked.append(" ".join(statement.split()))

        def fetchone(self) -> tuple[str]:
            return (server.checksum,)

    return Connection


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """One that takes the replica."""
    found = Server()
    connections, errors = ModuleType("pymysql.connections"), ModuleType("pymysql.err")
    monkeypatch.setattr(connections, "Connection", library(found), raising=False)
    monkeypatch.setattr(errors, "MySQLError", type("MySQLError", (Exception,), {}), raising=False)
    for module in (ModuleType("pymysql"), connections, errors):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    found.far.sendall(FINE)
    yield found
    found.near.close()
    found.far.close()


def test_it_registers_and_asks_for_a_log_from_its_begin_with_what_a_log_has(server: Server) -> None:
    peer = connect(HERE, {"skip": "", "ssl": "0", "password": "pä"}, "mariadb-bin.000007")
    number = HERE.server_id.to_bytes(4, "little")

    assert server.far.recv(100) == (
        # Number 0x15: no name, user and password, port 0, rank 0, no other source.
        b"\x12\0\0\0\x15"
        + number
        + b"\0\0\0"
        + b"\0" * 10
        # Number 0x12: from 4 on, with the text of statements, waiting for more at the end.
        + struct.pack("<I", 11 + 18)
        + b"\x12\4\0\0\0\2\0"
        + number
        + b"mariadb-bin.000007"
    )
    assert server.asked == [
        "SELECT @@global.binlog_checksum",
        f"SET {CHECKSUM}, @mariadb_slave_capability = 4, @rpl_semi_sync_slave = 1",
    ]
    assert (server.told["host"], server.told["port"], server.told["user"]) == ("db", 3307, "binlog")
    assert (server.told["password"], server.told["ssl"], server.told["ssl_disabled"]) == ("pä".encode(), None, True)
    # The library would close it.
    assert peer is server.near
    assert server.connection._sock is None


def test_what_the_server_says_instead_is_told(server: Server) -> None:
    server.near.recv(len(FINE))
    refused = b"\xff" + (1227).to_bytes(2, "little") + b"#42000Access denied"
    server.far.sendall(struct.pack("<I", len(refused)) + refused)

    with pytest.raises(ConnectionFailedError, match=r"says: Access denied \(1227\)"):
        connect(HERE, {"ssl": "0"}, "")


def test_events_without_a_checksum_are_refused(server: Server) -> None:
    server.checksum = "NONE"

    with pytest.raises(ConnectionFailedError, match="set binlog_checksum=CRC32"):
        connect(HERE, {"ssl": "0"}, "")


def test_a_server_without_tls_is_refused_unless_the_client_is_told_to_do_without(server: Server) -> None:
    with pytest.raises(ConnectionFailedError, match="offers no TLS"):
        connect(HERE, {}, "")
    assert connect(HERE, {"ssl": "0"}, "")


@pytest.mark.parametrize("wanted", ["mysql_clear_password", "sha256_password", "caching_sha2_password", "dialog", "x"])
def test_a_server_is_never_shown_the_password(server: Server, wanted: str) -> None:
    server.says[0] = GREETING.replace(b"mysql_native_password", wanted.encode())
    with pytest.raises(ConnectionFailedError, match=f"wants the authentication {wanted}: "):
        connect(HERE, {"ssl": "0", "password": "p"}, "")
    assert len(server.says) == 2

    server.says = [GREETING, b"\xfe" + wanted.encode() + b"\0" + SALT, b"\0"]
    with pytest.raises(ConnectionFailedError, match=f"wants the authentication {wanted}: "):
        connect(HERE, {"ssl": "0", "password": "p"}, "")
    assert len(server.says) == 1


def test_another_authentication_that_shows_no_password_is_taken(server: Server) -> None:
    server.says = [GREETING, b"\xfeclient_ed25519\0" + SALT, b"\0\0\0\2\0\0\0", b"\xfe\0\0\2\0"]

    assert connect(HERE, {"ssl": "0", "password": "p"}, "")


class Shown:
    """A connection with TLS, as far as it is asked."""

    def getpeercert(self, *, binary_form: bool) -> bytes:
        assert binary_form
        return b"certificate"


#: SHA-256 over twice SHA-1 of the password, the salt, and SHA-256 of the certificate; seen to be so on 11.8.9.
SIGNED = b"\0\0\0\2\0\0\0A\1" + b"84F9A1DD41567AB242EAA58FC72C9B2201F5649832D230AAE65A3DFA4E226AF8"

NO_PASSWORD = b"\0\0\0\2\0\0\0A\1" + b"3D04E41CA99FC55F38664BA08290C6759B650390F7F946B150DA2541F5D8E7E6"


@pytest.mark.parametrize(
    ("password", "welcome", "fine"),
    [
        (b"lab", [SIGNED], True),
        (b"lab", [b"\xfeclient_ed25519\0", SIGNED], True),
        (b"other", [SIGNED], False),
        # What everybody knows proves nothing.
        (b"", [NO_PASSWORD], False),
        (b"lab", [b"\0\0\0\2\0\0\0"], False),
        (b"lab", [], False),
    ],
)
def test_a_server_proves_its_own_certificate_with_the_password(
    password: bytes, welcome: list[bytes], fine: bool
) -> None:
    if fine:
        stream_connection._prove(Shown(), password, SALT, welcome)
    else:
        with pytest.raises(ConnectionFailedError, match="does not prove its certificate"):
            stream_connection._prove(Shown(), password, SALT, welcome)


def test_a_library_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)

    with pytest.raises(ConnectionFailedError, match="install python3-pymysql"):
        connect(HERE, {}, "")


def test_the_server_is_verified_where_the_options_say_by_what() -> None:
    authorities = next(iter(Path("/etc/ssl/certs").glob("*.pem")))
    plain = stream_connection._tls({})
    trusting = stream_connection._tls({"ssl-ca": str(authorities)})
    nameless = stream_connection._tls({"ssl-ca": str(authorities), "ssl-verify-server-cert": "0"})

    assert (plain.verify_mode, plain.check_hostname) == (ssl.CERT_NONE, False)
    assert (trusting.verify_mode, trusting.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (nameless.verify_mode, nameless.check_hostname) == (ssl.CERT_REQUIRED, False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ssl-crl": "/c"}, "cannot keep to ssl-crl"),
        ({"tls-version": "TLSv1.3"}, "cannot keep to tls-version"),
        ({"ssl-ca": "/missing"}, "cannot be used"),
        ({"ssl-cert": "/missing"}, "cannot be used"),
        ({"ssl-cipher": "nothing"}, "cannot be used"),
    ],
)
def test_what_cannot_be_kept_to_is_not_passed_over(options: dict[str, str], words: str) -> None:
    with pytest.raises(ConnectionFailedError, match=words):
        stream_connection._tls(options)


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "my_print_defaults").write_text(f"#!/bin/sh\n{text}\n")
    (tmp_path / "my_print_defaults").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def test_options_are_those_that_the_tool_would_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(
        tmp_path,
        monkeypatch,
        'echo "$@" > "$(dirname "$0")/asked"\n'
        'printf "%s\\n" --ssl_ca=/a --password=o --skip-ssl "--password=p=\\"q" --disable-ssl-verify-server-cert --ssl',
    )

    assert options_of("/o") == {"ssl-ca": "/a", "password": 'p="q', "ssl": "1", "ssl-verify-server-cert": "0"}
    assert (tmp_path / "asked").read_text().split() == [
        "--defaults-extra-file=/o",
        *("mysqlbinlog", "mariadb-binlog", "client", "client-server", "client-mariadb"),
    ]


def test_option_files_that_cannot_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, "echo 'Could not open /o' >&2; exit 1")
    with pytest.raises(ConnectionFailedError, match="Could not open /o"):
        options_of("/o")

    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConnectionFailedError, match="install mariadb-client"):
        options_of("/o")
