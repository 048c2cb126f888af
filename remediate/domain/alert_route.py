"""The routes of Alertmanager: whether an alert may reach a receiver that posts to us."""

from __future__ import annotations

from collections.abc import Mapping

from remediate.domain.matcher import Matcher
from remediate.domain.value import Value

#: What Alertmanager shows in the place of an address that it keeps to itself.
HIDDEN = "<secret>"


class Receiver(Value):
    """A receiver, with the addresses that it posts to; one that is not shown is HIDDEN."""

    name: str
    urls: tuple[str, ...] = ()


class RouteNode(Value):
    """One route: what an alert has to fulfil, where it goes, and the routes below it."""

    receiver: str
    matchers: tuple[Matcher, ...] = ()
    #: Whether routes beside it are asked as well, after it has taken an alert.
    goes_on: bool = False
    below: tuple[RouteNode, ...] = ()
    #: Whether it wants something else besides, which could not be read.
    unsure: bool = False


class AlertRoute(Value):
    """The routes of an Alertmanager, from their root, with its receivers."""

    root: RouteNode
    receivers: tuple[Receiver, ...]


def reaches(route: AlertRoute, labels: Mapping[str, str], path: str) -> bool:
    """Return whether an alert may come to a receiver that posts to us, as far as its labels are known.

    What a label holds that is not known may be anything. An address that is not shown may be ours.
    """
    ours = {one.name for one in route.receivers if any(url == HIDDEN or _leads(url, path) for url in one.urls)}
    return bool(_receivers(route.root, labels) & ours)


def _leads(url: str, path: str) -> bool:
    return url.split("?", maxsplit=1)[0].rstrip("/").endswith(path)


def _receivers(node: RouteNode, labels: Mapping[str, str]) -> set[str]:
    """Return the receivers that an alert may come to below a route that takes it."""
    found: set[str] = set()
    for one in node.below:
        if not _may_match(one, labels):
            continue
        found |= _receivers(one, labels)
        if _surely_matches(one, labels) and not one.goes_on:
            return found
    # No route below is certain to take it: then it may stay here.
    return found | {node.receiver}


def _may_match(node: RouteNode, labels: Mapping[str, str]) -> bool:
    return all(one.matches(labels) for one in node.matchers if one.label in labels)


def _surely_matches(node: RouteNode, labels: Mapping[str, str]) -> bool:
    return not node.unsure and all(one.label in labels and one.matches(labels) for one in node.matchers)
