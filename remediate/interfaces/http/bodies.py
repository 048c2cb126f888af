"""Reads the body of a post within bounds of size and time, and only one kind of it."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from remediate.domain.alert_payload import MOST_BYTES

#: How long a body may take to come.
PATIENCE_SECONDS = 10


class Unacceptable(Exception):
    """The body is not read, or not to its end: the status that says why, and the sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def check_headers(request: Request) -> None:
    """Raise Unacceptable when the headers alone say that the body cannot be used."""
    headers = request.headers
    kinds = headers.getlist("content-type")
    kind, _, parameter = (kinds[0] if len(kinds) == 1 else "").partition(";")
    plain = parameter.strip().lower().replace('"', "") in {"", "charset=utf-8"}
    if kind.strip().lower() != "application/json" or not plain:
        raise Unacceptable(415, "The content type application/json, in UTF-8, is wanted. Nothing was read.")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Unacceptable(415, "A packed body is not unpacked. Nothing was read.")
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:12]) > MOST_BYTES or len(length) > 12:
        raise Unacceptable(413, f"A body has at most {MOST_BYTES} bytes. Nothing was taken.")


async def read_body(request: Request) -> bytes:
    """Return the body; raises Unacceptable when it is too big, too slow, or breaks off."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > MOST_BYTES:
                    raise Unacceptable(413, f"A body has at most {MOST_BYTES} bytes. Nothing was taken.")
                parts.append(part)
    except TimeoutError:
        raise Unacceptable(408, f"The body did not come within {PATIENCE_SECONDS} seconds.") from None
    except ClientDisconnect:
        raise Unacceptable(400, "The body broke off.") from None
    return b"".join(parts)
