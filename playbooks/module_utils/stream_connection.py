"""Connects to a server as a replica does that acknowledges (semi-sync), and has it send its binary log.

PyMySQL does the handshake, the authentication and TLS; what follows is written and read here.
"""

from __future__ import annotations

import hashlib
import ssl
import struct
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

#: The length of a packet, and its number.
FRAME = 4
_REGISTER, _DUMP = 0x15, 0x12
#: The statements as text, which stand in the log, are left out of what is sent unless they are asked for.
_WITH_ANNOTATIONS = 2
_OK, _SWITCH, _ERROR = 0x00, 0xFE, 0xFF
#: They show the server that the password is known, and not the password.
_AUTHENTICATIONS = (b"mysql_native_password", b"client_ed25519")
_SECONDS = 10.0
_PACKAGE = "python3-pymysql"
#: The groups of option files that `mariadb-binlog` reads.
_GROUPS = ("mysqlbinlog", "mariadb-binlog", "client", "client-server", "client-mariadb")
_OFF = frozenset({"0", "off", "false", "no"})
_HONOURED = frozenset({"ssl", "ssl-ca", "ssl-capath", "ssl-cert", "ssl-key", "ssl-cipher", "ssl-verify-server-cert"})
_ANNOUNCE = """SET @master_binlog_checksum = @@global.binlog_checksum, @mariadb_slave_capability = 4,
    @rpl_semi_sync_slave = 1"""

Options = dict[str, str]


class ConnectionFailedError(Exception):
    """The server cannot be followed any further; the message says why."""


@dataclass(frozen=True)
class Server:
    """Where it is, and as whom it is asked."""

    address: str
    port: int
    user: str
    #: The number of this replica: of two with the same one the server drops one.
    server_id: int


def options_of(path: str) -> Options:
    """Return what the tool would take from its option files: an own one, and those of this host."""
    argv = ["my_print_defaults", f"--defaults-extra-file={path}", *_GROUPS]
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="surrogateescape",
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConnectionFailedError(f"my_print_defaults cannot be run ({error}): install mariadb-client") from error
    if done.returncode != 0:
        raise ConnectionFailedError(f"the option files cannot be read: {done.stderr.strip()[-200:]}")
    found: Options = {}
    for line in done.stdout.splitlines():
        name, given, value = line.removeprefix("--").partition("=")
        name = name.replace("_", "-")
        for off in ("skip-", "disable-"):
            if name.startswith(off):
                name, given, value = name.removeprefix(off), "=", "0"
        found[name] = value if given else "1"
    return found


def connect(server: Server, options: Options, first: str) -> socket.socket:
    """Return a connection over which the server sends its log from the begin of a file on; empty for its oldest.

    Raises ConnectionFailedError.
    """
    peer = _introduced(server, options)
    _register(peer, server)
    peer.settimeout(None)
    peer.sendall(frame(struct.pack("<BIHI", _DUMP, 4, _WITH_ANNOTATIONS, server.server_id) + first.encode()))
    return peer


def _introduced(server: Server, options: Options) -> socket.socket:
    """Return a connection to a server that knows with what kind of replica it talks."""
    heard: list[bytes] = []
    listening, library_error = _library(heard)
    context = _tls(options)
    password = options.get("password", "").encode("utf-8", "surrogateescape")
    try:
        connection = listening(
            host=server.address,
            port=server.port,
            user=server.user,
            password=password,
            ssl=context,
            ssl_disabled=context is None,
            connect_timeout=_SECONDS,
            read_timeout=_SECONDS,
            autocommit=None,
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@global.binlog_checksum")
            (checksum,) = cursor.fetchone()
            cursor.execute(_ANNOUNCE)
    except (library_error, OSError, RuntimeError) as error:
        raise ConnectionFailedError(f"the server does not take the connection: {error}") from error
    # The library leaves commands of replication to others. It would close its socket when it is gone.
    peer, connection._sock = connection._sock, None  # noqa: SLF001 - see above
    if context is not None and not isinstance(peer, ssl.SSLSocket):
        raise ConnectionFailedError("the server offers no TLS: set it up there, or skip-ssl for this client")
    if context is not None and context.verify_mode == ssl.CERT_NONE and _verifies(options):
        _prove(peer, password, connection.salt, heard[1:3])
    if checksum != "CRC32":
        raise ConnectionFailedError("nothing proves the events of the server: set binlog_checksum=CRC32")
    return peer


def _library(heard: list[bytes]) -> tuple[Any, type[Exception]]:
    """Return what connects, and puts there what the server says; and what it raises."""
    try:
        from pymysql.connections import Connection  # noqa: PLC0415 - only who wants semi-sync needs the library
        from pymysql.err import MySQLError  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ConnectionFailedError(f"PyMySQL is not here, and semi_sync needs it: install {_PACKAGE}") from error

    class Listening(Connection):
        """The library throws away with what a server proves itself, and gives it a password in clear when it asks."""

        def _read_packet(self, *of: Any) -> Any:
            packet = super()._read_packet(*of)
            heard.append(packet.get_all_data())
            _refuse_giving_away(heard)
            return packet

    return Listening, MySQLError


def _refuse_giving_away(heard: list[bytes]) -> None:
    """Raise ConnectionFailedError when the server wants an authentication that shows it the password."""
    if len(heard) == 1:
        wanted = heard[0].rstrip(b"\0").rpartition(b"\0")[2]
    elif len(heard) == 2 and heard[1][:1] == bytes([_SWITCH]):
        wanted = heard[1][1:].partition(b"\0")[0]
    else:
        return
    if wanted not in _AUTHENTICATIONS:
        raise ConnectionFailedError(
            f"the server wants the authentication {wanted[:40].decode('ascii', 'backslashreplace')}: this user must "
            f"have one of {', '.join(one.decode() for one in _AUTHENTICATIONS)}"
        )


def _prove(peer: ssl.SSLSocket, password: bytes, salt: bytes, welcome: list[bytes]) -> None:
    """Have a server prove that its own certificate is not another's: since 11.4 it signs it with the user's password.

    Raises ConnectionFailedError.
    """
    certificate = hashlib.sha256(peer.getpeercert(binary_form=True) or b"").digest()
    # SHA-1 is what the server keeps of a password.
    kept = hashlib.sha1(hashlib.sha1(password).digest()).digest()  # noqa: S324 - see above
    signature = b"\1" + hashlib.sha256(kept + salt + certificate).hexdigest().upper().encode()
    if not password or not any(one.endswith(signature) for one in welcome):
        raise ConnectionFailedError(
            "the server does not prove its certificate: name its authority (ssl-ca) in the client's options, or "
            "skip-ssl-verify-server-cert"
        )


def _verifies(options: Options) -> bool:
    return options.get("ssl-verify-server-cert", "1").lower() not in _OFF


def _tls(options: Options) -> ssl.SSLContext | None:
    """Return how the connection is encrypted; raises ConnectionFailedError for what cannot be kept to."""
    if options.get("ssl", "1").lower() in _OFF:
        return None
    unknown = [name for name in options if name.startswith(("ssl-", "tls-")) and name not in _HONOURED]
    if unknown:
        raise ConnectionFailedError(f"semi_sync cannot keep to {', '.join(unknown)} of the client's options")
    trusted = {"cafile": options.get("ssl-ca"), "capath": options.get("ssl-capath")}
    try:
        context = ssl.create_default_context(**trusted)
        context.check_hostname = _verifies(options) and any(trusted.values())
        if not any(trusted.values()):
            context.verify_mode = ssl.CERT_NONE
        if "ssl-cert" in options:
            context.load_cert_chain(options["ssl-cert"], options.get("ssl-key"))
        if "ssl-cipher" in options:
            context.set_ciphers(options["ssl-cipher"])
    except OSError as error:
        raise ConnectionFailedError(f"what the client's options say of TLS cannot be used: {error}") from error
    return context


def _register(peer: socket.socket, server: Server) -> None:
    """Be listed among the server's replicas."""
    no_name_user_password = b"\0\0\0"
    body = struct.pack("<BI", _REGISTER, server.server_id) + no_name_user_password + struct.pack("<HII", 0, 0, 0)
    try:
        peer.sendall(frame(body))
        answer = _exactly(peer, int.from_bytes(_exactly(peer, FRAME)[:3], "little"))
    except OSError as error:
        raise ConnectionFailedError(f"the server does not take this replica: {error}") from error
    if answer[:1] != bytes([_OK]):
        raise ConnectionFailedError(refusal(answer))


def _exactly(peer: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = peer.recv(size - len(found))
        if not more:
            raise ConnectionFailedError("the server has closed the connection")
        found += more
    return found


def frame(body: bytes) -> bytes:
    """Return a packet with this body, the first of its exchange."""
    return struct.pack("<I", len(body)) + body


def refusal(packet: bytes) -> str:
    """Return what the server says instead of sending its log."""
    if packet[:1] == bytes([_ERROR]) and len(packet) >= 3:
        number = int.from_bytes(packet[1:3], "little")
        words = packet[9:] if packet[3:4] == b"#" else packet[3:]
        return f"the server says: {words.decode('utf-8', 'replace')} ({number})"
    return "the server has ended the stream" if packet[:1] == bytes([_SWITCH]) else "the server sends what is no event"
