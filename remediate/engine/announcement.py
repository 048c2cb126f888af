"""Puts news on their way: composes the notices and puts them into the outbox, in the transaction that is open."""

from __future__ import annotations

from collections.abc import Callable

from remediate.catalog.loader import Catalogue
from remediate.domain.notice import NoticeKind
from remediate.domain.people import People
from remediate.domain.route import Routes
from remediate.engine.notices import Matter, calls, compose, told_of_override
from remediate.engine.ports import Outbox
from remediate.engine.staff import Call, News, Occasion


def announcer(outbox: Outbox, catalogue: Catalogue, people: People, routes: Routes) -> Callable[[News], None]:
    """Return what the engine tells its news to."""

    def announce(news: News) -> None:
        runbook = catalogue.load(news.run.runbook)
        request = news.request
        matter = Matter(
            run=news.run,
            runbook=runbook,
            severity=runbook.severity,
            routes=routes,
            level=request.asked_level if request else news.level,
            valid_until=request.expires_at if request else None,
        )
        to = told_of_override(people, news.to) if news.occasion is Occasion.OVERRIDDEN else news.to
        number = request.version if request else max(news.level, 1)
        outbox.put(compose(NoticeKind(news.occasion.value), matter, to, now=news.at, note=news.note, number=number))

    return announce


def caller(outbox: Outbox, routes: Routes) -> Callable[[Call], None]:
    """Return what the engine tells its calls for incidents without a run to."""

    def call(call: Call) -> None:
        outbox.put(calls(call.incident, call.to, routes, now=call.at, note=call.note))

    return call
