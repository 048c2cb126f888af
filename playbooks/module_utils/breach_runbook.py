"""The runbook data-breach on a host: what a look means, what is done about it, and whether it helped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible.module_utils import environment_file
from ansible.module_utils.breach_accounts import accounts_of, key_files
from ansible.module_utils.breach_connections import bridges
from ansible.module_utils.breach_kinds import DisableTimer, LockUser, Quarantine, StopProcess
from ansible.module_utils.breach_scan_host import scan_host
from ansible.module_utils.breach_suspect import CAUSES, Scan, Suspect
from ansible.module_utils.credentials import ApplicationKey, DatabasePassword, NewKeys, RedisPassword, RevokeTokens
from ansible.module_utils.evidence_store import receipt_trouble
from ansible.module_utils.fallen_services import has_stack, stack_of
from ansible.module_utils.host_checks import CURED, NOT_CURED, Check, check, healthy, in_time, services
from ansible.module_utils.host_kinds import Rewrite
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import HELD, NO_UNDO, Done, Found, Seen, Step
from ansible.module_utils.maintenance_mode import Maintenance, behind_the_notice, is_down
from ansible.module_utils.network_rules import Allowed, is_in_force, need_tools, open_again, shut
from ansible.module_utils.own_connection import own_connection

EXPOSED = "exposed_credentials"
#: What gives an intruder a foothold on the host, and so a look at what lies there. A connection alone does not.
_FOOTHOLDS = set(CAUSES) - {"outbound_connection"}
_REPORT_HOURS = 72
_NOTIFY = (
    "If personal data may be concerned, the supervisory authority is told within {hours} hours of becoming aware (GDPR "
    "article 33): counted from this look, until {until}. That text is a decision of level 4."
)
_RESTORE = (
    "A host that was broken into is not clean because nothing more is found: restore it from before the breach (level "
    "4, a runbook of its own) before it serves visitors again."
)
_HARDEN = (
    "Then harden: close the way in that the evidence shows, update packages, shorten the lists of who may log in and "
    "where the host may connect to."
)
_SEEN = "everything that stands there counts as known to the intruder"


class Contain(Kind):
    """Shuts the host off but for those who work on it; the rules go by themselves unless a new connection confirms."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Load the rules, with whoever runs this let in in any case."""
        if is_in_force():
            return False
        own = own_connection().address
        responders = (*self._settings["responders"], *([own] if own else []))
        allowed = Allowed(responders, tuple(self._settings["egress"]), tuple(bridges()))
        shut(allowed, self._settings["containment_seconds"])
        return True

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Take the rules back."""
        open_again()
        return step.target


class RestartAll(Kind):
    """Restarts services together, so that none goes on with what it read before."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self._stack = stack

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Restart them."""
        stack_of(self._stack).restart(step.data["services"])
        return True


class DataBreach:
    """Evidence is taken before; here the host is shut off, cleaned, and its credentials replaced."""

    name = "data_breach"

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any], run_id: str) -> None:
        self._settings, self._stack, self._run_id = settings, stack, run_id
        self.kinds: Mapping[str, Kind] = {
            "contain": Contain(settings),
            "maintenance": Maintenance(stack, settings["app_service"], settings["app_storage"]),
            "quarantine": Quarantine(f"{settings['app_storage']}/framework/maintenance.php"),
            "disable": DisableTimer(),
            "remove keys from": Rewrite(),
            "lock": LockUser(),
            "stop": StopProcess(),
            "replace database": DatabasePassword(stack, settings),
            "replace app_key": ApplicationKey(stack, settings),
            "replace redis": RedisPassword(stack, settings),
            "replace ssh": NewKeys(),
            "revoke": RevokeTokens(stack, settings),
            "restart": RestartAll(stack),
        }

    def look(self) -> Found:
        """Look at the host; read only."""
        scan = scan_host(self._settings)
        causes = {cause: [one.evidence for one in scan.of(cause)] for cause in CAUSES if scan.of(cause)}
        if not causes:
            return Found("no trace of an intruder in what was looked at", notes=scan.notes)
        traces_in_order = [one for cause in causes for one in scan.of(cause) if cause != "outbound_connection"]
        cause = next(iter(causes))
        cleaned = [*self._containment(cause), *map(cleaning, traces_in_order)]
        rotation = self._rotation(scan) if causes.keys() & _FOOTHOLDS else []
        if rotation:
            where = self._settings["env_file"] or "the credentials on this host"
            causes[EXPOSED] = [f"what was found gives a view of {where}: {_SEEN}"]
        # Last: writing the notice would overwrite a shell that lies where it is kept, and behind it no worker stays up.
        notice = self._maintenance(cause, scan)
        notes = [*scan.notes, *advice(datetime.now(tz=UTC))]
        return Found(f"traces of an intruder: {', '.join(causes)}", causes, cleaned + rotation + notice, notes=notes)

    def _containment(self, cause: str) -> list[Step]:
        """Return what shuts the host off; it belongs to the connection that is seen, or to the first cause."""
        if not self._settings["containment"] or is_in_force():
            return []
        need_tools()
        lists = (("in and out", "responders"), ("out", "egress"))
        detail = tuple(f"{way}: {', '.join(self._settings[name]) or 'nobody'}" for way, name in lists)
        said = "only those who work on the host, and what it needs; whoever runs this is let in"
        return [Step(cause, "contain", "network", HELD, said, (*detail, "in and out: whoever runs this"))]

    def _maintenance(self, cause: str, scan: Scan) -> list[Step]:
        storage = self._settings["app_storage"]
        if not storage:
            scan.notes.append("The application stays as it is: set data_breach_app_storage for maintenance mode.")
        if not storage or is_down(storage):
            return []
        said = f"visitors see a notice; the bypass token is in {storage}/framework/down"
        return [Step(cause, "maintenance", "application", HELD, said)]

    def _rotation(self, scan: Scan) -> list[Step]:
        """Return what replaces credentials. The old ones never come back, so nothing is held."""
        wanted = self._settings["rotate"]
        env_file = self._settings["env_file"]
        steps = []
        if env_file:
            env = environment_file.settings_of(environment_file.read(env_file))
            names = {"database": "DB_PASSWORD", "app_key": "APP_KEY", "redis": "REDIS_PASSWORD"}
            steps += [
                Step(EXPOSED, f"replace {one}", f"{name} in {env_file}", note="the old value does not come back")
                for one, name in names.items()
                if one in wanted and env.get(name)
            ]
        elif {"database", "app_key", "redis"} & {*wanted}:
            scan.notes.append("Credentials of the application stay as they are: set data_breach_env_file.")
        if "ssh" in wanted:
            steps += self._new_keys(scan)
        if "tokens" in wanted and self._settings["token_command"]:
            steps.append(Step(EXPOSED, "revoke", "tokens", detail=(" ".join(self._settings["token_command"]),)))
        elif "tokens" in wanted:
            scan.notes.append("Tokens of interfaces stay valid: set data_breach_token_command if there are any.")
        restarted = self._settings["restart_services"]
        if restarted and any(step.verb.startswith("replace ") and step.verb != "replace ssh" for step in steps):
            steps.append(Step(EXPOSED, "restart", ", ".join(restarted), data={"services": restarted}))
        return steps

    def _new_keys(self, scan: Scan) -> list[Step]:
        wanted = self._settings["new_keys"]
        if not wanted:
            scan.notes.append("SSH keys of operators stay valid: name new ones in data_breach_new_keys.")
            return []
        with open("/etc/passwd", encoding="utf-8", errors="surrogateescape") as source:
            accounts = [one for one in accounts_of(source.read()) if one.name in wanted]
        places: dict[str, str] = {}
        for account, path in key_files(accounts):
            places.setdefault(account.name, path)
        note = "old keys go when a connection with a new one does this"
        return [
            Step(EXPOSED, "replace ssh", path, note=note, data={"keys": wanted[name]}) for name, path in places.items()
        ]

    def check(self, done: Done, *, write: bool) -> Seen:
        """Look whether nothing is left, the evidence is safe, and the application works for whoever may see it."""
        del write
        scan = scan_host(self._settings)
        checks = [traces(scan)]
        verbs = {step.verb for step in done.steps}
        if self._run_id:
            trouble = receipt_trouble(self._settings["state_dirs"], self._run_id)
            said = trouble or "the evidence is as it was sealed, and its copy was verified"
            checks.append(check("evidence", NOT_CURED if trouble else CURED, said))
        if "contain" in verbs:
            there = is_in_force()
            checks.append(check("containment", CURED if there else NOT_CURED, "in force" if there else "not in force"))
        return Seen([*checks, *self._application(verbs)])

    def _services(self) -> Check:
        """Look whether every service runs; behind the notice a worker may end well again and again.

        Laravel counts the time of `--max-time` from the start of the host there: on one that has been up for longer,
        each worker ends after a look at the queue and is started again. It does nothing meanwhile anyway.
        """
        answer, storage = services(self._stack), self._settings["app_storage"]
        if answer["verdict"] != NOT_CURED or not (storage and is_down(storage)):
            return answer
        down = {name: state.state for name, state in stack_of(self._stack).status().items() if not state.running}
        if set(down.values()) - {"restarting"}:
            return answer
        said = f"; behind the notice {', '.join(down)} may end and begin again" if down else ""
        return check("services", CURED, f"all are running{said}")

    def _application(self, verbs: set[str]) -> list[Check]:
        asks: list[Callable[[], Check]] = [self._services] if has_stack(self._stack) else []
        url, storage = self._stack["health_url"], self._settings["app_storage"]
        if url and "maintenance" in verbs:
            asks.append(lambda: behind_the_notice(url, storage))
        elif url and not (storage and is_down(storage)):
            asks.append(lambda: healthy(url))
        until = time.monotonic() + self._settings["health_wait"]
        return [in_time(ask, until) for ask in asks]


def cleaning(suspect: Suspect) -> Step:
    """Return what is done about one suspect."""
    cause, target = suspect.cause, suspect.target
    if cause == "unknown_user":
        return Step(cause, "lock", target, HELD, data=suspect.data)
    if cause == "unknown_key":
        removed = tuple(f"- {one}" for one in suspect.data["fingerprints"])
        return Step(cause, "remove keys from", target, HELD, detail=removed, data={"content": suspect.data["content"]})
    if cause == "unexpected_process":
        said = "its memory map and its program are in the evidence"
        return Step(cause, "stop", target, NO_UNDO, said, data=suspect.data)
    if cause == "unknown_cron" and suspect.data["timer"]:
        return Step(cause, "disable", target, HELD)
    return Step(cause, "quarantine", target, HELD)


def traces(scan: Scan) -> Check:
    """Return whether anything is left."""
    left = [one.evidence for one in scan.suspects]
    more = f" and {len(left) - 5} more" if len(left) > 5 else ""
    if left:
        return check("traces", NOT_CURED, "; ".join(left[:5]) + more)
    return check("traces", CURED, "nothing that does not belong is left in what was looked at")


def advice(now: datetime) -> list[str]:
    """Return what a runbook cannot do, for the people who can."""
    until = (now + timedelta(hours=_REPORT_HOURS)).strftime("%Y-%m-%d %H:%M UTC")
    return [_NOTIFY.format(hours=_REPORT_HOURS, until=until), _RESTORE, _HARDEN]
