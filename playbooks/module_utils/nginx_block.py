"""Puts a marked block into a configuration of nginx and takes it out again. Only text; nothing is read or written."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible.module_utils.address_guard import Guard

LIMITS, PATHS = "limits", "paths"
#: What may stand in a path of the inventory: nothing that nginx, or a regular expression, would read as more.
_PATH = re.compile(r"/[A-Za-z0-9/_-]{1,200}")
_PLACES = {
    LIMITS: re.compile(r"^[ \t]*http[ \t]*\{[ \t]*$", re.MULTILINE),
    PATHS: re.compile(r"^[ \t]*server[ \t]*\{[ \t]*$", re.MULTILINE),
}


class PlaceError(ValueError):
    """A configuration has no place for a block; the message says what is missing."""


def limits_body(guard: Guard, rate: int, burst: int, connections: int) -> str:
    """Return the directives that limit each address but those that are never limited."""
    exempt = [f"    {network} 0;" for version in (4, 6) for network in guard.networks(version)]
    return "\n".join(
        [
            "geo $remediate_limited {",
            "    default 1;",
            *exempt,
            "}",
            "map $remediate_limited $remediate_key {",
            '    0 "";',
            "    1 $binary_remote_addr;",
            "}",
            f"limit_req_zone $remediate_key zone=remediate_requests:10m rate={rate}r/s;",
            "limit_conn_zone $remediate_key zone=remediate_connections:10m;",
            f"limit_req zone=remediate_requests burst={burst} nodelay;",
            f"limit_conn remediate_connections {connections};",
            "limit_req_status 429;",
            "limit_conn_status 429;",
        ]
    )


def paths_body(paths: Sequence[str]) -> str:
    """Return the directive that answers 503 to everything below some paths."""
    names = "|".join(path.strip("/") for path in checked_paths(paths))
    return f'if ($uri ~ "^(/index\\.php)?/({names})(/|$)") {{ return 503; }}'


def checked_paths(paths: Sequence[str]) -> list[str]:
    """Return paths that are fit to stand in a configuration; raises PlaceError."""
    for path in paths:
        if not _PATH.fullmatch(path) or not path.strip("/"):
            raise PlaceError(
                f"{path!r} in ddos_attack_expensive_paths is no plain path: letters, digits, - and _ after a slash"
            )
    return list(paths)


def put(content: str, name: str, body: str) -> str:
    """Return a configuration with the block at every place for it, instead of one that is there already."""
    bare = take(content, name)
    block = f"{_begin(name)}\n{body}\n{_end(name)}\n"
    if name == LIMITS and not bare.strip():
        return block
    places = list(_PLACES[name].finditer(bare))
    if not places:
        what = "http {" if name == LIMITS else "server {"
        raise PlaceError(f"has no line `{what}`, so there is no place for a block")
    for place in reversed(places):
        end = place.end() + 1
        bare = f"{bare[: place.end()]}\n{block}{bare[end:]}"
    return bare


def take(content: str, name: str) -> str:
    """Return a configuration without the block."""
    pattern = f"^{re.escape(_begin(name))}\n.*?^{re.escape(_end(name))}\n"
    return re.sub(pattern, "", content, flags=re.MULTILINE | re.DOTALL)


def held(content: str, name: str) -> str:
    """Return the body of the block that a configuration has, or nothing."""
    pattern = f"^{re.escape(_begin(name))}\n(.*?)\n{re.escape(_end(name))}\n"
    match = re.search(pattern, content, re.MULTILINE | re.DOTALL)
    return match[1] if match else ""


def _begin(name: str) -> str:
    return f"# remediate ddos-attack: {name} begin"


def _end(name: str) -> str:
    return f"# remediate ddos-attack: {name} end"
