"""A plot of what drills measured, as SVG within a page: the points, the target, and where they are going."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from xml.etree.ElementTree import Element

from remediate.domain.drill import Point, Trend
from remediate.interfaces.element import element

WIDTH, HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 20, 15, 30
#: A forecast is drawn up to so many times as far ahead as drills go back.
_AHEAD = 2
#: More seconds than any drill takes: a host may say anything.
_MOST_SECONDS = 1e10


@dataclass(frozen=True)
class _Scale:
    """Where a moment and a number of seconds stand in the plot."""

    begins: datetime
    span: timedelta
    most: float

    def x(self, at: datetime) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * min((at - self.begins) / self.span, 1)

    def y(self, seconds: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * min(seconds, self.most) / self.most


def trend_plot(title: str, trend: Trend) -> Element:
    """Return the plot of a trend, in seconds over time."""
    scale = _scale(trend)
    drawn = [*_axes(scale), *_target(scale, trend.target), *_measured(scale, trend.points), *_ahead(scale, trend)]
    label = element("title", f"{title}: {trend.forecast.words}")
    return element("svg", label, *drawn, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")


def _scale(trend: Trend) -> _Scale:
    times = [point.at for point in trend.points] or [datetime.fromisoformat("1970-01-01T00:00:00+00:00")]
    past = max(times[-1] - times[0], timedelta(days=1))
    miss = trend.forecast.first_miss
    end = min(max(miss, times[-1]), times[-1] + _AHEAD * past) if miss else times[-1]
    highest = max(*(point.seconds for point in trend.points), trend.target, 1) if trend.points else max(trend.target, 1)
    return _Scale(times[0], max(end - times[0], timedelta(days=1)), min(highest, _MOST_SECONDS) * 1.1)


def _axes(scale: _Scale) -> Iterator[Element]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    yield element("line", x1=_LEFT, y1=bottom, x2=right, y2=bottom, class_="axis")
    yield element("line", x1=_LEFT, y1=_TOP, x2=_LEFT, y2=bottom, class_="axis")
    yield element("text", "0 s", x=_LEFT - 6, y=bottom, text_anchor="end")
    yield element("text", f"{scale.most / 1.1:.0f} s", x=_LEFT - 6, y=scale.y(scale.most / 1.1) + 4, text_anchor="end")
    yield element("text", f"{scale.begins:%Y-%m-%d}", x=_LEFT, y=HEIGHT - 10)
    yield element("text", f"{scale.begins + scale.span:%Y-%m-%d}", x=right, y=HEIGHT - 10, text_anchor="end")


def _target(scale: _Scale, target: float) -> Iterator[Element]:
    at = scale.y(target)
    yield element("line", x1=_LEFT, y1=at, x2=WIDTH - _RIGHT, y2=at, class_="target")
    yield element("text", f"target {target:.0f} s", x=_LEFT + 6, y=at - 4, class_="target")


def _measured(scale: _Scale, points: Sequence[Point]) -> Iterator[Element]:
    if not points:
        yield element("text", "no drill came to its end", x=WIDTH / 2, y=HEIGHT / 2, text_anchor="middle")
        return
    places = " ".join(f"{scale.x(point.at):.1f},{scale.y(point.seconds):.1f}" for point in points)
    yield element("polyline", points=places, class_="measured")
    for point in points:
        told = element("title", f"{point.at:%Y-%m-%d %H:%M}: {point.seconds:.1f} s")
        yield element("circle", told, cx=scale.x(point.at), cy=scale.y(point.seconds), r=3)


def _ahead(scale: _Scale, trend: Trend) -> Iterator[Element]:
    """Draw the line on from the last point, as far as the plot reaches."""
    per_day, miss = trend.forecast.per_day, trend.forecast.first_miss
    if per_day is None or miss is None:
        return
    last = trend.points[-1]
    end = min(miss, scale.begins + scale.span)
    reached = last.seconds + (trend.target - last.seconds) * (
        (end - last.at) / max(miss - last.at, timedelta(seconds=1))
    )
    ends = {"x2": scale.x(end), "y2": scale.y(max(reached, 0))}
    yield element("line", x1=scale.x(last.at), y1=scale.y(last.seconds), **ends, class_="ahead")
