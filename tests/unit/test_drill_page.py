"""The page of a drill: whatever a host says in it stays text, and it needs nothing else."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.domain.drill import Drill, trends
from remediate.domain.report import DrillReport
from remediate.domain.text import printable_lines
from remediate.interfaces.drill_page import drill_page
from remediate.interfaces.drill_plot import HEIGHT, WIDTH, trend_plot
from remediate.testing import EPOCH
from tests.builders import drill

#: Everything that the page is made of; nothing else comes into it, whatever stands in a report.
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "section", "span", "table", "tr"),
    *("th", "td", "svg", "line", "text", "circle", "polyline"),
}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><script>alert(1)</script>",
    "</title></svg><iframe src=//evil.example>",
    "<a href='javascript:alert(1)'>click</a>",
    "&lt;script&gt; &#60;b&#62;",
    "]]><!--<!DOCTYPE x [<!ENTITY e 'x'>]>",
    "a\x00\x1b[31m\ud800\u202eb",
    "{{ 7*7 }}${7*7}",
]


class Reader(HTMLParser):
    """Reads a page as a browser would, as far as elements go."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: dict[str, set[str]] = {}
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def page_of(*reports: DrillReport) -> str:
    drills = [Drill(run_id="20260105-030000-bcdf", host="mentat", report=report) for report in reports]
    return drill_page(drills[-1], *trends(drills))


def hostile(text: str) -> DrillReport:
    return drill(
        text,
        reason=text,
        backup={"id": text, "snapshot": text, "repository": text},
        passed_over=[{"id": text, "reason": text}],
        position=text,
        tools={text: text},
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_a_host_says_stays_text(text: str) -> None:
    page = page_of(hostile(text))
    found = read(page)

    assert page == printable_lines(page), "no invisible character comes into it"
    assert found.tags <= TAGS
    assert not {"src", "href", "onerror", "action", "srcdoc"} & set(found.attributes)
    assert not [name for name in found.attributes if name.startswith("on")]
    visible = re.sub(r"[^\x20-\x7e]", "", text)
    assert re.sub(r"[^\x20-\x7e]", "", found.text).count(visible) >= 6


@given(st.text(max_size=50))
def test_no_text_makes_an_element_or_an_attribute_of_its_own(text: str) -> None:
    usual, found = read(page_of(hostile("x"))), read(page_of(hostile(text)))

    assert found.tags == usual.tags
    assert set(found.attributes) == set(usual.attributes)


def test_the_page_names_no_address_and_lets_a_browser_do_nothing() -> None:
    page = page_of(hostile("https://evil.example/x"), drill())
    found = read(page)

    assert not re.search(r"https?:|//|url\(|@import|data:", page_of(drill()))
    assert "default-src 'none'" in " ".join(found.attributes["content"])
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_the_evidence_is_there() -> None:
    text = read(
        page_of(drill(passed_over=[{"id": "b-2", "reason": "cut short"}], rto_seconds=2000, verdict="RTO_MISS"))
    ).text

    for told in ("b-1", "off", "mariadb-bin.000004:1234", "3 of 12", "b-2", "cut short", "restic 0.18.0", "RTO_MISS"):
        assert told in text
    assert "2000.0 s1800 sMISSED" in text
    assert "60.0 s900 skept" in text
    assert "fetch60.01.0 MiB" in text
    assert "RTO: missed already" in text
    # 60 s for 1 MiB, and 40 s of the log besides.
    assert "by the rates of these 1.0 MiB, 50.0 GiB take 35.556 d; 29.3 MiB are back within 30 min" in text


def monthly(*seconds: float) -> list[Drill]:
    moments = [EPOCH + timedelta(days=30 * number) for number in range(len(seconds))]
    reports = [drill(rto_seconds=value, began=at.timestamp()) for value, at in zip(seconds, moments, strict=True)]
    return [Drill(run_id="r", host="mentat", report=report) for report in reports]


@pytest.mark.parametrize(
    ("seconds", "circles", "ahead"),
    [((), 0, 0), ((100,), 1, 0), ((100, 100, 100), 3, 0), ((1000, 1200, 1400), 3, 1), ((1e300, 5, 1e-300), 3, 0)],
)
def test_a_plot_shows_every_point_within_its_frame_and_where_it_is_going(
    seconds: tuple[float, ...], circles: int, ahead: int
) -> None:
    rto, _ = trends(monthly(*seconds))
    plot = trend_plot("RTO", rto)

    assert len(plot.findall("circle")) == circles
    assert len([line for line in plot.findall("line") if line.get("class") == "ahead"]) == ahead
    assert len([line for line in plot.findall("line") if line.get("class") == "target"]) == 1
    for one in plot.iter():
        for name, limit in {"cx": WIDTH, "x1": WIDTH, "x2": WIDTH, "cy": HEIGHT, "y1": HEIGHT, "y2": HEIGHT}.items():
            assert 0 <= float(one.get(name, "0")) <= limit
    assert "nan" not in "".join(plot.itertext())


def test_the_line_ahead_meets_the_target_on_the_day_of_the_first_miss() -> None:
    rto, _ = trends(monthly(1000, 1200, 1400))
    plot = trend_plot("RTO", rto)
    (ahead,) = [line for line in plot.findall("line") if line.get("class") == "ahead"]
    (target,) = [line for line in plot.findall("line") if line.get("class") == "target"]

    assert ahead.get("y2") == target.get("y1")
    assert float(ahead.get("x2", "0")) == WIDTH - 20
