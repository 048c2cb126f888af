"""Jobs that are taken out of a queue: byte for byte, each once, in order, whatever is killed; nothing is flushed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from ansible.module_utils import queue_kinds, queue_quarantine
from ansible.module_utils.host_step import HELD, Step, StepError, StepNotNeededError
from ansible.module_utils.queue_jobs import class_of
from ansible.module_utils.queue_kinds import Quarantine
from ansible.module_utils.queue_quarantine import PUT_BACK, SWEEP, Held, needle_of, read_back

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
POISON = "App\\Jobs\\SendInvoice"
SETTINGS = {"redis_prefix": "shop:", "queues": ["default", "emails"]}


class Killed(BaseException):
    """Stands for kill -9: nobody catches it."""


class TwinRedis:
    """Keeps lists, sets and values; knows the two scripts by what they are to do."""

    def __init__(self) -> None:
        self.lists: dict[str, list[bytes]] = {}
        self.sets: dict[str, dict[bytes, str]] = {}
        self.values: dict[str, int] = {}
        self.calls: list[str] = []
        self.before: Callable[[str], None] = lambda _name: None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def command(self, *words: Any) -> Any:
        name = str(words[0])
        self.before(name)
        self.calls.append(name)
        return getattr(self, f"_{name.lower()}")(*words[1:])

    def _eval(self, script: str, count: int, *words: Any) -> Any:
        return {SWEEP: self._sweep, PUT_BACK: self._put_back}[script](list(words[:count]), list(words[count:]))

    def _sweep(self, keys: list[str], words: list[Any]) -> list[int]:
        wanted, sets = words[0], words[3]
        hold = self.lists.setdefault(keys[2], [])
        taken = [one for one in self.lists.get(keys[0], []) if class_of(one)[0] == wanted]
        hold += [b"\n".join([b"list", b"", keys[0].encode(), one]) for one in taken]
        self.lists[keys[0]] = [one for one in self.lists.get(keys[0], []) if class_of(one)[0] != wanted]
        moved, held = len(taken), 0
        for place, key in enumerate(keys[3:], 1):
            jobs = {one: score for one, score in self.sets.get(key, {}).items() if class_of(one)[0] == wanted}
            if place > sets:
                held += len(jobs)
                continue
            for one, score in jobs.items():
                hold.append(b"\n".join([b"set", score.encode(), key.encode(), one]))
                del self.sets[key][one]
            moved += len(jobs)
        return [moved, held]

    def _put_back(self, keys: list[str], words: list[Any]) -> int:
        back = self.values.get(keys[0], 0)
        if back != words[0]:
            return back
        for place in range((len(words) - 2) // 3):
            kind, score, payload = words[2 + place * 3 : 5 + place * 3]
            key = keys[1 + place * 2]
            if kind == "list":
                self.lists.setdefault(key, []).insert(0, payload)
            else:
                self.sets.setdefault(key, {}).setdefault(payload, score)
            back += 1
        self.values[keys[0]] = back
        return back

    def _get(self, key: str) -> bytes | None:
        return str(self.values[key]).encode() if key in self.values else None

    def _llen(self, key: str) -> int:
        return len(self.lists.get(key, []))

    def _lrange(self, key: str, _first: int, _last: int) -> list[bytes]:
        return list(self.lists.get(key, []))

    def _ltrim(self, key: str, first: int, _last: int) -> bytes:
        self.lists[key] = self.lists[key][first:]
        return b"OK"

    def _memory(self, *_: str) -> int:
        return 1000


def job(name: str, number: int, extra: bytes = b"") -> bytes:
    head = json.dumps({"uuid": f"{name}-{number}", "displayName": name, "attempts": 12}).encode()
    return head[:-1] + extra + b"}"


ORDERS = [job("App\\Jobs\\HandleOrder", number) for number in range(6)]
#: Bytes that are no text, and text that is no ASCII.
BAD = [job(POISON, number, b', "x": "\xff\xc3\xa9 \\u0000"' if number % 2 else b"") for number in range(6)]


@pytest.fixture
def redis() -> TwinRedis:
    twin = TwinRedis()
    mixed = [one for pair in zip(ORDERS, BAD, strict=True) for one in pair]
    twin.lists["shop:queues:default"] = mixed
    twin.sets["shop:queues:emails:delayed"] = {job(POISON, 90): "1764250000.5", ORDERS[0]: "1764250001"}
    return twin


@pytest.fixture
def kind(redis: TwinRedis, monkeypatch: pytest.MonkeyPatch) -> Quarantine:
    monkeypatch.setattr(queue_kinds.queue_redis, "connect", lambda _stack, _settings: redis)
    monkeypatch.setattr(queue_kinds, "stack_of", lambda described: described)
    monkeypatch.setattr(queue_kinds, "_PAUSE", 0.01)
    monkeypatch.setattr(queue_kinds, "_LET_GO_SECONDS", 0.2)
    return Quarantine(SETTINGS, {})


@pytest.fixture
def step() -> Step:
    return Step("poison_job", "quarantine", POISON, HELD, data={"class": POISON})


@pytest.fixture
def saved(kind: Quarantine, step: Step, tmp_path: Path) -> dict[str, Any]:
    return dict(json.loads(json.dumps(kind.save(step, str(tmp_path / "keep")))))


def state(redis: TwinRedis) -> tuple[dict[str, list[bytes]], dict[str, dict[bytes, str]]]:
    lists = {key: list(jobs) for key, jobs in redis.lists.items() if jobs}
    return lists, {key: dict(jobs) for key, jobs in redis.sets.items() if jobs}


def test_only_jobs_of_the_class_are_taken_and_all_of_them_are_in_a_private_file(
    kind: Quarantine, redis: TwinRedis, step: Step, saved: dict[str, Any]
) -> None:
    assert kind.do(step, saved)
    assert state(redis) == (
        {"shop:queues:default": ORDERS},
        {"shop:queues:emails:delayed": {ORDERS[0]: "1764250001"}},
    )
    kept = read_back(saved["file"])
    assert [one.payload for one in kept] == [*BAD, job(POISON, 90)]
    assert kept[-1] == Held("set", "1764250000.5", "shop:queues:emails:delayed", job(POISON, 90))
    assert Path(saved["file"]).stat().st_mode & 0o777 == 0o600
    assert not kind.do(step, saved)


def test_jobs_come_back_byte_for_byte_in_their_order_before_what_came_later(
    kind: Quarantine, redis: TwinRedis, step: Step, saved: dict[str, Any]
) -> None:
    kind.do(step, saved)
    assert kind.obstacle(step, saved) == ""
    assert kind.undo(step, saved) == "7 of 7 jobs are back in their queues"
    assert redis.lists["shop:queues:default"] == BAD + ORDERS
    assert redis.sets["shop:queues:emails:delayed"] == {ORDERS[0]: "1764250001", job(POISON, 90): "1764250000.5"}
    kind.undo(step, saved)
    assert redis.lists["shop:queues:default"] == BAD + ORDERS


@pytest.mark.parametrize("command", ["EVAL", "LLEN", "LRANGE", "LTRIM"])
def test_killed_at_any_moment_of_the_fix_no_job_is_lost_or_doubled(
    kind: Quarantine, redis: TwinRedis, step: Step, saved: dict[str, Any], command: str
) -> None:
    def kill(name: str) -> None:
        if name == command:
            raise Killed

    redis.before = kill
    with pytest.raises(Killed):
        kind.do(step, saved)
    redis.before = lambda _name: None
    # Somebody sends one more meanwhile.
    redis.lists["shop:queues:default"].append(job(POISON, 91))
    assert kind.do(step, saved)
    assert sorted(one.payload for one in read_back(saved["file"])) == sorted([*BAD, job(POISON, 90), job(POISON, 91)])
    assert state(redis)[0] == {"shop:queues:default": ORDERS}


def test_killed_in_the_middle_of_the_rollback_each_job_comes_back_once(
    kind: Quarantine, redis: TwinRedis, step: Step, saved: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_quarantine, "_AT_ONCE", 2)
    kind.do(step, saved)
    calls = iter(range(100))

    def kill(name: str) -> None:
        if name == "EVAL" and next(calls) == 2:
            raise Killed

    redis.before = kill
    with pytest.raises(Killed):
        kind.undo(step, saved)
    redis.before = lambda _name: None
    kind.undo(step, saved)
    assert redis.lists["shop:queues:default"] == BAD + ORDERS


def test_what_a_fix_that_was_cut_short_left_in_redis_comes_back_as_well(
    kind: Quarantine, redis: TwinRedis, step: Step, saved: dict[str, Any]
) -> None:
    def kill(name: str) -> None:
        if name == "LRANGE":
            raise Killed

    redis.before = kill
    with pytest.raises(Killed):
        kind.do(step, saved)
    redis.before = lambda _name: None
    assert not Path(saved["file"]).exists()
    kind.undo(step, saved)
    assert redis.lists["shop:queues:default"] == BAD + ORDERS


def test_what_an_earlier_run_of_the_same_name_left_in_redis_does_not_count(
    kind: Quarantine, redis: TwinRedis, step: Step, saved: dict[str, Any], tmp_path: Path
) -> None:
    kind.do(step, saved)
    kind.undo(step, saved)
    Path(saved["file"]).unlink()
    again = kind.save(step, str(tmp_path / "keep"))
    kind.do(step, again)
    kind.undo(step, again)
    assert redis.lists["shop:queues:default"] == BAD + ORDERS


def test_a_damaged_file_is_not_put_back(kind: Quarantine, redis: TwinRedis, step: Step, saved: dict[str, Any]) -> None:
    kind.do(step, saved)
    file = Path(saved["file"])
    file.write_bytes(file.read_bytes().replace(b"SendInvoice", b"SendMalware", 1))
    before = state(redis)
    assert "is damaged" in kind.obstacle(step, saved)
    with pytest.raises(StepError, match="damaged"):
        kind.undo(step, saved)
    assert state(redis) == before


def test_a_job_that_a_worker_holds_is_waited_for(
    kind: Quarantine, redis: TwinRedis, step: Step, saved: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_kinds, "_LET_GO_SECONDS", 30.0)
    held = job(POISON, 77)
    redis.sets["shop:queues:default:reserved"] = {held: "1764250090"}
    looks = iter(range(100))

    def fail_at_last(name: str) -> None:
        if name == "EVAL" and next(looks) == 4:
            redis.lists["shop:queues:default"].append(held)
            redis.sets["shop:queues:default:reserved"].clear()

    redis.before = fail_at_last
    kind.do(step, saved)
    assert held in [one.payload for one in read_back(saved["file"])]
    assert state(redis)[0] == {"shop:queues:default": ORDERS}


def test_a_job_that_a_worker_never_lets_go_is_taken_while_no_worker_runs(
    kind: Quarantine, redis: TwinRedis, step: Step, saved: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = job(POISON, 77)
    redis.sets["shop:queues:default:reserved"] = {held: "1764250090"}
    said: list[str] = []

    class Workers:
        def instances(self, _name: str) -> dict[str, Any]:
            return {"w1": type("State", (), {"running": True})}

        def stop_instances(self, _name: str, _instances: list[str]) -> None:
            assert held in redis.sets["shop:queues:default:reserved"]
            said.append("stop")

        def restart_instances(self, _name: str, _instances: list[str]) -> None:
            assert held not in redis.sets["shop:queues:default:reserved"]
            said.append("restart")

    monkeypatch.setattr(queue_kinds, "stack_of", lambda _described: Workers())
    kind.do(step, saved)
    assert said == ["stop", "restart"]
    kind.undo(step, saved)
    assert redis.sets["shop:queues:default:reserved"] == {held: "1764250090"}


def test_a_class_whose_jobs_are_gone_needs_no_quarantine(
    kind: Quarantine, redis: TwinRedis, step: Step, saved: dict[str, Any]
) -> None:
    redis.lists["shop:queues:default"] = list(ORDERS)
    redis.sets.clear()
    with pytest.raises(StepNotNeededError):
        kind.do(step, saved)


def test_without_room_for_the_jobs_nothing_is_taken(
    kind: Quarantine, redis: TwinRedis, step: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "_memory", lambda *_: 1 << 60)
    with pytest.raises(OSError, match="No space"):
        kind.save(step, str(tmp_path / "keep"))
    assert "EVAL" not in redis.calls


def test_jobs_are_never_kept_in_memory_only(kind: Quarantine, step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_kinds, "make_private", lambda _path: None)
    with pytest.raises(OSError, match="memory only"):
        kind.save(step, "/run/remediate/queue_failure/runs/r/keep/00000")


@pytest.mark.parametrize(("name", "needle"), [(POISON, "SendInvoice"), ("Größe", "Gr"), ("é", ""), ("a/b_c", "b_c")])
def test_the_part_of_a_name_that_is_looked_for_first_reads_the_same_in_every_json(name: str, needle: str) -> None:
    assert needle_of(name) == needle
    assert needle in json.dumps(name)


def test_no_code_of_ours_can_flush_or_delete_a_queue() -> None:
    forbidden = re.compile(r"flush(db|all)|queue:(flush|clear|forget)|[\"'](del|unlink)[\"']|\bUNLINK\b", re.IGNORECASE)
    paths = [*(PLAYBOOKS / "module_utils").glob("*.py"), *(PLAYBOOKS / "library").glob("queue_*.py")]
    # Caches are flushed by another runbook, which has a test of its own that no queue can be named there.
    paths = [one for one in paths if one.name.startswith(("queue_", "redis_persistence", "failed_"))]
    paths += (PLAYBOOKS / "roles" / "queue_failure").rglob("*.yml")
    assert len(paths) > 15
    assert [(one.name, found) for one in paths for found in forbidden.findall(one.read_text(encoding="utf-8"))] == []


def test_the_scripts_remove_only_what_they_have_put_elsewhere_first() -> None:
    removing = re.findall(r"redis\.call\('(LREM|LPOP|LSET|ZREM|LTRIM|DEL|\w*FLUSH\w*)'", SWEEP + PUT_BACK)
    assert sorted(removing) == ["LPOP", "LREM", "LSET", "ZREM"]
    assert SWEEP.index("take('list'") < SWEEP.index("'LSET'") < SWEEP.index("'LREM'")
    assert SWEEP.index("take('set'") < SWEEP.index("'ZREM'")
    assert "redis.call('LPOP', KEYS[2])" in SWEEP  # notifications, of which each job has one
