"""Redis is spoken to over its protocol: bytes come through as they are, and a stranger's answer is never trusted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.host_step import StepError
from ansible.module_utils.queue_redis import connect, state_of
from ansible.module_utils.redis_persistence import saved
from ansible.module_utils.redis_wire import Redis, RedisRefusedError, RedisUnreachableError
from ansible.module_utils.remediate_stack import StackError

Serve = Callable[..., tuple[int, list[bytes]]]
SETTINGS: dict[str, Any] = {
    "redis_host": "127.0.0.1",
    "redis_db": 2,
    "redis_env_file": "",
    "redis_dir": "/data",
    "redis_dump": "dump.rdb",
    "redis_aof": "appendonlydir",
    "redis_persistence": "auto",
}


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that gives these answers, one to each thing that it is sent."""
    listeners: list[socket.socket] = []

    def start(*answers: bytes) -> tuple[int, list[bytes]]:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        heard: list[bytes] = []

        def run() -> None:
            with closing(listener.accept()[0]) as connection:
                for answer in answers:
                    heard.append(connection.recv(1 << 16))
                    connection.sendall(answer)

        threading.Thread(target=run, daemon=True).start()
        return listener.getsockname()[1], heard

    yield start
    for listener in listeners:
        listener.close()


def test_bytes_come_through_as_they_are(serve: Serve) -> None:
    port, heard = serve(b"+OK\r\n", b"*4\r\n$4\r\n\x00\r\n\xff\r\n:7\r\n$-1\r\n*1\r\n+x\r\n")
    with Redis("127.0.0.1", port, 2) as redis:
        assert redis.command("GET", b"a\r\nb", 1) == [b"\x00\r\n\xff", 7, None, [b"x"]]
    assert heard == [b"*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n", b"*3\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n$1\r\n1\r\n"]


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\n", b"$99999999999\r\n", b"$5\r\nab", b":many\r\n", b"", b"*1\r\n" * 20 + b":1\r\n"],
)
def test_what_does_not_speak_the_protocol_is_unreachable(serve: Serve, answer: bytes) -> None:
    port, _ = serve(b"+OK\r\n", answer)
    with Redis("127.0.0.1", port) as redis, pytest.raises(RedisUnreachableError):
        redis.command("PING")


def test_one_that_accepts_and_says_nothing_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(RedisUnreachableError, match="broke off"):
        Redis("127.0.0.1", silent.getsockname()[1], connect_within=0.1)


def test_nobody_there_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(RedisUnreachableError, match="does not answer"):
        Redis("127.0.0.1", port)


def test_an_error_within_a_list_does_not_shift_the_next_answer(serve: Serve) -> None:
    port, _ = serve(b"+OK\r\n", b"*2\r\n-WRONGTYPE no\r\n:1\r\n", b"+PONG\r\n")
    with Redis("127.0.0.1", port) as redis:
        with pytest.raises(RedisRefusedError, match="WRONGTYPE"):
            redis.command("EXEC")
        assert redis.command("PING") == b"PONG"


class Stack:
    """A stack whose tools print this."""

    def __init__(self, listed: dict[str, str] | None = None, tools: dict[str, int] | None = None) -> None:
        self.listed = listed if listed is not None else {"/data": "dump.rdb\n"}
        self.tools = tools or {}

    def address(self, _name: str) -> str:
        raise StackError("redis has no address: none of its containers runs")

    def beside(self, _name: str, argv: list[str], _timeout: float) -> tuple[int, str, str]:
        if argv[0] == "ls":
            return (0, self.listed[argv[2]], "") if argv[2] in self.listed else (2, "", f"ls: {argv[2]}: not there\n")
        code = self.tools.get(argv[0], 0)
        return code, "ok\n" if code == 0 else "[offset 8] wrong \x1b[2Jtype\n", ""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"-NOAUTH Authentication required.\r\n", "queue_failure_redis_env_file"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "look again in a minute"),
        (b"-ERR DB index is out of range\r\n", "DB index is out of range"),
    ],
)
def test_what_redis_refuses_is_one_sentence_that_says_what_to_do(serve: Serve, answer: bytes, said: str) -> None:
    port, _ = serve(answer)
    with pytest.raises(StepError, match=said):
        connect(Stack(), {**SETTINGS, "redis_port": port})


def test_the_password_is_the_one_of_the_application(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('APP_KEY=x\nREDIS_PASSWORD="se cret"\nREDIS_USERNAME=null\n')
    port, heard = serve(b"+OK\r\n", b"+OK\r\n")
    connect(Stack(), {**SETTINGS, "redis_port": port, "redis_env_file": str(tmp_path / ".env")}).close()
    assert heard[0] == b"*2\r\n$4\r\nAUTH\r\n$7\r\nse cret\r\n"
    with pytest.raises(StepError, match="correct queue_failure_redis_env_file"):
        connect(Stack(), {**SETTINGS, "redis_port": port, "redis_env_file": str(tmp_path / "none")})


def test_a_redis_without_a_container_is_unreachable() -> None:
    with pytest.raises(RedisUnreachableError, match="none of its containers runs"):
        connect(Stack(), {**SETTINGS, "redis_host": "", "redis_port": 6379})


def test_a_redis_that_cannot_save_says_so() -> None:
    class Says:
        def command(self, *_: str) -> bytes:
            return b"# Persistence\r\nrdb_last_bgsave_status:err\r\naof_last_write_status:ok\r\n"

    assert state_of(Says()).cannot_save == "rdb_last_bgsave_status is err"


BOTH = {"/data": "dump.rdb\nappendonlydir\n", "/data/appendonlydir": "a.aof.1.incr.aof\na.aof.manifest\n"}


def test_everything_that_redis_saved_is_read_by_its_own_tools() -> None:
    found = saved(Stack(BOTH), SETTINGS)
    assert found.whole == (
        "/data/dump.rdb is whole (redis-check-rdb)",
        "/data/appendonlydir/a.aof.manifest is whole (redis-check-aof)",
    )
    assert found.obstacle("auto") == ""


@pytest.mark.parametrize("tool", ["redis-check-rdb", "redis-check-aof"])
def test_one_damaged_file_is_enough_to_refuse(tool: str) -> None:
    found = saved(Stack(BOTH, {tool: 1}), SETTINGS)
    assert tool in found.obstacle("auto")
    assert "\x1b" not in found.obstacle("auto")


def test_append_only_files_without_their_manifest_are_damaged() -> None:
    found = saved(Stack({**BOTH, "/data/appendonlydir": "a.aof.1.incr.aof\n"}), SETTINGS)
    assert "has no manifest" in found.obstacle("auto")


def test_nothing_saved_is_an_obstacle_unless_nothing_is_meant_to_be() -> None:
    assert "queue_failure_redis_persistence" in saved(Stack({"/data": ""}), SETTINGS).obstacle("auto")
    assert saved(Stack({}), {**SETTINGS, "redis_persistence": "none"}).obstacle("none") == ""


def test_a_place_that_cannot_be_looked_at_and_a_missing_tool_are_told() -> None:
    with pytest.raises(StepError, match="Set queue_failure_redis_dir"):
        saved(Stack({}), SETTINGS)
    with pytest.raises(StepError, match="redis-check-rdb is not where Redis runs"):
        saved(Stack(tools={"redis-check-rdb": 127}), SETTINGS)
