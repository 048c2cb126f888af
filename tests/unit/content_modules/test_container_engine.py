"""The container engine: what is understood from its answers, and how it is told when it refuses or breaks off."""

import io
import json
import socketserver
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.remediate_engine import Cache, Container, ContainerEngine, EngineError, Image, LogFile

HOUR = 3_600.0
LONG_AGO = 1_767_225_600.0  # 2026-01-01T00:00:00Z
ARCHIVE = b"layers" * 100_000 + bytes(1024)


class Desk(socketserver.ThreadingUnixStreamServer):
    """An engine that gives the answers laid out for it: (method, path) -> (status, body)."""

    daemon_threads = True

    def __init__(self, path: str) -> None:
        super().__init__(path, Clerk)
        self.answers: dict[tuple[str, str], tuple[int, bytes]] = {}
        self.asked: list[str] = []
        self.received = b""

    def lay(self, request: str, answer: Any, status: int = 200) -> None:
        """Lay out the answer to a request like `GET /info`."""
        method, path = request.split(" ")
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.answers[method, path] = (status, body)


class Clerk(BaseHTTPRequestHandler):
    """Hands out what is laid out."""

    server: Desk

    def answer(self) -> None:
        address = urllib.parse.urlsplit(self.path)
        self.server.asked.append(f"{self.command} {self.path}")
        self.server.received += self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, body = self.server.answers.get((self.command, address.path), (404, b'{"message": "no such thing"}'))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the names that the base class looks for

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class gave it
        """Say nothing."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(str(tmp_path / "engine.sock")) as server:
        server.lay("GET /version", {"ApiVersion": "1.41"})
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def engine(desk: Desk) -> ContainerEngine:
    return ContainerEngine(str(desk.server_address), timeout=5)


def image(name: str, **more: Any) -> dict[str, Any]:
    return {"Id": name, "Size": 100, "SharedSize": 60, "Created": 7, "RepoTags": [], "RepoDigests": [], **more}


def record(name: str, policy: str = "no", **more: Any) -> dict[str, Any]:
    return {
        "Id": name,
        "Name": f"/the-{name}",
        "Created": "2026-01-01T00:00:00.5Z",
        "State": {"Status": "exited", "FinishedAt": "2026-01-01T01:00:00.123456789Z"},
        "HostConfig": {"RestartPolicy": {"Name": policy}, "LogConfig": {"Type": "json-file"}},
        "LogPath": "",
        "SizeRw": 5,
        **more,
    }


def lay_containers(desk: Desk, *records: dict[str, Any], **labels: dict[str, str]) -> None:
    listed = [{"Id": one["Id"], "Labels": labels.get(one["Id"])} for one in records]
    desk.lay("GET /v1.41/containers/json", listed)
    for one in records:
        desk.lay(f"GET /v1.41/containers/{one['Id']}/json", one)


def lay_images(desk: Desk, *images: dict[str, Any], used: tuple[str, ...] = (), parents: tuple[str, ...] = ()) -> None:
    desk.lay("GET /v1.41/system/df", {"Images": images, "BuildCache": None})
    desk.lay("GET /v1.41/containers/json", [{"ImageID": one} for one in used])
    desk.lay("GET /v1.41/images/json", [{"ParentId": one} for one in ("", *parents)])


def names(containers: list[Container]) -> list[str]:
    return [one.name for one in containers]


def test_an_engine_that_answers_is_available(engine: ContainerEngine) -> None:
    assert engine.available


def test_no_socket_is_no_engine(tmp_path: Path) -> None:
    assert not ContainerEngine(str(tmp_path / "nothing")).available


def test_a_socket_behind_which_nobody_listens_is_no_engine(tmp_path: Path) -> None:
    path = str(tmp_path / "left")
    socketserver.UnixStreamServer(path, Clerk).server_close()

    assert not ContainerEngine(path).available
    with pytest.raises(EngineError, match="does not answer"):
        ContainerEngine(path).root()


@pytest.mark.parametrize(("spoken", "asked"), [("1.41", "/v1.41"), ("1.45", "/v1.45"), ("1.52", "/v1.45")])
def test_an_engine_is_asked_in_a_version_that_both_know(
    desk: Desk, engine: ContainerEngine, spoken: str, asked: str
) -> None:
    desk.lay("GET /version", {"ApiVersion": spoken})
    desk.lay(f"GET {asked}/info", {"DockerRootDir": "/var/lib/docker"})

    assert engine.root() == "/var/lib/docker"


def test_an_image_gives_what_it_does_not_share(desk: Desk, engine: ContainerEngine) -> None:
    lay_images(desk, image("a", RepoDigests=["chom@sha256:1"]))

    assert engine.dangling_images() == [Image("a", 40, 7, ("chom@sha256:1",))]


def test_an_older_engine_marks_what_has_no_name(desk: Desk, engine: ContainerEngine) -> None:
    lay_images(desk, image("a", RepoTags=["<none>:<none>"], RepoDigests=["<none>@<none>"], SharedSize=-1))

    assert engine.dangling_images() == [Image("a", 100, 7, ())]


def test_images_with_a_tag_a_container_or_a_child_are_left_out(desk: Desk, engine: ContainerEngine) -> None:
    lay_images(
        desk, image("tagged", RepoTags=["chom:1"]), image("used"), image("parent"), used=("used",), parents=("parent",)
    )

    assert engine.dangling_images() == []


def test_the_cache_gives_what_no_build_uses_and_no_image_shares(desk: Desk, engine: ContainerEngine) -> None:
    kinds = [(False, False, "regular"), (True, False, "regular"), (False, True, "regular"), (False, False, "internal")]
    records = [
        {"InUse": used, "Shared": shared, "Type": kind, "Size": 10**place}
        for place, (used, shared, kind) in enumerate(kinds)
    ]
    desk.lay("GET /v1.41/system/df", {"BuildCache": records})

    assert engine.build_cache() == Cache(bytes=1, records=1, shared=100)


def test_a_container_that_ended_counts_with_its_log(desk: Desk, engine: ContainerEngine, tmp_path: Path) -> None:
    log = tmp_path / "x-json.log"
    log.write_bytes(b"x" * 10_000)
    (tmp_path / "x-json.log.1").write_bytes(b"x" * 10_000)
    taken = sum((tmp_path / name).stat().st_blocks * 512 for name in ("x-json.log", "x-json.log.1"))
    lay_containers(desk, record("a", LogPath=str(log)))

    assert engine.stopped_containers("chom", HOUR) == [Container("a", "the-a", 5 + taken, LONG_AGO + HOUR)]


def test_a_container_that_never_ran_is_as_old_as_itself(desk: Desk, engine: ContainerEngine) -> None:
    lay_containers(desk, record("a", State={"Status": "created", "FinishedAt": "0001-01-01T00:00:00Z"}))

    assert engine.stopped_containers("chom", HOUR)[0].finished_at == LONG_AGO


def test_a_container_that_just_ended_stays(desk: Desk, engine: ContainerEngine) -> None:
    lay_containers(desk, record("a"))

    assert engine.stopped_containers("chom", 1e12) == []


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure"])
def test_a_container_that_the_engine_starts_again_stays(desk: Desk, engine: ContainerEngine, policy: str) -> None:
    lay_containers(desk, record("a", policy))

    assert engine.stopped_containers("chom", HOUR) == []


def test_a_container_that_runs_by_now_stays(desk: Desk, engine: ContainerEngine) -> None:
    lay_containers(desk, record("a", State={"Status": "running", "FinishedAt": "2026-01-01T01:00:00Z"}))

    assert engine.stopped_containers("chom", HOUR) == []


@pytest.mark.parametrize(("project", "expected"), [("chom", ["the-b"]), ("other", ["the-a", "the-b"]), ("", ["the-b"])])
def test_a_stopped_service_of_the_project_is_never_listed(
    desk: Desk, engine: ContainerEngine, project: str, expected: list[str]
) -> None:
    lay_containers(desk, record("a"), record("b"), a={"com.docker.compose.project": "chom"})

    assert names(engine.stopped_containers(project, HOUR)) == expected


def test_only_logs_that_are_files_are_listed(desk: Desk, engine: ContainerEngine) -> None:
    elsewhere = {"RestartPolicy": {"Name": "no"}, "LogConfig": {"Type": "journald"}}
    lay_containers(desk, record("a", LogPath="/logs/a"), record("b", HostConfig=elsewhere, LogPath=""))

    assert engine.running_logs() == [LogFile("the-a", "/logs/a")]


def test_an_image_is_saved_whole(desk: Desk, engine: ContainerEngine) -> None:
    desk.lay("GET /v1.41/images/sha256:a/get", ARCHIVE)
    target = io.BytesIO()

    assert engine.save_image("sha256:a", target) == len(ARCHIVE)
    assert target.getvalue() == ARCHIVE


def test_a_save_that_ends_with_an_error_inside_is_no_archive(desk: Desk, engine: ContainerEngine) -> None:
    desk.lay("GET /v1.41/images/a/get", ARCHIVE + b'{"error": "no space left on device"}')

    with pytest.raises(EngineError, match="saving the image a broke off"):
        engine.save_image("a", io.BytesIO())


def test_a_full_disk_under_the_archive_is_not_the_engines_fault(desk: Desk, engine: ContainerEngine) -> None:
    desk.lay("GET /v1.41/images/a/get", ARCHIVE)

    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="No space left"):
        engine.save_image("a", full)


def test_an_image_is_loaded_from_its_archive(desk: Desk, engine: ContainerEngine) -> None:
    desk.lay("POST /v1.41/images/load", b'{"stream": "Loaded"}\r\n')
    engine.load_image(io.BytesIO(ARCHIVE), len(ARCHIVE))

    assert desk.received == ARCHIVE


def test_an_error_inside_of_an_answer_is_an_error(desk: Desk, engine: ContainerEngine) -> None:
    desk.lay("POST /v1.41/images/load", b'{"stream": "..."}\n{"error": "no room"}\n')

    with pytest.raises(EngineError, match="could not load the image: no room"):
        engine.load_image(io.BytesIO(b"x"), 1)


def test_an_image_that_is_not_there_does_not_exist(desk: Desk, engine: ContainerEngine) -> None:
    desk.lay("GET /v1.41/images/a/json", {})

    assert [engine.image_exists("a"), engine.image_exists("b")] == [True, False]


def test_nothing_is_removed_by_force_and_volumes_stay(desk: Desk, engine: ContainerEngine) -> None:
    desk.lay("DELETE /v1.41/containers/a", b"", 204)
    desk.lay("DELETE /v1.41/images/b", [])
    engine.remove_container("a")
    engine.remove_image("b")

    assert desk.asked[1:] == ["DELETE /v1.41/containers/a?v=0&force=0", "DELETE /v1.41/images/b?"]


def test_a_pruned_cache_says_what_it_gave(desk: Desk, engine: ContainerEngine) -> None:
    desk.lay("POST /v1.41/build/prune", {"CachesDeleted": ["x"], "SpaceReclaimed": 12345678901})

    assert engine.prune_build_cache() == 12345678901


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [(409, b'{"message": "it is running"}', "it is running"), (500, b"oh no", "oh no"), (301, b"", "301 Moved")],
)
def test_a_refusal_is_told_in_the_engines_words(
    desk: Desk, engine: ContainerEngine, status: int, body: bytes, said: str
) -> None:
    desk.lay("DELETE /v1.41/containers/a", body, status)

    with pytest.raises(EngineError, match=f"refused DELETE /containers/a: {said}"):
        engine.remove_container("a")


def test_a_name_cannot_lead_elsewhere(desk: Desk, engine: ContainerEngine) -> None:
    with pytest.raises(EngineError, match="no such thing"):
        engine.inspect("../info?all=1")

    assert desk.asked[1:] == ["GET /v1.41/containers/..%2Finfo%3Fall%3D1/json?"]
