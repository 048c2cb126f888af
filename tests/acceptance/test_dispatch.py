"""Stories of notices on their way: delivered, tried again, given up, sent over another channel, never in the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from threading import enumerate as enumerate_threads

import pytest

from remediate.adapters.store.connection import open_database
from remediate.adapters.store.outbox import DatabaseOutbox
from remediate.domain.notice import Notice
from remediate.domain.people import People, Person
from remediate.domain.route import Route, Routes
from remediate.engine.dispatch import LEASE, Dispatcher
from remediate.engine.ports import Channel
from remediate.engine.trial import Trial
from remediate.errors import DeliveryFailed, RemediateError, StateUnusable, UsageError
from remediate.testing import EPOCH, FakeChannel, FrozenClock, MemoryOutbox
from tests.builders import notice, person

PEOPLE = People(by_id={"omar": person("omar"), "nadia": person("nadia"), "rosa": person("rosa", email="")})
ROUTES = Routes(
    by_channel={
        "mail": Route(channel="mail", needs="email"),
        "hook": Route(channel="hook"),
        "boss": Route(channel="boss", people=("nadia",)),
    }
)
BUSY = DeliveryFailed("452 try later")
UNKNOWN = DeliveryFailed("550 no such user", permanent=True)


class HungChannel:
    """Hangs until it is let go."""

    def __init__(self) -> None:
        self.let_go = Event()
        self.entered = Event()

    def send(self, notice: Notice, person: Person) -> None:
        del notice, person
        self.entered.set()
        assert self.let_go.wait(20)


class LoudChannel(FakeChannel):
    """Tells when it has delivered."""

    def __init__(self) -> None:
        super().__init__()
        self.delivered = Event()

    def send(self, notice: Notice, person: Person) -> None:
        super().send(notice, person)
        self.delivered.set()


class Post:
    """A dispatcher with everything around it."""

    def __init__(self, **channels: Channel) -> None:
        self.clock = FrozenClock()
        self.outbox = MemoryOutbox()
        self.troubles: list[RemediateError] = []
        self.channels: Mapping[str, Channel] = channels
        self.dispatcher = Dispatcher(self.outbox, channels, ROUTES, PEOPLE, self.clock, self.troubles.append)

    def deliver(self, after: timedelta = timedelta(0)) -> int:
        self.clock.fast_forward(after)
        return self.dispatcher.deliver_due(Event())

    def kept(self, key: str) -> Notice:
        (found,) = self.outbox.notices(prefix=key)
        return found

    def keys(self) -> set[str]:
        return {one.key for one in self.outbox.notices()}


def test_what_is_due_is_delivered_to_its_person_and_nothing_else() -> None:
    mail, hook = FakeChannel(), FakeChannel()
    post = Post(mail=mail, hook=hook)
    later = notice("run-1/reminded-1/omar/mail", next_at=EPOCH + timedelta(hours=1))
    post.outbox.put([notice(), notice("run-1/asked-1/rosa/hook"), later])

    assert post.deliver() == 2
    assert [(sent.key, to.id) for sent, to in mail.sent] == [("run-1/asked-1/omar/mail", "omar")]
    assert [(sent.key, to.id) for sent, to in hook.sent] == [("run-1/asked-1/rosa/hook", "rosa")]
    assert post.deliver() == 0


def test_a_channel_that_is_busy_is_asked_again_after_the_pause_and_not_before() -> None:
    mail = FakeChannel([BUSY])
    post = Post(mail=mail)
    post.outbox.put([notice()])

    assert (post.deliver(), post.kept(notice().key).last_error) == (0, "452 try later")
    assert post.deliver(timedelta(seconds=7)) == 0
    assert post.deliver(timedelta(seconds=5)) == 1
    assert post.kept(notice().key).attempts == 2
    assert post.keys() == {notice().key}


def test_after_two_failures_the_other_channels_of_the_person_are_used_once() -> None:
    mail, hook = FakeChannel([BUSY] * 5), FakeChannel()
    post = Post(mail=mail, hook=hook)
    post.outbox.put([notice()])
    post.deliver()
    assert post.keys() == {notice().key}
    for _ in range(4):
        post.deliver(timedelta(minutes=4))

    assert [(sent.key, sent.body) for sent, _ in hook.sent] == [("run-1/asked-1/omar/hook", "Look at it.")]
    assert post.deliver(timedelta(minutes=15)) == 1
    assert post.keys() == {"run-1/asked-1/omar/mail", "run-1/asked-1/omar/hook"}


def test_a_permanent_failure_is_given_up_with_its_reason_and_the_other_channels_are_used() -> None:
    boss, hook = FakeChannel(), FakeChannel()
    post = Post(mail=FakeChannel([UNKNOWN]), hook=hook, boss=boss)
    post.outbox.put([notice("run-1/asked-1/nadia/mail")])
    post.deliver()
    post.deliver()

    assert post.kept("run-1/asked-1/nadia/mail").last_error == "550 no such user; given up: trying again cannot help"
    assert (len(hook.sent), len(boss.sent)) == (1, 1)


def test_when_every_channel_fails_none_is_used_twice_for_one_state_and_all_end() -> None:
    post = Post(mail=FakeChannel([UNKNOWN] * 9), hook=FakeChannel([UNKNOWN] * 9))
    post.outbox.put([notice()])
    for _ in range(5):
        post.deliver()

    assert {one.key: one.attempts for one in post.outbox.notices()} == {
        "run-1/asked-1/omar/mail": 1,
        "run-1/asked-1/omar/hook": 1,
    }
    assert all(one.given_up_at for one in post.outbox.notices())


def test_a_channel_that_is_down_for_a_day_ends_in_given_up_and_in_the_trail() -> None:
    post = Post(mail=FakeChannel([BUSY] * 500), hook=FakeChannel())
    post.outbox.put([notice()])
    for _ in range(400):
        post.deliver(timedelta(minutes=5))

    kept = post.kept(notice().key)
    assert kept.last_error == "452 try later; given up: it was tried for 24 h"
    assert kept.given_up_at == EPOCH + timedelta(hours=24)
    assert 70 < kept.attempts < 130
    assert [entry.action for entry in post.outbox.audited] == ["notice.delivered", "notice.given_up"]


def test_a_receiver_that_asks_for_time_is_left_alone_for_it() -> None:
    hook = FakeChannel([DeliveryFailed("429", wait=timedelta(minutes=10))])
    post = Post(hook=hook)
    post.outbox.put([notice("run-1/asked-1/rosa/hook")])
    post.deliver()

    assert post.deliver(timedelta(minutes=9)) == 0
    assert post.deliver(timedelta(minutes=2)) == 1


def test_a_dispatcher_that_dies_with_a_notice_in_hand_leaves_it_to_the_next_one() -> None:
    mail = FakeChannel()
    post = Post(mail=mail)
    post.outbox.put([notice()])
    post.outbox.claim("mail", EPOCH, lease=LEASE)

    assert post.deliver(LEASE - timedelta(seconds=1)) == 0
    assert post.deliver(timedelta(seconds=1)) == 1
    assert post.kept(notice().key).attempts == 2


def test_a_notice_for_a_channel_or_a_person_that_is_gone_is_given_up() -> None:
    post = Post(mail=FakeChannel(), hook=FakeChannel())
    post.outbox.put([notice("run-1/asked-1/omar/fax"), notice("run-1/asked-1/zoe/mail")])
    post.deliver()

    assert post.kept("run-1/asked-1/omar/fax").last_error.startswith(
        "there is no channel fax in remediate.yml any more"
    )
    assert post.kept("run-1/asked-1/zoe/mail").last_error.startswith("there is no person zoe in remediate.yml any more")
    assert {"run-1/asked-1/omar/mail", "run-1/asked-1/omar/hook"} <= post.keys()


def test_a_defect_that_one_notice_brings_out_does_not_stop_the_others() -> None:
    mail = FakeChannel([UnicodeError("surprise")])
    post = Post(mail=mail)
    post.outbox.put([notice(), notice("run-2/asked-1/omar/mail")])

    assert post.deliver() == 1
    assert post.kept("run-1/").last_error == "a defect of the channel: UnicodeError: surprise"


def deliver_until(post: Post, holds: Callable[[], bool]) -> None:
    for _ in range(400):
        if holds():
            return
        post.dispatcher.deliver_due(Event(), patience=timedelta(milliseconds=50))
    pytest.fail("it never came")


def test_a_channel_that_hangs_keeps_no_other_from_delivering_and_its_thread_is_one() -> None:
    hung, hook = HungChannel(), FakeChannel()
    post = Post(mail=hung, hook=hook)
    post.outbox.put([notice(), notice("run-1/asked-1/rosa/hook")])

    deliver_until(post, lambda: len(hook.sent) == 1)
    post.outbox.put([notice("run-2/asked-1/omar/mail"), notice("run-2/asked-1/rosa/hook")])
    deliver_until(post, lambda: len(hook.sent) == 2)
    assert [sent.key for sent, _ in hook.sent] == ["run-1/asked-1/rosa/hook", "run-2/asked-1/rosa/hook"]
    assert post.kept("run-2/asked-1/omar/mail").attempts == 0
    assert [thread.name for thread in enumerate_threads()].count("notify-mail") == 1
    hung.let_go.set()
    deliver_until(post, lambda: post.kept("run-2/asked-1/omar/mail").delivered_at is not None)


def test_the_loop_delivers_what_comes_while_a_channel_hangs_and_ends_when_it_is_told() -> None:
    hung, hook = HungChannel(), LoudChannel()
    post = Post(mail=hung, hook=hook)
    stop = Event()
    loop = Thread(target=post.dispatcher.run, args=(stop, timedelta(milliseconds=1)))
    post.outbox.put([notice()])
    loop.start()
    assert hung.entered.wait(20)
    post.outbox.put([notice("run-1/asked-1/rosa/hook")])

    assert hook.delivered.wait(20)
    stop.set()
    hung.let_go.set()
    loop.join(20)
    assert not loop.is_alive()


def test_a_dispatcher_that_is_told_to_stop_begins_nothing_more() -> None:
    mail = FakeChannel()
    post = Post(mail=mail)
    post.outbox.put([notice()])
    stop = Event()
    stop.set()
    post.dispatcher.run(stop)

    assert (post.dispatcher.deliver_due(stop), mail.sent) == (0, [])


def test_the_loop_goes_on_after_the_record_could_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    mail = LoudChannel()
    post = Post(mail=mail)
    post.outbox.put([notice()])
    working = post.outbox.waiting
    answers = [StateUnusable("locked")]

    def waiting(now: object) -> tuple[str, ...]:
        if answers:
            raise answers.pop()
        return working(post.clock.now())

    monkeypatch.setattr(post.outbox, "waiting", waiting)
    stop = Event()
    loop = Thread(target=post.dispatcher.run, args=(stop, timedelta(milliseconds=1)))
    loop.start()

    assert mail.delivered.wait(20)
    stop.set()
    loop.join(20)
    assert [error.message for error in post.troubles] == ["locked"]


def test_a_delivery_that_cannot_be_recorded_is_told_and_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    mail = FakeChannel()
    post = Post(mail=mail)
    post.outbox.put([notice()])

    def full(*_: object) -> None:
        raise StateUnusable("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(post.outbox, "delivered", full)
        assert post.deliver() == 0

    assert [error.message for error in post.troubles] == ["disk full"]
    assert post.deliver(LEASE) == 1
    assert len({sent.delivery_id for sent, _ in mail.sent}) == 1


def test_the_record_is_free_for_others_while_a_notice_is_sent(tmp_path: Path) -> None:
    database = open_database(tmp_path / "state")
    outbox = DatabaseOutbox(database)
    troubles: list[RemediateError] = []

    class Writing(FakeChannel):
        def send(self, notice: Notice, person: Person) -> None:
            super().send(notice, person)
            other = Thread(target=outbox.put, args=([notice.over("hook", EPOCH)],), daemon=True)
            other.start()
            other.join(20)
            assert not other.is_alive()

    outbox.put([notice()])
    senders = {"mail": Writing(), "hook": FakeChannel()}
    dispatcher = Dispatcher(outbox, senders, ROUTES, PEOPLE, FrozenClock(), troubles.append)

    assert (dispatcher.deliver_due(Event()), dispatcher.deliver_due(Event()), troubles) == (1, 1, [])
    database.dispose()


def trial(post: Post) -> Trial:
    return Trial(post.outbox, post.dispatcher, ROUTES, PEOPLE, post.clock)


def test_a_trial_goes_over_every_channel_of_a_person_and_tells_what_came_of_it() -> None:
    post = Post(mail=FakeChannel([BUSY]), hook=FakeChannel(), boss=FakeChannel())
    found = trial(post).send(["nadia"])

    assert {one.channel: one.delivered_at is not None for one in found} == {"mail": False, "hook": True, "boss": True}
    assert {one.channel: one.last_error for one in found}["mail"] == "452 try later; given up: a test is tried once"
    assert post.keys() == {one.key for one in found}


def test_a_trial_of_one_channel_leaves_the_others_alone_and_can_be_repeated() -> None:
    hook = FakeChannel()
    post = Post(mail=FakeChannel(), hook=hook)

    assert [len(trial(post).send(["omar"], channel="hook")) for _ in range(2)] == [1, 1]
    assert len({sent.delivery_id for sent, _ in hook.sent}) == 2


def test_a_trial_that_somebody_else_has_claimed_is_waited_for_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    post = Post(hook=FakeChannel())

    def claimed_elsewhere(_stop: Event) -> int:
        post.outbox.claim("hook", post.clock.now(), lease=LEASE)
        return 0

    monkeypatch.setattr(post.dispatcher, "deliver_due", claimed_elsewhere)
    found = trial(post).send(["rosa"])

    assert [(one.attempts, one.ended) for one in found] == [(1, False)]
    assert post.clock.now() - EPOCH == timedelta(seconds=45)


def test_a_trial_without_anybody_to_reach_says_what_is_missing() -> None:
    post = Post(mail=FakeChannel())

    with pytest.raises(UsageError, match="No channel 'mail' reaches rosa; nothing was sent"):
        trial(post).send(["rosa"], channel="mail")
    with pytest.raises(UsageError, match="There is no person 'zoe'") as unknown:
        trial(post).send(["zoe"])
    assert unknown.value.next_step == "people in remediate.yml: nadia, omar, rosa"
    with pytest.raises(UsageError, match="There is no channel 'fax'") as fax:
        trial(post).send(["omar"], channel="fax")
    assert fax.value.next_step == "channels in remediate.yml: boss, hook, mail"
