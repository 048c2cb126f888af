"""The runbook deployment-rollback on a host: is the current release a bad one, and what brings an older one back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible.module_utils import release_checks, release_plan, release_signs
from ansible.module_utils.fallen_services import has_stack
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Done, Found, Seen
from ansible.module_utils.release_facts import Facts, facts
from ansible.module_utils.release_kinds import kinds
from ansible.module_utils.release_layout import Releases, database_of, releases_of
from ansible.module_utils.release_migrations import Migrations, applied, losses, to_take_back
from ansible.module_utils.releases import ReleaseError, target
from ansible.module_utils.run_state import last_done

_LIST = {"type": "list", "elements": "str"}

#: What the modules of this runbook are told; the argument specification of the role describes each.
SETTINGS: dict[str, Any] = {
    "type": "dict",
    "required": True,
    "options": {
        "kind": {
            "type": "str",
            "choices": ["auto", "emergency", "standard", "with_database", "full"],
            "default": "auto",
        },
        "release": {"type": "str", "default": ""},
        "reach": {"type": "int", "default": 3},
        "releases_dir": {"type": "str", "default": ""},
        "current_link": {"type": "str", "default": ""},
        "image": {"type": "str", "default": ""},
        "code_dir": {"type": "str", "default": "/srv/chom"},
        "release_file": {"type": "str", "default": ""},
        "release_variable": {"type": "str", "default": "CHOM_RELEASE"},
        "needs": {**_LIST, "default": ["artisan", "bootstrap/app.php", "public/index.php"]},
        "migrations_dir": {"type": "str", "default": "database/migrations"},
        "database": {"type": "str", "default": "chom"},
        "database_service": {"type": "str", "default": "mysql"},
        "dump_mebibytes": {"type": "int", "default": 512},
        "configuration_dir": {"type": "str", "default": ""},
        "configuration_files": {**_LIST, "default": []},
        "web": {**_LIST, "default": ["app"]},
        "web_server": {"type": "str", "default": "nginx"},
        "workers": {**_LIST, "default": ["queue", "scheduler"]},
        "dependencies": {**_LIST, "default": ["mysql", "redis"]},
        "access_log": {"type": "str", "default": ""},
        "watchers": {**_LIST, "default": ["/health/", "/metrics"]},
        "probe_paths": {**_LIST, "default": ["/"]},
        "release_field": {"type": "str", "default": "release"},
        "grace": {"type": "int", "default": 120},
        "recent_minutes": {"type": "int", "default": 120},
        "window": {"type": "int", "default": 300},
        "min_answers": {"type": "int", "default": 10},
        "error_percent": {"type": "float", "default": 50.0},
        "suggest_percent": {"type": "float", "default": 10.0},
        "slow_seconds": {"type": "float", "default": 5.0},
        "good_seconds": {"type": "float", "default": 1.0},
        "good_percent": {"type": "float", "default": 1.0},
        "health_wait": {"type": "int", "default": 30},
        "watch": {"type": "int", "default": 60},
        "state_dirs": {**_LIST, "default": ["/var/lib/remediate", "/run/remediate"]},
    },
}


class DeploymentRollback:
    """The current release, judged by what it answers; an older one, brought back."""

    name = "deployment_rollback"

    def __init__(self, settings: Mapping[str, Any], stack: dict[str, Any]) -> None:
        self._settings, self._stack = settings, stack
        self.kinds: dict[str, Kind] = kinds(settings, stack) if has_stack(stack) else {}

    def look(self) -> Found:
        """Look at the host; read only."""
        releases = self._releases()
        current = releases.current()
        switched = releases.switched_at()
        seen = facts(self._settings, self._stack, current, (switched, last_done(self._own_places(), switched)))
        found = release_signs.signs(seen, self._settings)
        notes = [*found.notes, *_asked_in_vain(self._settings, found, current, seen)]
        if seen.blame or not release_signs.causes(found, self._settings, current, ()):
            return Found(f"release {current} is current, and nothing speaks for going back", notes=notes)
        return self._go_back(releases, found, current, notes)

    def check(self, done: Done, *, write: bool) -> Seen:
        """Look whether the application is well on the release that it should be on."""
        del write  # nothing here writes
        return release_checks.seen(self._settings, self._stack, self._releases(), done)

    def _own_places(self) -> list[str]:
        return [os.path.join(directory, self.name) for directory in self._settings["state_dirs"]]

    def _releases(self) -> Releases:
        if not has_stack(self._stack) or not self._stack["health_url"]:
            raise ReleaseError(
                "what runs on this host is not set; nothing was done: set stack_layout, stack_services and "
                "stack_health_url in the inventory"
            )
        unknown = {*self._settings["web"], *self._settings["workers"], self._settings["web_server"]}
        if missing := sorted(unknown - set(self._stack["services"])):
            raise ReleaseError(
                f"the stack of this host has no service {', '.join(missing)}; nothing was done: correct "
                "deployment_rollback_web, deployment_rollback_workers or deployment_rollback_web_server"
            )
        return releases_of(self._settings, self._stack)

    def _go_back(self, releases: Releases, found: release_signs.Signs, current: str, notes: list[str]) -> Found:
        try:
            older = target(releases.known(), current, self._settings["release"], self._settings["reach"]).name
            between = self._between(releases, current, older)
        except ReleaseError as error:
            causes = release_signs.causes(found, self._settings, current, ())
            return Found(
                f"release {current} is bad, and there is no way back", causes, notes=[*notes, str(error)], enough=False
            )
        moving = between if release_signs.takes_back(self._settings["kind"]) else Migrations()
        if between.names and not moving.names:
            notes.append(f"{', '.join(between.names)} stays in the database: this kind of rollback leaves it alone")
        causes = release_signs.causes(found, self._settings, current, moving.names)
        if list(causes) == [release_signs.DOWN]:
            notes.append(
                "an emergency: nobody is asked before; tell the team, and mend the release before it comes again"
            )
        settings = release_plan.kept_configuration(self._settings, older) if release_signs.FULL in causes else {}
        way = release_plan.Way(current, older, tuple(causes), moving)
        return Found(
            f"release {current} is bad; release {older} is the one to go back to",
            causes,
            release_plan.steps(way, self._settings, settings),
            notes=notes,
        )

    def _between(self, releases: Releases, newer: str, older: str) -> Migrations:
        """Return the migrations that the newer release has brought, with what taking them back would drop."""
        own, known = releases.migrations(newer), releases.migrations(older)
        if not set(own) - set(known):
            return Migrations()
        ask = database_of(self._settings, self._stack).ask
        names = to_take_back(own, known, applied(ask))
        if not names:
            return Migrations()
        # Forced, or artisan asks back in production even when it only pretends.
        options = [f"--step={len(names)}", "--force", "--no-interaction"]
        pretended = releases.pretend(newer, older, ["migrate:rollback", *options])
        return replace(Migrations(names), losses=losses(pretended, ask))


def _asked_in_vain(settings: Mapping[str, Any], found: release_signs.Signs, current: str, seen: Facts) -> list[str]:
    """Return why nothing follows from what a person has asked for."""
    kind, wanted = settings["kind"], settings["release"]
    if kind == "auto":
        return []
    if seen.blame:
        return [f"a rollback does not help: {'; '.join(seen.blame)}"]
    if wanted == current:
        return [f"release {current} is current already"]
    if kind == "emergency" and not found.down:
        return ["an emergency rollback is for an application that is down; it is not: ask for standard"]
    if not wanted and not found.bad:
        return [
            f"nothing speaks for a bad release: name the release to go back to (deployment_rollback_release) for {kind}"
        ]
    return []
