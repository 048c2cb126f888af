"""Credentials that an intruder may have read, replaced: the new access is proven before the old one goes."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
from abc import abstractmethod
from typing import Any

from ansible.module_utils import environment_file
from ansible.module_utils.breach_accounts import key_of, read_text
from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.own_connection import own_connection, own_fingerprint
from ansible.module_utils.run_state import make_private, write_whole
from ansible.module_utils.safe_files import Directory, split

_USER = re.compile(r"[A-Za-z0-9_.-]{1,80}")
_HASHES = re.compile(r"[A-Za-z0-9*+/=$._-]*")
_PLUGINS = ("mysql_native_password", "ed25519")
_ACCOUNTS = """
SELECT Host, JSON_VALUE(Priv, '$.plugin'), JSON_VALUE(Priv, '$.authentication_string')
FROM mysql.global_priv WHERE User = USER;
"""
#: Exit code 3 is the database's own refusal; everything else is another trouble.
_TRY_DATABASE = """
$given = json_decode(stream_get_contents(STDIN), true);
mysqli_report(MYSQLI_REPORT_OFF);
try {
    new PDO("mysql:host=$given[host];port=$given[port];dbname=$given[name]", $given['user'], $given['password'],
        [PDO::ATTR_TIMEOUT => 5]);
} catch (PDOException $refused) {
    exit($refused->getCode() === 1045 ? 3 : 4);
}
"""
_TRY_REDIS = """
$given = json_decode(stream_get_contents(STDIN), true);
try {
    $redis = new Redis();
    $redis->connect($given['host'], (int) $given['port'], 5.0);
    $redis->auth($given['password']);
    $redis->ping();
} catch (RedisException $refused) {
    exit(preg_match('/WRONGPASS|NOAUTH|invalid/', $refused->getMessage()) ? 3 : 4);
}
"""


class _Secrets(Kind):
    """Makes a new credential in the snapshot, where only root reads it, so that a fix that was killed goes on with it.

    The old one is never put back by a rollback: somebody else knows it.
    """

    def __init__(self, stack: dict[str, Any], settings: dict[str, Any]) -> None:
        self._stack, self._settings = stack, settings

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Keep the old credential, and make the new one."""
        make_private(keep)
        kept = os.path.join(keep, "secret.json")
        write_whole(kept, json.dumps(self._make()).encode("ascii"))
        return {"kept": kept}

    @abstractmethod
    def _make(self) -> dict[str, Any]: ...

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Put nothing back."""
        return step.target

    def _env(self) -> dict[str, str]:
        return environment_file.settings_of(environment_file.read(self._settings["env_file"]))

    def _set_env(self, values: dict[str, str]) -> None:
        path = self._settings["env_file"]
        environment_file.write(path, environment_file.replaced(environment_file.read(path), values))

    def _try(self, script: str, given: dict[str, Any]) -> str:
        """Return how an access from where the application runs ends: accepted, refused, or the trouble."""
        service = self._settings["app_service"]
        code, _, errors = stack_of(self._stack).exec(service, ["php", "-r", script], given=json.dumps(given))
        lines = errors.strip().splitlines()
        return {0: "accepted", 3: "refused"}.get(code, f"failed ({lines[-1][:200] if lines else f'code {code}'})")


def loaded(saved: dict[str, Any]) -> dict[str, Any]:
    """Return what the snapshot made."""
    with open(saved["kept"], encoding="ascii") as source:
        kept: dict[str, Any] = json.load(source)
    return kept


class DatabasePassword(_Secrets):
    """Gives the application's database user a new password: for a moment both are accepted, then only the new one."""

    def _make(self) -> dict[str, Any]:
        env = self._env()
        user = env.get("DB_USERNAME", "")
        if not _USER.fullmatch(user):
            raise StepError(f"DB_USERNAME in {self._settings['env_file']} is no name that can be dealt with")
        rows = self._sql(_ACCOUNTS.replace("USER", _quoted(user)))
        accounts = [row.split("\t") for row in rows.splitlines() if row]
        if not accounts:
            raise StepError(f"the database has no user {user}; its password was not replaced")
        if unfit := [one[0] for one in accounts if not _can_rotate(one)]:
            raise StepError(f"{user} at {', '.join(unfit)} does not log in by a password: replace that access by hand")
        return {
            "user": user,
            "accounts": accounts,
            "old": env.get("DB_PASSWORD", ""),
            "new": secrets.token_hex(24),
            "place": [env.get("DB_HOST", "127.0.0.1"), env.get("DB_PORT", "3306"), env.get("DB_DATABASE", "")],
        }

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Replace it, unless it is done."""
        kept = loaded(saved)
        in_use = self._env().get("DB_PASSWORD") == kept["new"]
        if in_use and (self._login(kept, "new"), self._login(kept, "old")) == ("accepted", "refused"):
            return False
        self._sql(_both_accepted(kept))
        if (said := self._login(kept, "new")) != "accepted":
            self._sql(_only_old(kept))
            raise StepError(f"the new database password is {said}; the old one is in force as before")
        self._set_env({"DB_PASSWORD": kept["new"]})
        self._sql(_only_new(kept))
        answers = self._login(kept, "new"), self._login(kept, "old")
        if answers != ("accepted", "refused"):
            # Better a known password than an application that is shut out.
            self._sql(_both_accepted(kept))
            raise StepError(f"afterwards the new database password is {answers[0]}, the old one {answers[1]}")
        return True

    def _login(self, kept: dict[str, Any], which: str) -> str:
        host, port, name = kept["place"]
        given = {"host": host, "port": port, "name": name, "user": kept["user"], "password": kept[which]}
        return self._try(_TRY_DATABASE, given)

    def _sql(self, statements: str) -> str:
        """Run statements that are on no command line."""
        code, output, errors = stack_of(self._stack).exec(
            self._settings["database_service"], ["mariadb", "--batch", "--skip-column-names"], given=statements
        )
        if code != 0:
            lines = errors.strip().splitlines() or ["it said nothing"]
            raise StepError(f"the database did not take a statement: {lines[-1][:80]}")
        return output


def _can_rotate(account: list[str]) -> bool:
    return len(account) == 3 and account[1] in _PLUGINS and bool(_HASHES.fullmatch(account[2]))


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _each(kept: dict[str, Any], how: str) -> str:
    """Return a statement for every account; PLUGIN and HASH stand for what it had before."""
    return "".join(
        f"ALTER USER {_quoted(kept['user'])}@{_quoted(host)} IDENTIFIED VIA "
        + how.replace("PLUGIN", plugin).replace("HASH", _quoted(digest))
        + ";\n"
        for host, plugin, digest in kept["accounts"]
    )


def _both_accepted(kept: dict[str, Any]) -> str:
    return _each(kept, f"mysql_native_password USING PASSWORD({_quoted(kept['new'])}) OR PLUGIN USING HASH")


def _only_old(kept: dict[str, Any]) -> str:
    return _each(kept, "PLUGIN USING HASH")


def _only_new(kept: dict[str, Any]) -> str:
    return _each(kept, f"mysql_native_password USING PASSWORD({_quoted(kept['new'])})")


class ApplicationKey(_Secrets):
    """Gives the application a new key: every session and signed link of the old one is worth nothing any more."""

    def _make(self) -> dict[str, Any]:
        new = "base64:" + base64.b64encode(secrets.token_bytes(32)).decode("ascii")
        return {"old": self._env().get("APP_KEY", ""), "new": new}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Replace it, unless it is done."""
        kept = loaded(saved)
        if self._env().get("APP_KEY") == kept["new"]:
            return False
        self._set_env({"APP_KEY": kept["new"]})
        return True


class RedisPassword(_Secrets):
    """Gives Redis a new password beside the old one, then takes the old one away."""

    def _make(self) -> dict[str, Any]:
        env = self._env()
        place = [env.get("REDIS_HOST", "127.0.0.1"), env.get("REDIS_PORT", "6379")]
        user = env.get("REDIS_USERNAME") or "default"
        if not _USER.fullmatch(user):
            raise StepError(f"REDIS_USERNAME in {self._settings['env_file']} is no name that can be dealt with")
        return {"user": user, "old": env.get("REDIS_PASSWORD", ""), "new": secrets.token_hex(24), "place": place}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Replace it, unless it is done."""
        kept = loaded(saved)
        in_use = self._env().get("REDIS_PASSWORD") == kept["new"]
        if in_use and (self._login(kept, "new"), self._login(kept, "old")) == ("accepted", "refused"):
            return False
        now = "new" if in_use else "old"
        self._ask(kept, now, [f"ACL SETUSER {kept['user']} >{kept['new']}"])
        if (said := self._login(kept, "new")) != "accepted" or not self._lasts(kept, now):
            self._ask(kept, now, [f"ACL SETUSER {kept['user']} <{kept['new']}"])
            raise StepError(
                f"the new Redis password is {said}, or Redis cannot write it down: give it a settings file of its own; "
                "the old one is in force as before"
            )
        self._set_env({"REDIS_PASSWORD": kept["new"]})
        only = f"CONFIG SET requirepass {kept['new']}"
        self._ask(kept, "new", [only if kept["user"] == "default" else f"ACL SETUSER {kept['user']} <{kept['old']}"])
        if not self._lasts(kept, "new") or (said := self._login(kept, "old")) != "refused":
            raise StepError(f"the old Redis password is still {said}, or will be after its next start")
        return True

    def _lasts(self, kept: dict[str, Any], which: str) -> bool:
        """Have Redis write down what it was told, in whichever of its two files it has."""
        return any(self._answers(kept, which, [command])[-1] == "OK" for command in ("CONFIG REWRITE", "ACL SAVE"))

    def _login(self, kept: dict[str, Any], which: str) -> str:
        host, port = kept["place"]
        who = kept[which] if kept["user"] == "default" else [kept["user"], kept[which]]
        return self._try(_TRY_REDIS, {"host": host, "port": port, "password": who})

    def _ask(self, kept: dict[str, Any], which: str, commands: list[str]) -> None:
        if any(answer != "OK" for answer in self._answers(kept, which, commands)):
            raise StepError("Redis did not do what it was told; look at its log, and at REDIS_PASSWORD")

    def _answers(self, kept: dict[str, Any], which: str, commands: list[str]) -> list[str]:
        """Return what Redis answers to commands that are on no command line; the first answer is to the password."""
        lines = "\n".join([f"AUTH {kept['user']} {kept[which]}", *commands]) + "\n"
        _, output, _ = stack_of(self._stack).exec(self._settings["redis_service"], ["redis-cli"], given=lines)
        answers = [line.strip() for line in output.splitlines() if line.strip()]
        return answers[: len(commands) + 1] or ["nothing"]


class RevokeTokens(Kind):
    """Runs the application's own command that makes every token of its interfaces worthless."""

    def __init__(self, stack: dict[str, Any], settings: dict[str, Any]) -> None:
        self._stack, self._settings = stack, settings

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Run it."""
        argv = self._settings["token_command"]
        code, output, errors = stack_of(self._stack).exec(self._settings["app_service"], argv)
        if code != 0:
            lines = (errors.strip() or output.strip()).splitlines() or ["it printed nothing"]
            raise StepError(f"data_breach_token_command failed: {lines[-1][:200]}")
        return True


class NewKeys(Kind):
    """Lays the new keys of an account out; the old ones go only when this very connection came with a new one."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Add the new keys, or leave only them."""
        wanted = [line for line in step.data["keys"] if key_of(line)]
        before = read_text(step.target) or ""
        have = {key_of(line) for line in before.splitlines()} - {None}
        if have == {key_of(line) for line in wanted}:
            return False
        proven = own_fingerprint(own_connection()) in {key.fingerprint for key in map(key_of, wanted) if key}
        kept = "" if proven else before
        missing = [line for line in wanted if proven or key_of(line) not in have]
        if not missing and not proven:
            return False
        separator = "\n" if kept and not kept.endswith("\n") else ""
        _write_keys(step.target, kept + separator + "".join(f"{line}\n" for line in missing))
        return True


def _write_keys(path: str, text: str) -> None:
    parent, name = split(path)
    with Directory(parent) as directory:
        status = directory.status(name)
        written = f".{name}.remediate"
        descriptor = directory.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            target.write(text.encode("utf-8", "surrogateescape"))
            os.fchown(target.fileno(), status.st_uid, status.st_gid)
            os.fchmod(target.fileno(), status.st_mode & 0o7777)
            target.flush()
            os.fsync(target.fileno())
        os.rename(written, name, src_dir_fd=directory.descriptor, dst_dir_fd=directory.descriptor)
        directory.sync()
