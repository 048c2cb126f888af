"""Turns at the database: in order, the urgent first, and nobody waits for ever."""

from __future__ import annotations

from threading import Event, Thread

from remediate.adapters.store.turns import Turns


def waiting(turns: Turns) -> int:
    return len(turns._urgent) + len(turns._others)


def test_turns_go_round_in_order_and_the_urgent_come_first() -> None:
    turns, order = Turns(), list[str]()
    assert turns.take(urgent=False, patience=0)
    threads = []

    def go(name: str, *, urgent: bool) -> None:
        assert turns.take(urgent=urgent, patience=20)
        order.append(name)
        turns.hand_on()

    for number, (name, urgent) in enumerate([("a", False), ("b", False), ("c", True), ("d", True)], start=1):
        threads.append(Thread(target=go, args=(name,), kwargs={"urgent": urgent}))
        threads[-1].start()
        while waiting(turns) < number:
            Event().wait(0.001)
    turns.hand_on()
    for thread in threads:
        thread.join()

    assert order == ["c", "d", "a", "b"]
    assert turns.take(urgent=False, patience=0)


def test_whoever_runs_out_of_patience_leaves_the_queue() -> None:
    turns = Turns()
    assert turns.take(urgent=False, patience=0)
    assert not turns.take(urgent=True, patience=0.01)
    assert waiting(turns) == 0
    turns.hand_on()

    assert turns.take(urgent=False, patience=0)
