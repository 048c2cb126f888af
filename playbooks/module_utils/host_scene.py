"""One look at a host that is short of something: what the decisions are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ansible.module_utils.database_queries import Query, long_queries
from ansible.module_utils.fallen_services import has_stack, stack_of
from ansible.module_utils.host_pressure import Pressure, survey
from ansible.module_utils.host_step import StepError
from ansible.module_utils.nginx_connections import Connections, connections
from ansible.module_utils.process_owners import Owners, own_family
from ansible.module_utils.process_table import Process, Use
from ansible.module_utils.redis_memory import RedisUse, redis_use
from ansible.module_utils.remediate_stack import Stack, StackError

#: The services that causes are about, by the names that inventories give them.
PHP, WORKER, DATABASE, REDIS, NGINX = "app", "queue", "mysql", "redis", "nginx"
_T = TypeVar("_T")


@dataclass
class Scene:
    """What was seen. What could not be looked at is None and said in `unseen`, by service."""

    pressure: Pressure
    uses: list[Use]
    owners: Owners
    queries: list[Query] | None = None
    redis: RedisUse | None = None
    nginx: Connections | None = None
    #: What the workers were started with; only where it matters.
    unseen: dict[str, str] = field(default_factory=dict)

    def of(self, service: str) -> list[Use]:
        """Return what the processes of a service used."""
        return [use for use in self.uses if self.owners.service(use.process) == service]


def scene(settings: dict[str, Any], stack: dict[str, Any]) -> Scene:
    """Look at the host."""
    if not has_stack(stack):
        raise StepError(
            "the inventory does not say what runs on this host, so nothing can be told apart and nothing was done: "
            "set stack_layout and stack_services"
        )
    known = stack_of(stack)
    groups = known.groups()
    pressure, uses, table = survey(settings["window"], settings["scope"])
    owners = Owners(groups, own_family(table), tuple(settings["spared_programs"]))
    found = Scene(pressure, owners.ours(uses), owners)
    _ask_services(found, known, settings, table)
    return found


def _ask_services(found: Scene, known: Stack, settings: dict[str, Any], table: dict[int, Process]) -> None:
    asks: dict[str, Callable[[], Any]] = {
        DATABASE: lambda: long_queries(known, settings["query_seconds"], settings["spared_database_users"]),
        REDIS: lambda: redis_use(known, settings["redis_memory"], settings["redis_percent"]),
        NGINX: lambda: connections(known, [one for one in table.values() if found.owners.service(one) == NGINX]),
    }
    for service in (PHP, WORKER, *asks):
        if service not in known.services:
            found.unseen[service] = f"this host has no service {service}: stack_services does not name it"
    answers = {service: _asked(found, service, ask) for service, ask in asks.items() if service in known.services}
    found.queries, found.redis, found.nginx = (answers.get(service) for service in asks)


def _asked(found: Scene, service: str, ask: Callable[[], _T]) -> _T | None:
    try:
        return ask()
    except StackError as error:
        found.unseen[service] = f"{service} could not be looked at: {error}"
        return None
