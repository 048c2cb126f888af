"""The evidence of one drill as one page: what was restored, how long that took, and where it is going."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from xml.etree.ElementTree import Element

from remediate.domain.drill import MODEL_BYTES, Drill, Model, Trend, model_of, report_digest
from remediate.domain.report import DrillReport, DrillVerdict
from remediate.domain.text import size
from remediate.domain.times import moment, span
from remediate.interfaces.drill_plot import trend_plot
from remediate.interfaces.element import Child, element, page

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #1c2127 }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #d8dde3; overflow-wrap: anywhere }
td.number { text-align: right; font-variant-numeric: tabular-nums }
.good { color: #146c2e } .bad { color: #b3261e }
svg { width: 100%; height: auto; font-size: 11px } svg text { fill: #57606a }
.axis { stroke: #8b949e } .target { stroke: #b3261e; stroke-dasharray: 6 4 } text.target { stroke: none; fill: #b3261e }
.measured { fill: none; stroke: #0b57d0; stroke-width: 2 } circle { fill: #0b57d0 }
.ahead { stroke: #0b57d0; stroke-width: 2; stroke-dasharray: 2 4 }
"""


def drill_page(drill: Drill, rto: Trend, rpo: Trend) -> str:
    """Return the page of a drill, with the trends of its source; it needs no other file, and no script is in it."""
    report = drill.report
    good = "good" if report.verdict is DrillVerdict.PASS else "bad"
    return page(
        f"Restore of {report.source}: {report.verdict.value}",
        _STYLE,
        element("h1", f"Restore of {report.source}: ", element("span", report.verdict.value, class_=good)),
        element("p", report.reason),
        *_section("What was restored", _rows(_restored(drill))),
        *_section("How long it took", _phases(report), _targets(report), *_model(report)),
        *_section("Where it is going", *_trend("RTO", rto), *_trend("RPO", rpo)),
        *_section("Evidence", _rows(_evidence(drill))),
    )


def _section(title: str, *children: Child) -> Iterator[Element]:
    yield element("h2", title)
    yield element("section", *children)


def _rows(rows: Sequence[tuple[str, str]]) -> Element:
    return element("table", *(element("tr", element("th", name), element("td", value)) for name, value in rows))


def _restored(drill: Drill) -> list[tuple[str, str]]:
    report, backup = drill.report, drill.report.backup
    return [
        ("Source", report.source),
        ("Restored on", drill.host),
        ("Backup", f"{backup.id} (snapshot {backup.snapshot}, repository {backup.repository})"),
        ("Up to", report.position or "-"),
        ("Tables compared", f"{report.tables_compared} of {report.tables_total}"),
        *((f"Passed over: {one.id}", one.reason) for one in report.passed_over),
    ]


def _phases(report: DrillReport) -> Element:
    head = element("tr", element("th", "Phase"), element("th", "Seconds"), element("th", "Bytes"))
    rows = (
        element(
            "tr",
            element("td", phase.name),
            element("td", f"{phase.seconds:.1f}", class_="number"),
            element("td", size(phase.bytes), class_="number"),
        )
        for phase in report.phases
    )
    return element("table", head, *rows)


def _targets(report: DrillReport) -> Element:
    head = element("tr", *(element("th", name) for name in ("", "Measured", "Target", "")))
    return element(
        "table",
        head,
        _against("RTO: until it is back", report.rto_seconds, report.rto_target),
        _against("RPO: what would be lost", report.rpo_seconds, report.rpo_target),
    )


def _against(name: str, seconds: float, target: float) -> Element:
    kept = seconds <= target
    return element(
        "tr",
        element("th", name),
        element("td", f"{seconds:.1f} s", class_="number"),
        element("td", f"{target:.0f} s", class_="number"),
        element("td", "kept" if kept else "MISSED", class_="good" if kept else "bad"),
    )


def _model(report: DrillReport) -> Iterator[Element]:
    if model := model_of(report):
        yield element("p", model_words(model, report.rto_target))


def model_words(model: Model, target: float) -> str:
    """Return what the rates of a drill say about other sizes, and how much of it is back within the target, seconds."""
    whole = span(timedelta(seconds=round(min(model.seconds(MODEL_BYTES), 1e9))))
    within = span(timedelta(seconds=round(min(target, 1e9))))
    return (
        f"by the rates of these {size(model.measured)}, {size(MODEL_BYTES)} take {whole}; "
        f"{size(model.largest(target))} are back within {within}"
    )


def _trend(name: str, trend: Trend) -> Iterator[Element]:
    yield element("h3", f"{name}: {trend.forecast.words}")
    yield trend_plot(name, trend)


def _evidence(drill: Drill) -> list[tuple[str, str]]:
    report = drill.report
    return [
        ("Run", drill.run_id),
        ("Ended", moment(drill.ended_at)),
        ("Tools", ", ".join(f"{name} {version}" for name, version in sorted(report.tools.items())) or "-"),
        ("sha256 of the report", f"{report_digest(report)}: the audit trail holds it too"),
    ]
