"""The account that an application has in its database: as its environment file says it, and as the server knows it."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.host_step import StepError
from ansible.module_utils.mariadb_server import REFUSED, TOO_MANY_CONNECTIONS, MariaDB, ServerError, literal

_LINE = re.compile(r"^\s*(?:export\s+)?([A-Z][A-Z0-9_]*)\s*=\s*(.*?)\s*$")
_PASSWORD = re.compile(r"^(\s*(?:export\s+)?DB_PASSWORD\s*=).*$", re.MULTILINE)
#: Ways to log in that keep a hash which the server makes from a password by itself.
_HASHED = ("mysql_native_password", "ed25519")
_BEGIN = "CREATE USER "


def settings_of(text: str) -> dict[str, str]:
    """Return the variables of an environment file; the last one of a name counts."""
    found = (_LINE.match(line) for line in text.split("\n"))
    return {one[1]: _bare(one[2]) for one in found if one}


def account_of(path: str) -> dict[str, str]:
    """Return how the application logs in: host, port, user, password and schema."""
    try:
        with open(path, encoding="utf-8") as source:
            found = settings_of(source.read(1 << 20))
    except (OSError, UnicodeDecodeError) as error:
        raise StepError(
            f"the application's settings {path} cannot be read ({error}); nothing was done: correct "
            "database_failure_env_file"
        ) from error
    if missing := [one for one in ("DB_USERNAME", "DB_PASSWORD") if one not in found]:
        raise StepError(f"{path} does not say {' and '.join(missing)}; nothing was done: add it")
    return {
        "host": found.get("DB_HOST", "127.0.0.1"),
        "port": found.get("DB_PORT", "3306"),
        "user": found["DB_USERNAME"],
        "password": found["DB_PASSWORD"],
        "schema": found.get("DB_DATABASE", ""),
    }


def with_password(text: str, password: str) -> str:
    """Return an environment file with another password of the database, and nothing else changed."""
    if not _PASSWORD.search(text):
        raise StepError("the application's settings do not say DB_PASSWORD; nothing was done: add it")
    return _PASSWORD.sub(lambda found: found[1] + password, text)


def new_password() -> str:
    """Return a password that nobody knows, of characters that need no quoting anywhere."""
    return secrets.token_hex(20)


def refusal(server: MariaDB, account: dict[str, str]) -> tuple[bool | None, str]:
    """Try to log in as the application; return whether it is refused, None when that cannot be told, and why."""
    try:
        server.login(account)
    except ServerError as error:
        if error.code in REFUSED:
            return True, f"the server refuses the application's user and password (error {error.code})"
        if error.code == TOO_MANY_CONNECTIONS:
            return None, "the server has no room for another connection of the application"
        return None, f"whether the server lets the application in cannot be told (error {error.code})"
    return False, "the server lets the application in"


@dataclass(frozen=True)
class Known:
    """One account of a user at one host, as the server knows it."""

    host: str
    ways: tuple[dict[str, Any], ...]
    created: str


def known(server: MariaDB, user: str) -> list[Known]:
    """Return all accounts of a user, with the ways in which they log in."""
    accounts = []
    asked = f"SELECT Host, Priv FROM mysql.global_priv WHERE User = {literal(user)}"  # noqa: S608 - a literal of SQL
    for host, private in server.rows(asked):
        record = json.loads(private)
        if not record.get("is_role"):
            ((created,),) = server.rows(f"SHOW CREATE USER {literal(user)}@{literal(host)}", secret=True)
            accounts.append(Known(host, ways_of(record), created))
    return accounts


def ways_of(record: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return the ways to log in that a record of the server allows, in their order."""
    own = {name: record.get(name, "") for name in ("plugin", "authentication_string")}
    return tuple(one or own for one in record.get("auth_or", [{}]))


def accepting_both(user: str, account: Known, password: str) -> str:
    """Return the statement after which an account accepts a new password beside what it accepts now."""
    # A way that asks for no password at all is not kept open.
    old = [_way(one) for one in account.ways if one.get("authentication_string") or one.get("plugin") not in _HASHED]
    return f"ALTER USER {_who(user, account.host)} IDENTIFIED VIA {' OR '.join([_new(account, password), *old])}"


def accepting_only(user: str, account: Known, password: str) -> str:
    """Return the statement after which an account accepts one password and nothing else."""
    return f"ALTER USER {_who(user, account.host)} IDENTIFIED VIA {_new(account, password)}"


def as_before(created: str) -> str:
    """Return the statement that makes an account what it was, from the one that the server says would create it."""
    if not created.startswith(_BEGIN):
        raise StepError("what the server said about an account is not understood; nothing was done")
    return f"ALTER USER {created.removeprefix(_BEGIN)}"


def _who(user: str, host: str) -> str:
    return f"{literal(user)}@{literal(host)}"


def _new(account: Known, password: str) -> str:
    plugin = str(account.ways[0].get("plugin", "")) if account.ways else ""
    return f"{plugin if plugin in _HASHED else _HASHED[0]} USING PASSWORD({literal(password)})"


def _way(way: dict[str, Any]) -> str:
    plugin = "".join(one for one in str(way.get("plugin", "")) if one.isalnum() or one == "_")
    hashed = str(way.get("authentication_string", ""))
    return f"{plugin} USING {literal(hashed)}" if hashed else plugin


def _bare(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value.split(" #", 1)[0].rstrip()
