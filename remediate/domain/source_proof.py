"""Whether a post comes from the source that it names. Pure, and as slow for a wrong answer as for a right one."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from remediate.domain.alert_payload import SourceKind

#: How far a signed time may be from ours.
MOST_SKEW = timedelta(minutes=5)

#: The headers of a post: names in lower case, each value that was sent.
Headers = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class SourceKey:
    """How a source proves who it is. Its secret is in memory only, and shown nowhere."""

    name: str
    kind: SourceKind
    secret: bytes
    signs: bool = False
    signature_header: str = "x-grafana-alerting-signature"
    timestamp_header: str = ""

    def __repr__(self) -> str:
        return f"SourceKey({self.name!r}, secret=***)"

    def accepts_token(self, headers: Headers) -> bool:
        """Return whether the headers show its token; each header that counts may be there once only."""
        shown = headers.get("authorization", ())
        scheme, _, token = (shown[0] if len(shown) == 1 else "").partition(" ")
        # Hashed, so that neither the length nor where it differs can be measured.
        same = hmac.compare_digest(_hashed(token.encode("latin-1", "replace")), _hashed(self.secret))
        return same and scheme.lower() == "bearer" and not self.signs

    def accepts_signature(self, headers: Headers, body: bytes, now: datetime) -> bool:
        """Return whether the headers sign exactly these bytes, and a time that is now where one is signed."""
        signatures = headers.get(self.signature_header.lower(), ())
        signature = signatures[0] if len(signatures) == 1 else ""
        stamp = self._stamp(headers)
        signed = body if stamp is None else stamp.encode("latin-1", "replace") + b":" + body
        wanted = hmac.new(self.secret, signed, hashlib.sha256).hexdigest()
        same = hmac.compare_digest(signature.encode("latin-1", "replace"), wanted.encode())
        return same and self.signs and (stamp is None or _is_now(stamp, now))

    def _stamp(self, headers: Headers) -> str | None:
        if not self.timestamp_header:
            return None
        stamps = headers.get(self.timestamp_header.lower(), ())
        return stamps[0] if len(stamps) == 1 else ""


#: What is compared where there is no such source, so that it takes as long.
NOBODY = SourceKey("", "alertmanager", b"\0" * 32)


def _hashed(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def _is_now(stamp: str, now: datetime) -> bool:
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= 12):
        return False
    return abs(now.timestamp() - int(stamp)) <= MOST_SKEW.total_seconds()
