"""Releases that are directories, the current one named by a symbolic link (the layout systemd)."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.releases import NAME, Release, ReleaseError, made_at
from ansible.module_utils.run_state import sync_directory
from ansible.module_utils.stack_systemd import Systemd

#: More directories than this are no releases.
_MOST = 500
_MIGRATE_SECONDS = 300.0
_PROVE_SECONDS = 30.0


class LinkedReleases:
    """The releases in one directory, and the link that says which one is current."""

    def __init__(self, settings: Mapping[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self._home, self._link = settings["releases_dir"], settings["current_link"]
        if not self._home or not self._link:
            raise ReleaseError(
                "where releases are is not set for this host; nothing was done: set deployment_rollback_releases_dir "
                "and deployment_rollback_current_link in the inventory"
            )
        self._parameters = stack
        self._units = Systemd(stack["units"], stack["services"])

    def known(self) -> list[Release]:
        """Return every release of this host."""
        try:
            with os.scandir(self._home) as entries:
                found = [one for one in entries if one.is_dir(follow_symlinks=False) and NAME.fullmatch(one.name)]
        except OSError as error:
            raise ReleaseError(f"the releases in {self._home} cannot be listed: {error.strerror}") from error
        if len(found) > _MOST:
            raise ReleaseError(f"{self._home} holds {len(found)} directories: those are no releases")
        return [Release(one.name, made_at(one.name, one.stat().st_mtime), self._lacks(one.path)) for one in found]

    def _lacks(self, path: str) -> tuple[str, ...]:
        return tuple(need for need in self._settings["needs"] if not _is_there(os.path.join(path, need)))

    def current(self) -> str:
        """Return the name of the release that the link names."""
        try:
            if not stat.S_ISLNK(os.lstat(self._link).st_mode):
                raise ReleaseError(f"{self._link} is no symbolic link, so which release is current cannot be told")
        except OSError as error:
            raise ReleaseError(f"{self._link} cannot be read: {error.strerror}") from error
        home, name = os.path.split(os.path.realpath(self._link))
        if home != os.path.realpath(self._home) or not NAME.fullmatch(name):
            raise ReleaseError(f"{self._link} does not lead to a release in {self._home}")
        return name

    def switched_at(self) -> float:
        """Return when the current release became so."""
        return os.lstat(self._link).st_mtime

    def places(self, services: Sequence[str]) -> dict[str, str]:
        """Return the release that the main process of each service works in; none where that is no release."""
        home = os.path.realpath(self._home)
        directories = self._units.places(services)
        return {
            name: place.removeprefix(f"{home}/").partition("/")[0] if place.startswith(f"{home}/") else ""
            for name, place in directories.items()
        }

    def migrations(self, release: str) -> list[str]:
        """Return the names of a release's migrations."""
        try:
            return sorted(name.removesuffix(".php") for name in os.listdir(self.migrations_in(release)))
        except FileNotFoundError:
            return []

    def migrations_in(self, release: str) -> str:
        """Return the directory of a release's migrations."""
        return os.path.join(self._home, release, self._settings["migrations_dir"])

    def keep_migrations(self, release: str, keep: str) -> str:
        """Return where the migrations of a release will be when they are needed: where they are."""
        del keep
        return self.migrations_in(release)

    def pretend(self, release: str, older: str, argv: Sequence[str]) -> tuple[int, str]:
        """Ask what an older release's artisan would do with the migrations of a release; it changes nothing."""
        options = ["--pretend", f"--path={self.migrations_in(release)}", "--realpath"]
        return self.artisan(older, [*argv, *options])

    def artisan(self, release: str, argv: Sequence[str], migrations: str = "") -> tuple[int, str]:
        """Run artisan of a release as the worker does; return how it ended and what it said."""
        program = ["php", os.path.join(self._home, release, "artisan"), *argv]
        paths = [f"--path={migrations}", "--realpath"] if migrations else []
        stack = stack_of(self._parameters)
        code, output, errors = stack.exec(self._worker(), [*program, *paths], _MIGRATE_SECONDS)
        return code, output + errors

    def prove(self, release: str) -> None:
        """Start the code of a release once, without anything that lasts; raises ReleaseError when it does not start."""
        program = ["php", os.path.join(self._home, release, "artisan"), "--version"]
        code, output, errors = stack_of(self._parameters).exec(self._worker(), program, _PROVE_SECONDS)
        if code != 0:
            said = (errors or output).strip().splitlines() or ["it said nothing"]
            raise ReleaseError(f"the release {release} does not start ({said[-1][:300]}); nothing was switched")

    def _worker(self) -> str:
        return (self._settings["workers"] or self._settings["web"])[0]

    def switch(self, release: str) -> bool:
        """Make a release the current one: requests see the old one or this one, never anything between."""
        target = os.path.join(self._home, release)
        if os.path.islink(self._link) and os.path.realpath(self._link) == os.path.realpath(target):
            return False
        made = f"{self._link}.remediate"
        if os.path.lexists(made):
            os.unlink(made)
        os.symlink(target, made)
        os.rename(made, self._link)
        sync_directory(os.path.dirname(self._link))
        return True

    def settle(self, release: str, *, patient: bool) -> bool:
        """Bring the processes onto a release; return whether any was not. Without patience, nobody waits for them."""
        web, workers = self._settings["web"], self._settings["workers"]
        behind = [name for name, place in self.places(workers).items() if place != release]
        if not patient:
            self._units.reload(web)
            self._units.restart(workers)
            return True
        stack = stack_of(self._parameters)
        states = stack.status()
        stack.reload([name for name in web if states[name].running])
        stack.start([name for name in web if not states[name].running])
        stack.restart(behind)
        return bool(behind)


def _is_there(path: str) -> bool:
    """Return whether a file is there and not empty, or a directory is there; through links that releases consist of."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_size > 0)
