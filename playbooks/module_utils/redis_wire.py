"""Speaks with a Redis server over its own protocol, byte for byte."""

from __future__ import annotations

import socket
from typing import Any, Self

_CONNECT_SECONDS = 3.0
#: A script over a long queue takes its time.
_ANSWER_SECONDS = 30.0
#: No answer that is asked for here nests deeper, or has a longer part.
_DEEPEST = 8
_LONGEST = 512 << 20

Word = bytes | str | int | float


class RedisUnreachableError(Exception):
    """Nobody answers, or not in time."""


class RedisRefusedError(Exception):
    """The server answers, with an error."""

    @property
    def code(self) -> str:
        """The first word of the error, such as NOAUTH or LOADING."""
        return str(self).partition(" ")[0]


class Redis:
    """A connection to one database of a server."""

    def __init__(
        self,
        host: str,
        port: int,
        database: int = 0,
        username: str = "",
        password: str = "",
        *,
        connect_within: float = _CONNECT_SECONDS,
    ) -> None:
        try:
            self._socket = socket.create_connection((host, port), connect_within)
        except OSError as error:
            raise RedisUnreachableError(f"{host}:{port} does not answer: {error.strerror or error}") from error
        # Who accepts a connection and then says nothing hangs: that shows with the first word.
        self._stream = self._socket.makefile("rb")
        try:
            if password:
                self.command("AUTH", *([username] if username else []), password)
            self.command("SELECT", database)
        except BaseException:
            self.close()
            raise
        self._socket.settimeout(_ANSWER_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._stream.close()
        self._socket.close()

    def command(self, *words: Word) -> Any:
        """Send a command and return its answer: bytes, int, None, or a list of such."""
        parts = [_bytes(word) for word in words]
        message = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        try:
            self._socket.sendall(message)
            return self._answer(_DEEPEST)
        except OSError as error:
            raise RedisUnreachableError(f"Redis broke off: {error.strerror or error}") from error

    def _answer(self, depth: int) -> Any:
        line = self._stream.readline(1 << 16)
        if not line.endswith(b"\r\n"):
            raise RedisUnreachableError("Redis broke off in the middle of its answer")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            raise RedisRefusedError(rest.decode("utf-8", "backslashreplace"))
        if kind not in {b":", b"$", b"*"} or not rest.lstrip(b"-").isdigit():
            raise RedisUnreachableError("what answers does not speak Redis' protocol")
        number = int(rest)
        if kind == b":":
            return number
        if kind == b"$":
            return self._text(number)
        return None if number < 0 else self._list(number, depth)

    def _text(self, size: int) -> bytes | None:
        if size < 0:
            return None
        if size > _LONGEST:
            raise RedisUnreachableError("what answers does not speak Redis' protocol")
        text = self._stream.read(size + 2)
        if len(text) != size + 2:
            raise RedisUnreachableError("Redis broke off in the middle of its answer")
        return text[:-2]

    def _list(self, size: int, depth: int) -> list[Any]:
        """Read a list to its end, so that the next answer is understood even where a part of it is an error."""
        if depth == 0:
            raise RedisUnreachableError("what answers does not speak Redis' protocol")
        parts: list[Any] = []
        trouble: RedisRefusedError | None = None
        for _ in range(size):
            try:
                parts.append(self._answer(depth - 1))
            except RedisRefusedError as error:
                trouble = error
        if trouble:
            raise trouble
        return parts


def _bytes(word: Word) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogateescape")
