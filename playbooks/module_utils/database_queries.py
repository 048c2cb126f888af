"""Queries that run for too long in MariaDB: which ones, and their end, one by one."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Step, StepError, StepNotNeededError
from ansible.module_utils.remediate_stack import Stack, StackError

SERVICE = "mysql"
#: Only this is a query. Replication, its threads and those of the system say something else here.
_COMMAND = "Query"
_SYSTEM_USERS = frozenset(("system user", "event_scheduler", "mariadb.sys", "unauthenticated user", ""))
_SECONDS = 20.0
_MOST = 200
_TEXT = 2000
_SHOWN = 160
#: Ages are rounded by the server; its clock and ours are the same one.
_TOLERANCE = 2.0
_LIST = (
    "SELECT ID, QUERY_ID, TIME_MS, HEX(USER), HEX(IFNULL(DB, '')), COMMAND, HEX(LEFT(IFNULL(INFO, ''), {text})) "
    "FROM information_schema.PROCESSLIST "
    "WHERE COMMAND = 'Query' AND TIME_MS >= {age} AND ID <> CONNECTION_ID() ORDER BY TIME_MS DESC LIMIT {most}"
)
_LITERALS = re.compile(r"'(?:[^'\\]|\\.|'')*'?|\"(?:[^\"\\]|\\.|\"\")*\"?|\b0x[0-9a-fA-F]+\b|\b\d+(?:\.\d+)?\b")
_COMMENT = re.compile(r"/\*.*?(?:\*/|$)|(?:--[ \t]|#)[^\n]*", re.DOTALL)


@dataclass(frozen=True)
class Query:
    """One running statement. Numbers of threads are used again; the number of a statement is not."""

    thread: int
    number: int
    user: str
    database: str
    #: When it began, in seconds since 1970.
    began: float
    text: str

    @property
    def age(self) -> float:
        """For how long it has run."""
        return time.time() - self.began

    @property
    def shape(self) -> str:
        """The statement without what was asked for: values may be anybody's secret."""
        bare = _LITERALS.sub("?", _COMMENT.sub(" ", self.text))
        return shown(" ".join(bare.split()))[:_SHOWN]

    def is_same(self, other: Query) -> bool:
        """Return whether it is this very statement, and not a later one of a thread of that number."""
        same = (self.thread, self.number, self.user) == (other.thread, other.number, other.user)
        return same and abs(self.began - other.began) <= _TOLERANCE


def long_queries(stack: Stack, seconds: int, spared: Collection[str]) -> list[Query]:
    """Return what users have had running for longer than that, the oldest first."""
    sql = _LIST.format(age=int(seconds * 1000), most=_MOST, text=_TEXT)
    return endable(parsed(_asked(stack, sql), time.time()), spared)


def endable(found: Iterable[Query], spared: Collection[str]) -> list[Query]:
    """Return those that a runbook may end: of no user that is the system, and of none that the inventory spares."""
    return [one for one in found if one.user not in _SYSTEM_USERS and one.user not in spared]


def parsed(output: str, now: float) -> list[Query]:
    """Return the queries of a list that the server printed."""
    found = []
    for line in output.splitlines():
        fields = line.split("\t")
        if len(fields) != 7 or not all(fields[number].isdigit() for number in (0, 1)):
            raise StackError("the list of queries is not understood: it must come from MariaDB 10.0.5 or later")
        if fields[5] == _COMMAND:
            user, database, text = (bytes.fromhex(fields[number]).decode("utf-8", "replace") for number in (3, 4, 6))
            began = now - float(fields[2]) / 1000
            found.append(Query(int(fields[0]), int(fields[1]), user, database, began, text))
    return found


def _asked(stack: Stack, sql: str) -> str:
    argv = ["mariadb", "--batch", "--skip-column-names", "--raw", "--connect-timeout=5", "--execute", sql]
    code, output, errors = stack.exec(SERVICE, argv, timeout=_SECONDS)
    if code != 0:
        said = (errors.strip() or output.strip() or "it printed nothing").splitlines()[-1]
        raise StackError(f"the database does not answer the service's own user: {shown(said)[:300]}")
    return output


def query_steps(cause: str, found: Iterable[Query], seconds: int) -> list[Step]:
    """Return a step for each user whose queries run for too long."""
    by_user: dict[str, list[Query]] = {}
    for one in found:
        by_user.setdefault(one.user, []).append(one)
    return [
        Step(
            cause,
            "end queries of",
            f"database user {shown(user)[:80]}",
            detail=(f"those that have run for longer than {seconds} s",),
            note=f"{len(queries)} now; what they have written is undone by the database, and they can be asked again",
            data={"queries": [asdict(query) for query in queries], "seconds": seconds},
        )
        for user, queries in sorted(by_user.items())
    ]


class EndQueries(Kind):
    """Ends the queries that were written down, as far as they are still the same ones."""

    def __init__(self, stack: dict[str, Any], spared: Collection[str]) -> None:
        self._stack = stack
        self._spared = spared

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """End them, and see them gone."""
        stack = stack_of(self._stack)
        left = self._left(stack, step)
        if not left:
            raise StepNotNeededError("they have ended meanwhile")
        for one in left:
            # By the number of the statement: a thread that has gone on to another one is not hit.
            _forgiving(stack, f"KILL QUERY ID {one.number:d}")
        for _ in range(20):
            if not (left := self._left(stack, step)):
                return True
            time.sleep(0.5)
        raise StepError(
            f"{len(left)} queries of {step.target} do not end although they were told to; they may be undoing what "
            "they wrote: look at SHOW PROCESSLIST"
        )

    def _left(self, stack: Stack, step: Step) -> list[Query]:
        wanted = [Query(**one) for one in step.data["queries"]]
        running = long_queries(stack, step.data["seconds"], self._spared)
        return [one for one in running if any(one.is_same(other) for other in wanted)]


def _forgiving(stack: Stack, sql: str) -> None:
    """Ask for something that may have happened by itself: a query that is gone is what was wanted."""
    try:
        _asked(stack, sql)
    except StackError as error:
        if "Unknown query id" not in str(error):
            raise
