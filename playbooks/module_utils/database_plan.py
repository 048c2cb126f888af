"""Decides what is wrong with a database from what was seen, and what would be done about it."""

from __future__ import annotations

import re
from typing import Any

from ansible.module_utils.database_facts import Facts, is_full
from ansible.module_utils.database_sessions import by_user, idle, too_many
from ansible.module_utils.database_tables import Broken
from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.host_step import HELD, Found, Step, measure

_EVIDENCE = 5
_OPTION = re.compile(r"^\s*max[_-]connections\s*=.*$", re.MULTILINE)
_SYSTEM = "mysql"


def decide(facts: Facts, settings: dict[str, Any]) -> Found:
    """Return every cause with its evidence and its steps, in the order in which they are cured."""
    found = Found("the database is well", notes=list(facts.notes), measures=_measures(facts, settings))
    if is_full(facts, settings):
        _disk_full(found, facts, settings)
    if not facts.answers:
        _down(found, facts, settings)
    else:
        _tables(found, facts, settings)
        _connections(found, facts, settings)
        _credentials(found, facts, settings)
    if found.causes:
        found.summary = f"the database is not well: {', '.join(found.causes)}"
    if any(step.verb != "restart" for step in found.steps):
        _restart_workers(found, settings)
    return found


def with_option(text: str, value: int) -> str:
    """Return a file of the server's settings with this limit of connections, and all else as it is."""
    line = f"max_connections = {value}"
    if _OPTION.search(text):
        return _OPTION.sub(line, text)
    head = text if not text or text.endswith("\n") else f"{text}\n"
    return f"{head}[mariadbd]\n{line}\n"


def raised(maximum: int, limit: int) -> int:
    """Return the next limit of connections: twice as many, as far as the inventory allows."""
    return max(maximum, min(2 * maximum, limit))


def _measures(facts: Facts, settings: dict[str, Any]) -> list[dict[str, Any]]:
    measures = []
    if facts.disk_used is not None:
        limit = settings["disk_used_percent"]
        measures.append(measure("disk used", facts.disk_used, "%", f"< {limit}", ok=facts.disk_used < limit))
    if facts.sessions:
        used, limit = facts.sessions.percent, settings["connections_percent"]
        measures.append(measure("connections used", used, "%", f"< {limit}", ok=used < limit))
    return measures


def _disk_full(found: Found, facts: Facts, settings: dict[str, Any]) -> None:
    found.causes["disk_full"] = [
        f"{part} of the file system of {settings['data_dir']} used: {used:.0f} %"
        for part, used in (("space", facts.disk_used), ("inodes", facts.inodes_used))
        if used is not None and used >= settings["disk_used_percent"]
    ]
    found.causes["disk_full"] += [one for one in facts.errors if "space left" in one or "full" in one][:_EVIDENCE]
    found.notes.append("everything else is looked at again when there is room")


def _down(found: Found, facts: Facts, settings: dict[str, Any]) -> None:
    evidence = [f"the service {settings['service']} is {facts.state} and does not answer"]
    trial = facts.trial
    if trial is None or trial.level == 0:
        if not facts.running or trial:
            told = ["a server starts on a copy of its data"] if trial else []
            found.causes["stopped"] = [*evidence, *told]
            found.steps.append(Step("stopped", "start", settings["service"]))
            found.notes += [f"its log says: {one}" for one in facts.errors[:3]]
        return
    evidence += facts.damage[:_EVIDENCE]
    if trial.level is not None and trial.readable and facts.named:
        evidence.append(f"on a copy of its data a server starts with innodb_force_recovery = {trial.level} only")
        _rebuild_stopped(found, facts, settings, evidence, trial.level)
    else:
        limit = settings["recovery_limit"]
        evidence.append(
            f"on a copy of its data no server starts with innodb_force_recovery up to {limit}"
            if trial.level is None
            else f"on a copy of its data a server starts with innodb_force_recovery = {trial.level}, and rows are lost"
        )
        _restore(found, facts, settings, evidence)


def _rebuild_stopped(found: Found, facts: Facts, settings: dict[str, Any], evidence: list[str], level: int) -> None:
    found.causes["corruption"] = [*evidence, "every row of the damaged tables can be read there"]
    if not settings["settings_file"]:
        _leave(found, "the server cannot be started with recovery: set database_failure_settings_file")
        return
    found.steps.append(_keep("corruption", settings, start=False))
    found.steps += [_rebuild("corruption", *table, recovery=level) for table in facts.named]


def _restore(found: Found, facts: Facts, settings: dict[str, Any], evidence: list[str]) -> None:
    found.causes["unrepairable"] = evidence
    if facts.dump is None:
        _leave(found, _no_backup(settings))
        return
    found.steps.append(_keep("unrepairable", settings, start=False))
    data = {"path": facts.dump.path, "size": facts.dump.size, "changed": facts.dump.changed}
    said = (f"from {shown(facts.dump.path)} of {facts.dump.made}", "everything written since then is lost")
    found.steps.append(Step("unrepairable", "restore", settings["data_dir"], detail=said, note=said[1], data=data))


def _tables(found: Found, facts: Facts, settings: dict[str, Any]) -> None:
    lost = [one for one in facts.broken if not one.readable]
    whole = [one for one in facts.broken if one.readable]
    if lost:
        found.causes["unrepairable"] = [f"{evidence} and not all its rows can be read" for evidence in _said(lost)]
    if whole:
        found.causes["corruption"] = [*_said(whole), "all rows of what is named here can be read"]
    if not facts.broken:
        return
    first = next(iter(found.causes))
    found.causes[first] += facts.damage[:_EVIDENCE]
    if not settings["data_dir"]:
        _leave(found, "the damaged tables are left alone: set database_failure_data_dir, of which a copy is kept first")
        return
    steps = [step for one in [*lost, *whole] if (step := _cure(found, one, facts, settings))]
    if steps:
        found.steps += [_keep(steps[0].cause, settings, start=True), *steps]


def _cure(found: Found, broken: Broken, facts: Facts, settings: dict[str, Any]) -> Step | None:
    table = broken.table
    if table.engine in {"Aria", "MyISAM"} and broken.readable:
        return Step("corruption", "repair", table.title, data={"schema": table.schema, "table": table.name})
    if table.schema == _SYSTEM:
        _leave(found, f"{table.title} belongs to the server itself: a human must rebuild it")
        return None
    if broken.readable:
        return _rebuild("corruption", table.schema, table.name)
    if facts.dump is None:
        _leave(found, _no_backup(settings))
        return None
    return _rebuild("unrepairable", table.schema, table.name, dump=facts)


def _connections(found: Found, facts: Facts, settings: dict[str, Any]) -> None:
    if facts.crowded:
        found.causes["connections_exhausted"] = ["the server has no room for even its administrator's connection"]
        _leave(found, "nobody can look who is connected: end a program that is, or restart the server by hand")
        return
    sessions = facts.sessions
    if sessions is None or sessions.percent < settings["connections_percent"]:
        return
    excess = too_many(sessions, settings["connections_percent"])
    able = idle(sessions, settings["idle_seconds"], settings["keep_users"])
    evidence = [
        f"{sessions.connected} of {sessions.maximum} connections are used: {by_user(list(sessions.sessions))}",
        f"{len(able)} of them idle for more than {settings['idle_seconds']} s; {excess} must go",
    ]
    if len(able) >= excess:
        found.causes["connections_exhausted"] = evidence
        target = f"connections idle for more than {settings['idle_seconds']} s"
        note = f"{excess}, those idle longest first: {by_user(able[:excess])}"
        found.steps.append(Step("connections_exhausted", "disconnect", target, note=note))
        return
    found.causes["connections_limit"] = evidence
    _raise_limit(found, facts, settings, sessions.maximum)


def _raise_limit(found: Found, facts: Facts, settings: dict[str, Any], maximum: int) -> None:
    value = raised(maximum, settings["max_connections_limit"])
    if value <= maximum or not settings["settings_file"]:
        what = "settings_file" if value > maximum else f"max_connections_limit ({settings['max_connections_limit']})"
        _leave(found, f"the limit of {maximum} connections is not raised: see database_failure_{what}")
        return
    data = {"content": with_option(facts.options, value), "mode": 0o644, "value": value}
    detail = (f"max_connections: {maximum} -> {value}", f"{settings['service']} is restarted")
    found.steps.append(Step("connections_limit", "configure", settings["settings_file"], HELD, detail[0], detail, data))


def _credentials(found: Found, facts: Facts, settings: dict[str, Any]) -> None:
    if not facts.refused:
        if facts.refused is None:
            found.notes.append(facts.access)
        return
    user = shown(facts.user)[:80]
    found.causes["credentials"] = [facts.access, f"the application's settings {settings['env_file']} name user {user}"]
    if not facts.accounts:
        _leave(found, f"the server has no account {user}: a human must make it with the rights that it needs")
        return
    detail = (f"the server's password of {user}, at every host", f"DB_PASSWORD in {settings['env_file']}")
    found.steps.append(Step("credentials", "rotate_password", settings["env_file"], HELD, detail=detail))
    found.steps += [Step("credentials", "restart", service) for service in settings["application"]]
    found.steps += [Step("credentials", "restart", service) for service in settings["workers"]]
    found.steps.append(Step("credentials", "drop_old_password", f"user {user}"))


def _restart_workers(found: Found, settings: dict[str, Any]) -> None:
    """Let workers and scheduler begin anew once the database is back, where nothing else does that."""
    there = {step.target for step in found.steps if step.verb == "restart"}
    last = found.steps[-1].cause
    found.steps += [Step(last, "restart", one) for one in settings["workers"] if one not in there]


def _keep(cause: str, settings: dict[str, Any], *, start: bool) -> Step:
    said = ("a copy of the damaged data is kept", f"{settings['service']} is stopped while they are copied")
    return Step(cause, "keep_data", settings["data_dir"], HELD, said[0], said, {"start": start})


def _rebuild(cause: str, schema: str, table: str, *, recovery: int = 0, dump: Facts | None = None) -> Step:
    title = f"{shown(schema)}.{shown(table)}"
    data: dict[str, Any] = {"schema": schema, "table": table, "recovery": recovery, "path": ""}
    if dump and dump.dump:
        data |= {"path": dump.dump.path, "size": dump.dump.size, "changed": dump.dump.changed}
        said = (f"from {shown(dump.dump.path)} of {dump.dump.made}", "what was written to it since then is lost")
        return Step(cause, "restore_table", title, detail=said, note=said[1], data=data)
    said = ("all rows are written to a dump, the table is dropped, and made again from the dump",)
    return Step(cause, "rebuild_table", title, detail=said, data=data)


def _said(many: list[Broken]) -> list[str]:
    return [f"CHECK TABLE {one.table.title}: {one.said}" for one in many[:_EVIDENCE]]


def _no_backup(settings: dict[str, Any]) -> str:
    places = ", ".join(settings["backup_dirs"]) or "database_failure_backup_dirs, which is empty"
    return f"there is no dump in {places} that could be restored: a human must find one"


def _leave(found: Found, why: str) -> None:
    found.notes.append(why)
    found.enough = False
