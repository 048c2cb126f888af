"""Alertmanager over its HTTP API, version 2: the alerts that it holds, silences, and its configuration."""

from __future__ import annotations

from typing import Any

from remediate.adapters.json_api import NOTHING, JsonApi
from remediate.adapters.prometheus import Understood
from remediate.catalog.endpoint import Endpoint
from remediate.domain.alert import Alert
from remediate.domain.alert_payload import read_active
from remediate.domain.silence import AUTHOR, Silence


class Alertmanager:
    """Implements the ports `Messenger` and `AlertSource`."""

    def __init__(self, endpoint: Endpoint, source: str) -> None:
        self._api = JsonApi("Alertmanager", endpoint)
        self._source = source

    def alerts(self) -> tuple[Alert, ...]:
        """Return the alerts that it holds and that have not resolved, those that are silenced too."""
        found = self._api.get("/api/v2/alerts")
        with Understood(self._api, "alerts"):
            return tuple(read_active(one, self._source) for one in _listed(found))

    def silence(self, wanted: Silence) -> str:
        """Make a silence and return its id."""
        document = {
            "matchers": [
                {"name": name, "value": value, "isRegex": False, "isEqual": True}
                for name, value in sorted(wanted.labels.items())
            ],
            "startsAt": wanted.begins_at.isoformat(),
            "endsAt": wanted.ends_at.isoformat(),
            "createdBy": AUTHOR,
            "comment": wanted.comment,
        }
        answer = self._api.post("/api/v2/silences", document=document)
        with Understood(self._api, "a silence"):
            return _checked_id(answer["silenceID"])

    def silences(self, comment: str) -> tuple[str, ...]:
        """Return the ids of silences that are not over, and that were made by us with this comment."""
        found = self._api.get("/api/v2/silences")
        with Understood(self._api, "silences"):
            return tuple(
                _checked_id(one["id"])
                for one in _listed(found)
                if one["status"]["state"] != "expired" and one["createdBy"] == AUTHOR and one["comment"] == comment
            )

    def unsilence(self, external_id: str) -> None:
        """End a silence; one that is over, or that there never was, is fine."""
        with Understood(self._api, "a silence"):
            path = f"/api/v2/silence/{_checked_id(external_id)}"
        known = self._api.get(path, optional=True)
        if known is NOTHING:
            return
        with Understood(self._api, "a silence"):
            over = known["status"]["state"] == "expired"
        if not over:
            self._api.delete(path)

    def configuration(self) -> str:
        """Return its configuration as YAML, in which it has blotted out all secrets."""
        answer = self._api.get("/api/v2/status")
        with Understood(self._api, "a status"):
            return str(answer["config"]["original"])


def _listed(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise TypeError("no list")
    return found


def _checked_id(text: Any) -> str:
    """An id becomes part of a path: nothing but what Alertmanager makes passes."""
    if not isinstance(text, str) or not text.replace("-", "").isalnum() or not text.isascii() or len(text) > 64:
        raise ValueError("an id of another form")
    return text
