"""Maintenance mode of the application, with a token by which those who work on it still get in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.host_checks import CANNOT_TELL, CURED, NOT_CURED, Check, check
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.safe_files import Directory

_MARK = "framework/down"
_COOKIE = "laravel_maintenance"
_ASK_SECONDS = 5.0


class Maintenance(Kind):
    """Shows visitors a notice instead of the application. The bypass token stays in a file that only its users read."""

    def __init__(self, stack: dict[str, Any], service: str, storage: str) -> None:
        self._stack, self._service, self._storage = stack, service, storage

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Take the application down; give the notice a token, which is on no command line."""
        if token_of(self._storage):
            return False
        if not is_down(self._storage):
            self._artisan("down", "--retry=60")
        _give_token(self._storage)
        return True

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Let everybody in again."""
        if is_down(self._storage):
            self._artisan("up")
        return step.target

    def _artisan(self, *words: str) -> None:
        code, output, errors = stack_of(self._stack).beside(self._service, ["php", "artisan", *words])
        if code != 0:
            lines = (errors.strip() or output.strip()).splitlines() or ["it printed nothing"]
            raise StepError(f"artisan {words[0]} failed in {self._service}: {lines[-1][:300]}")


def is_down(storage: str) -> bool:
    """Whether the application is in maintenance mode."""
    return os.path.lexists(os.path.join(storage, _MARK))


def token_of(storage: str) -> str:
    """Return the bypass token, if the application is down and has one."""
    try:
        with Directory(os.path.join(storage, "framework")) as directory, os.fdopen(directory.open("down")) as source:
            return str(json.load(source).get("secret") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def _give_token(storage: str) -> None:
    with Directory(os.path.join(storage, "framework")) as directory:
        descriptor = directory.open("down", os.O_RDWR)
        with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
            mark = json.load(file)
            mark["secret"] = secrets.token_urlsafe(24)
            os.fchmod(file.fileno(), 0o640)
            file.seek(0)
            file.write(json.dumps(mark))
            file.truncate()


def cookie(token: str, now: float) -> str:
    """Return the cookie that the application gives to whoever shows the token: so the token is in no access log."""
    expires = str(int(now) + 600)
    mac = hmac.new(token.encode(), expires.encode(), hashlib.sha256).hexdigest()
    return base64.b64encode(json.dumps({"expires_at": int(expires), "mac": mac}).encode()).decode("ascii")


def answer_of(url: str, token: str = "") -> tuple[int, str]:
    """Ask an address, as a visitor or with the token; return the code (0 for no answer) and what happened."""
    request = urllib.request.Request(url)  # noqa: S310 - the caller has checked the scheme
    if token:
        request.add_header("Cookie", f"{_COOKIE}={urllib.parse.quote(cookie(token, time.time()))}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_ASK_SECONDS) as answer:
            return answer.status, f"{url} answered {answer.status}"
    except urllib.error.HTTPError as error:
        return error.code, f"{url} answered {error.code}"
    except OSError as error:
        return 0, f"{url} did not answer: {error}"


def behind_the_notice(url: str, storage: str) -> Check:
    """Look whether visitors see the notice and the application works for whoever has the token."""
    name = "application behind maintenance"
    if not url.startswith(("http://", "https://")):
        return check(name, CANNOT_TELL, f"{url!r} is no http address: correct stack_health_url in the inventory")
    token = token_of(storage)
    code, said = answer_of(url)
    if code != 503:
        return check(name, NOT_CURED, f"visitors are let in: {said}")
    code, said = answer_of(url, token)
    return check(name, CURED if code == 200 else NOT_CURED, f"with the bypass token {said}")
