"""The releases of a host by one set of questions and orders, however they are laid out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ansible.module_utils.release_database import ReleaseDatabase
from ansible.module_utils.release_images import TaggedReleases
from ansible.module_utils.release_links import LinkedReleases
from ansible.module_utils.releases import Release, ReleaseError


class Releases(Protocol):
    """The releases of a host. Every method raises ReleaseError or StackError when it cannot tell or do it."""

    def known(self) -> list[Release]:
        """Return every release of this host."""

    def current(self) -> str:
        """Return the name of the current release."""

    def switched_at(self) -> float:
        """Return when the current release became so."""

    def places(self, services: list[str]) -> dict[str, str]:
        """Return the release that each service runs from."""

    def migrations(self, release: str) -> list[str]:
        """Return the names of a release's migrations."""

    def keep_migrations(self, release: str, keep: str) -> str:
        """Return where the migrations of a release can be run from; copy them there if need be."""

    def pretend(self, release: str, older: str, argv: list[str]) -> tuple[int, str]:
        """Ask what artisan would do with the migrations of a release; change nothing."""

    def artisan(self, release: str, argv: list[str], migrations: str = "") -> tuple[int, str]:
        """Run artisan of a release; return how it ended and what it said."""

    def prove(self, release: str) -> None:
        """Start the code of a release once."""

    def switch(self, release: str) -> bool:
        """Make a release the current one, for whoever looks from then on."""

    def settle(self, release: str, *, patient: bool) -> bool:
        """Bring the processes onto the current release."""


def releases_of(settings: Mapping[str, Any], stack: dict[str, Any]) -> Releases:
    """Return the releases of this host; raises ReleaseError when the inventory does not say where they are."""
    if stack["layout"] == "compose":
        return TaggedReleases(settings, stack)
    if stack["layout"] == "systemd":
        return LinkedReleases(settings, stack)
    raise ReleaseError(
        "stack_layout is not set for this host; nothing was done: set it to compose or systemd in the inventory"
    )


def database_of(settings: Mapping[str, Any], stack: dict[str, Any]) -> ReleaseDatabase:
    """Return the database of the application."""
    return ReleaseDatabase(settings["database"], settings["database_service"], stack)
