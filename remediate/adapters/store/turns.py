"""Turns of the threads of one process at the database: in the order in which they came, those that are urgent first."""

from __future__ import annotations

from collections import deque
from threading import Lock


class Turns:
    """Like a lock that is handed on from one thread to the next. SQLite would have each sleep and try again."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self._is_taken = False
        self._urgent: deque[Lock] = deque()
        self._others: deque[Lock] = deque()

    def take(self, *, urgent: bool, patience: float) -> bool:
        """Wait for the turn, so many seconds at most; return whether it came."""
        with self._mutex:
            if not self._is_taken:
                self._is_taken = True
                return True
            queue = self._urgent if urgent else self._others
            mine = Lock()
            mine.acquire()
            queue.append(mine)
        if mine.acquire(timeout=patience):
            return True
        with self._mutex:
            if mine in queue:
                queue.remove(mine)
                return False
        return True  # it was handed on at this very moment

    def hand_on(self) -> None:
        """Let the next one begin."""
        with self._mutex:
            if queue := self._urgent or self._others:
                queue.popleft().release()
            else:
                self._is_taken = False
