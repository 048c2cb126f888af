"""Releases that are tags of an image, the current one named in the settings of the project (the layout compose)."""

from __future__ import annotations

import calendar
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.image_files import ImageFiles
from ansible.module_utils.releases import NAME, Release, ReleaseError, made_at
from ansible.module_utils.remediate_engine import ContainerEngine, EngineError
from ansible.module_utils.run_state import make_private
from ansible.module_utils.safe_files import Directory, split
from ansible.module_utils.stack_compose import Compose

_MIGRATE_SECONDS = 300.0
_PROVE_SECONDS = 60.0
#: Where a container that runs migrations of another release finds them.
_MOUNTED = "/remediate-migrations"
_MOST_BYTES = 1 << 20


class TaggedReleases:
    """The tags of one image, and the setting that says which one is current."""

    def __init__(self, settings: Mapping[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self._image = settings["image"]
        if not self._image or not settings["release_file"]:
            raise ReleaseError(
                "which image the releases are is not set for this host; nothing was done: set "
                "deployment_rollback_image and deployment_rollback_release_file in the inventory"
            )
        self._parameters = stack
        self._project = Compose(stack["project_dir"], stack["compose_file"])
        self._engine = ContainerEngine()

    def known(self) -> list[Release]:
        """Return every release of this host."""
        try:
            tags = self._engine.tags_of(self._image)
            return [Release(tag, made_at(tag, made), self._lacks(tag)) for tag, made in tags.items()]
        except EngineError as error:
            raise ReleaseError(f"the images of this host cannot be listed: {error}") from error

    def _lacks(self, tag: str) -> tuple[str, ...]:
        files = self._files(tag)
        if files is None:
            return ()  # this engine does not tell; whether the release starts is tried before anything is switched
        return tuple(need for need in self._settings["needs"] if not _has(files, self._inside(need)))

    def _files(self, tag: str) -> ImageFiles | None:
        try:
            layers = self._engine.image_layers(f"{self._image}:{tag}")
        except EngineError as error:
            raise ReleaseError(f"the image {self._image}:{tag} cannot be looked at: {error}") from error
        return ImageFiles(layers) if layers else None

    def _inside(self, path: str) -> str:
        return os.path.join(self._settings["code_dir"], path)

    def current(self) -> str:
        """Return the release that requests are answered by; without a container, the one that the settings name."""
        running = self.places(self._settings["web"])
        return next((tag for tag in running.values() if tag), "") or self.named()

    def named(self) -> str:
        """Return the release that the settings of the project name."""
        found = self._line(_read(self._settings["release_file"])[0])
        name = found.group(2).strip().strip("'\"") if found else ""
        if not NAME.fullmatch(name):
            raise ReleaseError(
                f"{self._settings['release_file']} names no release as {self._settings['release_variable']}: correct "
                "it, or deployment_rollback_release_variable"
            )
        return name

    def _line(self, content: str) -> re.Match[str] | None:
        return re.search(rf"^({re.escape(self._settings['release_variable'])}=)([^\n]*)$", content, re.MULTILINE)

    def switched_at(self) -> float:
        """Return when the current release became so."""
        for records in self._project.descriptions(self._settings["web"]).values():
            for record in records:
                return _moment(record["Created"])
        return os.stat(self._settings["release_file"]).st_mtime

    def places(self, services: Sequence[str]) -> dict[str, str]:
        """Return the release that each service is made from; none where it is made from something else."""
        begin = f"{self._image}:"
        found = {}
        for name, records in self._project.descriptions(services).items():
            images = {str(record["Config"]["Image"]) for record in records}
            image = images.pop() if len(images) == 1 else ""
            found[name] = image.removeprefix(begin) if image.startswith(begin) else ""
        return found

    def migrations(self, release: str) -> list[str]:
        """Return the names of a release's migrations."""
        files = self._known_files(release)
        return [name.removesuffix(".php") for name in files.names(self._inside(self._settings["migrations_dir"]))]

    def _known_files(self, release: str) -> ImageFiles:
        files = self._files(release)
        if files is None:
            raise ReleaseError(
                "which migrations a release has cannot be told: this engine does not say where it keeps its images; "
                "compare them by hand, then set deployment_rollback_kind"
            )
        return files

    def keep_migrations(self, release: str, keep: str) -> str:
        """Copy the migrations of a release to where a container can have them; return where that is."""
        files, inside = self._known_files(release), self._inside(self._settings["migrations_dir"])
        kept = os.path.join(keep, "migrations")
        make_private(kept)
        for name in files.names(inside):
            place = files.find(f"{inside}/{name}")
            if place and os.path.isfile(place):
                shutil.copyfile(place, os.path.join(kept, name))
                os.chmod(os.path.join(kept, name), 0o644)
        # What is above it is closed to everybody; the container is given just this directory.
        os.chmod(kept, 0o755)  # noqa: S103 - as said above
        return kept

    def pretend(self, release: str, older: str, argv: Sequence[str]) -> tuple[int, str]:
        """Ask the running release what its artisan would do; it changes nothing, and starts no container."""
        del older
        running = self.places([*self._settings["workers"], *self._settings["web"]])
        states = self._project.status(list(running))
        for name, tag in running.items():
            if tag == release and states[name].running:
                finished = self._project.exec(name, ["php", "artisan", *argv, "--pretend"], _PROVE_SECONDS)
                return finished.code, finished.output + finished.errors
        return 1, f"the release {release} runs nowhere"

    def artisan(self, release: str, argv: Sequence[str], migrations: str = "") -> tuple[int, str]:
        """Run artisan of a release as the worker does; return how it ended and what it said."""
        mounts = {_MOUNTED: migrations} if migrations else {}
        paths = [f"--path={_MOUNTED}", "--realpath"] if migrations else []
        finished = self._project.run_once(
            self._worker(), ["php", "artisan", *argv, *paths], self._as(release), mounts, _MIGRATE_SECONDS
        )
        return finished.code, finished.output + finished.errors

    def _as(self, release: str) -> dict[str, str]:
        return {self._settings["release_variable"]: release}

    def _worker(self) -> str:
        return (self._settings["workers"] or self._settings["web"])[0]

    def prove(self, release: str) -> None:
        """Start the code of a release once, without anything that lasts; raises ReleaseError when it does not start."""
        program = ["php", "artisan", "--version"]
        finished = self._project.run_once(self._worker(), program, self._as(release), {}, _PROVE_SECONDS)
        if finished.code != 0:
            raise ReleaseError(f"the release {release} does not start ({finished.last_line}); nothing was switched")

    def switch(self, release: str) -> bool:
        """Make a release the one that the settings name; the containers follow when they are settled."""
        path = self._settings["release_file"]
        content, like = _read(path)
        if self.named() == release:
            return False
        found = self._line(content)
        assert found is not None  # noqa: S101 - `named` has found it
        _put(path, f"{content[: found.start(2)]}{release}{content[found.end(2) :]}", like)
        return True

    def settle(self, release: str, *, patient: bool) -> bool:
        """Bring the processes onto a release; return whether any was not. Without patience, nobody waits for them."""
        wanted = self._project.wanted_images()
        services = [name for name in self._parameters["services"] if wanted.get(name) == f"{self._image}:{release}"]
        behind = [name for name, tag in self.places(services).items() if tag != release]
        # One order for all of them: the web server is renewed with the code that it hands requests to.
        finished = self._project.renew(services)
        if finished.code != 0:
            raise ReleaseError(f"the containers of release {release} could not be made: {finished.last_line}")
        if patient:
            stack_of(self._parameters).start(services)
        return bool(behind)


def _has(files: ImageFiles, path: str) -> bool:
    place = files.find(path)
    return bool(place) and (os.path.isdir(place) or os.path.getsize(place) > 0)


def _moment(text: str) -> float:
    """Return the moment that the engine wrote, in seconds since 1970."""
    return float(calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")))


def _read(path: str) -> tuple[str, os.stat_result]:
    parent, name = split(path)
    try:
        with Directory(parent) as directory:
            descriptor = directory.open(name)
    except OSError as error:
        raise ReleaseError(f"{path} cannot be read ({error.strerror}): see deployment_rollback_release_file") from error
    with os.fdopen(descriptor, "rb") as source:
        return source.read(_MOST_BYTES).decode("utf-8", "surrogateescape"), os.fstat(descriptor)


def _put(path: str, content: str, like: os.stat_result) -> None:
    """Write a file whole, with the mode and the owner that it had."""
    parent, name = split(path)
    new = f".{name}.remediate"
    with Directory(parent) as directory:
        descriptor = directory.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(descriptor, "wb") as target:
            os.fchmod(descriptor, like.st_mode & 0o7777)
            os.fchown(descriptor, like.st_uid, like.st_gid)
            target.write(content.encode("utf-8", "surrogateescape"))
            target.flush()
            os.fsync(descriptor)
        os.rename(new, name, src_dir_fd=directory.descriptor, dst_dir_fd=directory.descriptor)
        directory.sync()
