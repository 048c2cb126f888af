"""Asks the container engine of this host, over its local socket, what it keeps, and has it removed or put back."""

from __future__ import annotations

import calendar
import http.client
import json
import os
import socket
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

_BLOCK = 1 << 20
#: The newest version of the interface whose answers are understood here; an older engine is asked in its own.
_NEWEST = (1, 45)
_STOPPED = ("created", "exited", "dead")
_PROJECT = "com.docker.compose.project"
#: Records that a prune leaves alone unless it is told to take all.
_KEPT_RECORDS = ("internal", "frontend")
#: A complete archive ends like this; when saving breaks off, the engine answers 200 and ends with the error's text.
_END_OF_ARCHIVE = bytes(1024)


class EngineError(Exception):
    """The engine does not answer, or refused."""


class Image(NamedTuple):
    """An image without a tag. `bytes` is what removing it alone frees, as far as the engine tells.

    Layers that the build cache holds as well are freed only with the cache (see Cache.shared). Of an image that the
    old builder made the engine tells too little: it counts as shared what the image's own steps hold. `digests` are
    names that loading a saved image does not bring back.
    """

    id: str
    bytes: int
    created: int
    digests: tuple[str, ...]


class Cache(NamedTuple):
    """What a prune of the build cache would remove, and what it could remove once the images that share it are gone."""

    bytes: int
    records: int
    shared: int


class Container(NamedTuple):
    """A container that ended; `bytes` is its own layer and its log, `finished_at` in seconds since the epoch."""

    id: str
    name: str
    bytes: int
    finished_at: float


class LogFile(NamedTuple):
    """The file that a running container's output is written to."""

    container: str
    path: str


class _LocalConnection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout, blocksize=_BLOCK)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class ContainerEngine:
    """The engine behind one socket. Every method raises EngineError when it does not answer or refuses."""

    def __init__(self, socket: str = "/var/run/docker.sock", timeout: float = 120) -> None:
        self._socket = socket
        self._timeout = timeout
        self._version = ""

    @property
    def available(self) -> bool:
        """Whether there is an engine that answers."""
        if not os.path.exists(self._socket):
            return False
        try:
            return bool(self._api())
        except EngineError:
            return False

    def root(self) -> str:
        """Return the directory in which the engine keeps everything."""
        return str(self._json("GET", "/info")["DockerRootDir"])

    def dangling_images(self) -> list[Image]:
        """Return the images without a tag that no container, running or not, and no other image is made from."""
        used = {one["ImageID"] for one in self._json("GET", "/containers/json", all="1")}
        used |= {one["ParentId"] for one in self._json("GET", "/images/json", all="1")}
        images = self._json("GET", "/system/df", type="image")["Images"] or ()
        return [_image(one) for one in images if not _has_tag(one) and one["Id"] not in used]

    def build_cache(self) -> Cache:
        """Return what a prune of the build cache would remove now."""
        records = self._json("GET", "/system/df", type="build-cache")["BuildCache"] or ()
        unused = [one for one in records if not one["InUse"] and one["Type"] not in _KEPT_RECORDS]
        sizes = [one["Size"] for one in unused if not one["Shared"]]
        return Cache(sum(sizes), len(sizes), sum(one["Size"] for one in unused if one["Shared"]))

    def stopped_containers(self, project: str, older_than: float) -> list[Container]:
        """Return containers that ended more than `older_than` seconds ago and that nobody will start again.

        Never one of the compose project named here (of any project, if none is named), and never one with a restart
        policy: the engine starts those again when it starts itself.
        """
        before = time.time() - older_than
        found = []
        for one in self._json("GET", "/containers/json", all="1", filters=json.dumps({"status": _STOPPED})):
            if _belongs_to(one.get("Labels") or {}, project):
                continue
            record = self.inspect(one["Id"])
            if _is_finished(record, before):
                found.append(self._container(record))
        return found

    def running_logs(self) -> list[LogFile]:
        """Return the logs of running containers that the engine writes as JSON lines; rotated ones are not named."""
        records = [self.inspect(one["Id"]) for one in self._json("GET", "/containers/json")]
        return [
            LogFile(record["Name"].lstrip("/"), record["LogPath"])
            for record in records
            if record["HostConfig"]["LogConfig"]["Type"] == "json-file" and record.get("LogPath")
        ]

    def inspect(self, container_id: str) -> dict[str, Any]:
        """Return the whole description of a container."""
        return dict(self._json("GET", f"/containers/{_quoted(container_id)}/json"))

    def image_exists(self, image_id: str) -> bool:
        """Return whether the engine has an image."""
        with self._answer("GET", f"/images/{_quoted(image_id)}/json", accepted=(200, 404)) as answer:
            return answer.status == 200

    def tags_of(self, repository: str) -> dict[str, float]:
        """Return the tags of a repository's images on this host, with when each image was made."""
        images = self._json("GET", "/images/json", filters=json.dumps({"reference": [repository]})) or ()
        begin = f"{repository}:"
        return {
            name.removeprefix(begin): float(one["Created"])
            for one in images
            for name in one.get("RepoTags") or ()
            if name.startswith(begin)
        }

    def image_layers(self, name: str) -> list[str]:
        """Return the directories that make up an image, the uppermost first; none where the engine tells no such."""
        data = self._json("GET", f"/images/{_quoted(name)}/json").get("GraphDriver", {}).get("Data") or {}
        return [path for path in (data.get("UpperDir", ""), *data.get("LowerDir", "").split(":")) if path]

    def image_size(self, image_id: str) -> int:
        """Return how big an image is, bases included."""
        return int(self._json("GET", f"/images/{_quoted(image_id)}/json")["Size"])

    def save_image(self, image_id: str, stream: BinaryIO) -> int:
        """Write an image to a stream as an archive, and return how many bytes that were.

        The engine first makes the archive in its own directory: it needs room there for the whole image, bases
        included. Without that room it refuses, and nothing has changed.
        """
        size, end = 0, b""
        with self._answer("GET", f"/images/{_quoted(image_id)}/get") as answer:
            while block := _read(answer, _BLOCK):
                stream.write(block)
                size += len(block)
                end = (end + block)[-len(_END_OF_ARCHIVE) :]
        if end != _END_OF_ARCHIVE:
            raise EngineError(f"saving the image {image_id} broke off after {size} bytes; the image is still there")
        return size

    def load_image(self, stream: BinaryIO, size: int) -> None:
        """Put back images from an archive of `size` bytes; they have the identifiers that they had."""
        with self._answer("POST", "/images/load", {"quiet": "1"}, upload=(stream, size)) as answer:
            for line in _read(answer).splitlines():
                if said := json.loads(line).get("error"):
                    raise EngineError(f"the container engine could not load the image: {said}")

    def remove_image(self, image_id: str) -> None:
        """Remove an image, and those it was built from that have no tag and nothing else made from them."""
        self._json("DELETE", f"/images/{_quoted(image_id)}")

    def remove_container(self, container_id: str) -> None:
        """Remove a container that does not run; its volumes stay, also those without a name."""
        self._json("DELETE", f"/containers/{_quoted(container_id)}", v="0", force="0")

    def stop_container(self, container_id: str) -> None:
        """Stop a container; it gets the time that it asks for itself to finish what it does."""
        with self._answer("POST", f"/containers/{_quoted(container_id)}/stop", accepted=(304,)):
            pass

    def restart_container(self, container_id: str) -> None:
        """Restart a container; it gets the time that it asks for itself to finish what it does."""
        self._json("POST", f"/containers/{_quoted(container_id)}/restart")

    def prune_build_cache(self) -> int:
        """Remove what no build is using from the build cache, and return how many bytes that freed."""
        return int(self._json("POST", "/build/prune")["SpaceReclaimed"])

    def _container(self, record: Mapping[str, Any]) -> Container:
        sized = self._json("GET", f"/containers/{_quoted(record['Id'])}/json", size="1")
        size = sized.get("SizeRw", 0) + _log_bytes(record.get("LogPath") or "")
        return Container(record["Id"], record["Name"].lstrip("/"), size, _ended(record))

    def _api(self) -> str:
        """Return the beginning of every address: the version of the interface that both sides know."""
        if not self._version:
            with self._answer("GET", "/version", versioned=False) as answer:
                said = json.loads(_read(answer))["ApiVersion"]
            major, minor = min(tuple(int(part) for part in said.split(".")), _NEWEST)
            self._version = f"/v{major}.{minor}"
        return self._version

    def _json(self, method: str, path: str, **query: str) -> Any:
        with self._answer(method, path, query) as answer:
            text = _read(answer)
        return json.loads(text) if text.strip() else None

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        upload: tuple[BinaryIO, int] | None = None,
        accepted: tuple[int, ...] = (),
        versioned: bool = True,
    ) -> Iterator[http.client.HTTPResponse]:
        address = f"{self._api() if versioned else ''}{path}?{urllib.parse.urlencode(query or {})}"
        connection = _LocalConnection(self._socket, self._timeout)
        try:
            with _broken_off(f"the container engine at {self._socket} does not answer"):
                connection.request(method, address, **_archive(upload))
                answer = connection.getresponse()
            if not 200 <= answer.status < 300 and answer.status not in accepted:
                raise EngineError(f"the container engine refused {method} {path}: {_refusal(answer)}")
            yield answer
        finally:
            connection.close()


def _archive(upload: tuple[BinaryIO, int] | None) -> dict[str, Any]:
    if upload is None:
        return {}
    stream, size = upload
    return {"body": stream, "headers": {"Content-Type": "application/x-tar", "Content-Length": str(size)}}


def _read(answer: http.client.HTTPResponse, size: int | None = None) -> bytes:
    with _broken_off("the container engine stopped in the middle of its answer"):
        return answer.read(size)


@contextmanager
def _broken_off(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise EngineError(f"{what}: {error}") from error


def _refusal(answer: http.client.HTTPResponse) -> str:
    text = _read(answer)
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.decode("utf-8", "backslashreplace").strip() or f"{answer.status} {answer.reason}"


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe=":")


def _image(record: Mapping[str, Any]) -> Image:
    own = record["Size"] - max(0, record.get("SharedSize", 0))
    digests = tuple(name for name in record.get("RepoDigests") or () if not name.startswith("<none>"))
    return Image(record["Id"], own, record["Created"], digests)


def _has_tag(record: Mapping[str, Any]) -> bool:
    return any(name != "<none>:<none>" for name in record.get("RepoTags") or ())


def _belongs_to(labels: Mapping[str, str], project: str) -> bool:
    return _PROJECT in labels and (not project or labels[_PROJECT] == project)


def _is_finished(record: Mapping[str, Any], before: float) -> bool:
    policy = record["HostConfig"]["RestartPolicy"]["Name"]
    return record["State"]["Status"] in _STOPPED and policy in {"", "no"} and _ended(record) < before


def _ended(record: Mapping[str, Any]) -> float:
    """Return when a container ended, or was made if it never ran, in seconds since the epoch."""
    finished = record["State"]["FinishedAt"]
    moment = record["Created"] if finished.startswith("0001-") else finished
    return float(calendar.timegm(time.strptime(moment[:19], "%Y-%m-%dT%H:%M:%S")))


def _log_bytes(path: str) -> int:
    """Return what a log and its rotated predecessors take on the disk; a container without output has none."""
    directory, name = os.path.split(path)
    if not name or not os.path.isdir(directory):
        return 0
    with os.scandir(directory) as entries:
        return sum(entry.stat().st_blocks * 512 for entry in entries if entry.name.startswith(name))
