"""The report: one file that fetches nothing, with plots of what was judged."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from datetime import datetime
from pathlib import Path

import pytest

from jobs.monitoring.performance.judge import judge_performance
from jobs.monitoring.report.report import write_report
from jobs.monitoring.report.svg import Line, Plot, bars_beside, lines_over_pages
from jobs.suite import Suite
from tests.command_line import almanac, said
from tests.conftest import PAGE, PRODUCT
from warehouse.errors import UsageError


def test_a_report_is_one_file_that_fetches_nothing(published: Suite, tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    nothing = almanac(published.root, "report", PRODUCT, "--output", str(output))
    assert nothing.returncode == 2
    assert "almanac monitor late_order" in nothing.stderr
    assert not output.exists()
    judge_performance(published, PRODUCT)
    assert "Wrote" in said(published.root, "report", PRODUCT, "--output", str(output))
    text = output.read_text()
    assert not re.search(r"https?:|src=|href=|url\(|@import|<script|<link", text)
    for heading in ("Alarms", "Performance", "Drift", "Fairness", "No alarm."):
        assert heading in text
    plots = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) >= 5
    for plot in plots:
        ElementTree.fromstring(plot)
    assert str(PAGE) in text
    with pytest.raises(UsageError, match="nothing was judged"):
        write_report(published, PRODUCT, output, first=datetime(2027, 1, 1))
    with pytest.raises(UsageError, match="cannot be written"):
        write_report(published, PRODUCT, tmp_path / "no" / "report.html")


def test_a_plot_shows_each_known_value_breaks_where_none_is_and_escapes_names() -> None:
    line = Line("a < b", [1.0, None, 3.0, 2.0], [0.5, None, 2.0, 1.0], [1.5, None, 4.0, 3.0])
    drawn = lines_over_pages(Plot("1 & 2", ["p1", "p2", "p3", "p4"], [line], ("bound", 2.5), marked=[2]))
    root = ElementTree.fromstring(drawn)
    assert len(root.findall(".//circle")) == 3
    assert len(root.findall(".//polyline")) == len(root.findall(".//polygon")) == 2
    # Higher values stand higher.
    heights = [float(circle.attrib["cy"]) for circle in root.findall(".//circle")]
    assert heights[1] < heights[2] < heights[0]
    assert len(root.findall(".//line[@class='mark']")) == len(root.findall(".//line[@class='level']")) == 1
    assert lines_over_pages(Plot("none", ["p"], [Line("x", [None])])) == ""
    bars = ElementTree.fromstring(bars_beside("<x>", ["low", "(new)"], [0.5, 0.5], [1.0, 0.0]))
    widths = [float(bar.attrib["width"]) for bar in bars.findall(".//rect")]
    assert widths[0] == pytest.approx(widths[2])
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.01)
    assert widths[3] == 0.0
