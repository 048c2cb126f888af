"""Takes the jobs of one class out of the queues, keeps them byte for byte on the host, and puts them back in order.

Each move inside Redis is one script, so that no worker sees a job twice or not at all. Jobs go to a list of this run
in the same database first, from there to a file, and only what is in the file is taken off that list.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.host_step import StepError
from ansible.module_utils.queue_jobs import list_key
from ansible.module_utils.redis_wire import Redis
from ansible.module_utils.run_state import write_whole

#: Takes out of one list, and of sets beside it, the jobs of one class, and appends them to the list of this run.
#: A place in the list is marked first and the marks removed in the end: the order of all others stays.
#: Says how many it took, and how many are still with workers.
#: KEYS: list, its notifications, the list of this run, the delayed and the reserved ones.
#: ARGV: class, a part of its name, mark, how many of the two sets are taken from.
SWEEP = """
local function is_wanted(payload)
  if not string.find(payload, ARGV[2], 1, true) then return false end
  local ok, job = pcall(cjson.decode, payload)
  if not ok or type(job) ~= 'table' then return false end
  local name = job['displayName']
  if type(name) ~= 'string' or name == '' then name = job['job'] end
  return name == ARGV[1]
end
local function take(kind, score, key, payload)
  redis.call('RPUSH', KEYS[3], kind .. '\\n' .. score .. '\\n' .. key .. '\\n' .. payload)
end
local moved = 0
for first = 0, redis.call('LLEN', KEYS[1]) - 1, 1000 do
  for offset, payload in ipairs(redis.call('LRANGE', KEYS[1], first, first + 999)) do
    if is_wanted(payload) then
      take('list', '', KEYS[1], payload)
      redis.call('LSET', KEYS[1], first + offset - 1, ARGV[3])
      moved = moved + 1
    end
  end
end
if moved > 0 then redis.call('LREM', KEYS[1], 0, ARGV[3]) end
for _ = 1, moved do redis.call('LPOP', KEYS[2]) end
local held = 0
for number = 4, 5 do
  local jobs = redis.call('ZRANGE', KEYS[number], 0, -1, 'WITHSCORES')
  for place = 1, #jobs, 2 do
    if is_wanted(jobs[place]) then
      if number - 3 <= tonumber(ARGV[4]) then
        take('set', jobs[place + 1], KEYS[number], jobs[place])
        redis.call('ZREM', KEYS[number], jobs[place])
        moved = moved + 1
      else
        held = held + 1
      end
    end
  end
end
return {moved, held}
"""

#: Puts jobs back, unless these were put back already: KEYS[1] counts. Into lists at the front, the last one first.
#: KEYS: the counter, then a list or set and the list's notifications for each job. ARGV: how many are back already,
#: how long the counter is kept, then kind, score and payload of each job.
PUT_BACK = """
local back = tonumber(redis.call('GET', KEYS[1]) or '0')
if back ~= tonumber(ARGV[1]) then return back end
for number = 1, (#ARGV - 2) / 3 do
  local kind, score, payload = ARGV[number * 3], ARGV[number * 3 + 1], ARGV[number * 3 + 2]
  if kind == 'list' then
    redis.call('LPUSH', KEYS[number * 2], payload)
    redis.call('RPUSH', KEYS[number * 2 + 1], 1)
  else
    redis.call('ZADD', KEYS[number * 2], 'NX', score, payload)
  end
  back = back + 1
end
redis.call('SET', KEYS[1], back, 'EX', ARGV[2])
return back
"""

_MARK = "taken out by remediate"
_AT_ONCE = 200
_COUNTER_SECONDS = 30 * 86400
_SPARE_BYTES = 4 << 20


@dataclass(frozen=True)
class Held:
    """One job that was taken out, and where it was."""

    kind: str
    score: str
    key: str
    payload: bytes

    def line(self) -> bytes:
        """Return it as a line of the file; bytes that are no text come through as well."""
        text = self.payload.decode("utf-8", "surrogateescape")
        return json.dumps({"kind": self.kind, "score": self.score, "key": self.key, "payload": text}).encode() + b"\n"


def from_line(line: bytes) -> Held:
    """Return a job as the file has it."""
    record = json.loads(line)
    payload = record["payload"].encode("utf-8", "surrogateescape")
    return Held(record["kind"], record["score"], record["key"], payload)


def from_list(entry: bytes) -> Held:
    """Return a job as the list of this run has it."""
    kind, score, key, payload = entry.split(b"\n", 3)
    return Held(kind.decode(), score.decode(), key.decode(), payload)


def new_hold() -> str:
    """Return a list for the jobs of one step, that was never used before; workers know nothing of it.

    Not named after the run: what an earlier run of the same name has left in Redis must not be taken for this one's.
    """
    return f"remediate:quarantine:{secrets.token_hex(12)}"


def needle_of(name: str) -> str:
    """Return a part of a class's name that looks the same however a job is written; most jobs are told by it alone."""
    runs = "".join(one if one.isascii() and (one.isalnum() or one == "_") else " " for one in name).split()
    return max(runs, key=len, default="")


def sweep(
    redis: Redis, prefix: str, queues: Iterable[str], name: str, hold: str, *, from_workers: bool
) -> tuple[int, int]:
    """Take out the jobs of a class that wait now, and those that workers hold if that is said.

    Return how many were taken, and how many are still with workers.
    """
    moved = held = 0
    for queue in queues:
        key = list_key(prefix, queue)
        keys = (key, f"{key}:notify", hold, f"{key}:delayed", f"{key}:reserved")
        words = (name, needle_of(name), _MARK, 2 if from_workers else 1)
        taken, left = redis.command("EVAL", SWEEP, len(keys), *keys, *words)
        moved, held = moved + taken, held + left
    return moved, held


def bytes_needed(redis: Redis, prefix: str, queues: Iterable[str]) -> int:
    """Return what keeping jobs takes at most, without looking into every one."""
    keys = [f"{list_key(prefix, one)}{part}" for one in queues for part in ("", ":delayed", ":reserved")]
    return sum(redis.command("MEMORY", "USAGE", key) or 0 for key in keys)


def see_room(directory: str, needed: int) -> None:
    """Raise OSError when a directory has no room for so many bytes."""
    space = os.statvfs(directory)
    if space.f_bavail * space.f_frsize < needed + _SPARE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), directory)


def write_down(redis: Redis, hold: str, path: str) -> int:
    """Bring what is on the list of this run into its file, then take just that off the list; return how many it has.

    After a kill in between both have the same jobs; then the list begins with all that the file has.
    """
    listed = [from_list(entry) for entry in redis.command("LRANGE", hold, 0, -1)]
    known = read_back(path)
    if listed:
        both = listed if listed[: len(known)] == known else known + listed
        body = b"".join(one.line() for one in both)
        write_whole(path, _head(body, len(both)) + body)
        if read_back(path) != both:
            raise StepError(f"{path} does not hold what was written to it; the jobs stay in Redis under {hold}")
        redis.command("LTRIM", hold, len(listed), -1)
        known = both
    return len(known)


def _head(body: bytes, count: int) -> bytes:
    return json.dumps({"jobs": count, "sha256": hashlib.sha256(body).hexdigest()}).encode() + b"\n"


def read_back(path: str) -> list[Held]:
    """Return every job of a file, proven to be whole; none where there is no file."""
    try:
        with open(path, "rb") as source:
            head, body = source.readline(), source.read()
    except FileNotFoundError:
        return []
    jobs = [from_line(line) for line in body.splitlines(keepends=True)] if _is_whole(head, body) else None
    if jobs is None or json.loads(head)["jobs"] != len(jobs):
        raise StepError(f"what was kept in {path} is damaged; nothing was put back, and the file is left as it is")
    return jobs


def _is_whole(head: bytes, body: bytes) -> bool:
    try:
        record: Any = json.loads(head)
        return bool(record["sha256"] == hashlib.sha256(body).hexdigest())
    except (ValueError, KeyError, TypeError):
        return False


def put_back(redis: Redis, hold: str, jobs: Sequence[Held]) -> int:
    """Put jobs back to where they were, in order, each once even when this was killed in the middle before."""
    counter = f"{hold}:back"
    # At the front of a list the last one goes first.
    order = list(reversed(jobs))
    back = int(redis.command("GET", counter) or 0)
    while back < len(order):
        some = order[back : back + _AT_ONCE]
        keys = [counter, *(key for one in some for key in (one.key, f"{one.key}:notify"))]
        words = [word for one in some for word in (one.kind, one.score, one.payload)]
        before, back = back, redis.command("EVAL", PUT_BACK, len(keys), *keys, back, _COUNTER_SECONDS, *words)
        if back <= before:
            raise StepError(f"jobs could not be put back: {before} of {len(order)} are, the others are kept")
    return back
