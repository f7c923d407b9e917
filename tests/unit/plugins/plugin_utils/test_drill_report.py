"""The report of drills: what fails one, and a page that is well-formed whatever a record holds."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from ansible_collections.cryptoexchange.platform.plugins.filter.drill_report import drill_report
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import drill_report as report

LIMITS = {"switchover": 5.0}
GOOD: dict[str, Any] = {
    "fault": "switchover",
    "started": "2026-01-02T03:04:05+00:00",
    "primary": "postgres-0",
    "new_primary": "postgres-1",
    "gap_seconds": 2.4,
    "resumed_after_seconds": 3.1,
    "acknowledged": 600,
    "failed": 12,
    "failed_after_resume": 0,
    "failed_on_used_port": 0,
    "errors": {"connection <refused> & gone": 12},
    "lost": [],
    "overlaps": [],
    "kept_unacknowledged": 1,
    "latency_ms": {"before": {"median": 21.0, "p95": 40.0}, "after": {}},
    "old_primary_back_seconds": 6.0,
    "two_labels_seconds": 0.0,
    "writes": [[-4.0, 0.02, ""], [0.5, 2.0, "connection <refused> & gone"], [3.0, 0.1, ""]],
    "roles": [
        [-4.0, 1.0, {"postgres-0": "primary", "postgres-1": "replica"}],
        [1.0, 9.0, {"postgres-0": "", "postgres-1": "primary"}],
    ],
}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, ""),
        ({"lost": ["main-7", "main-8"]}, "2 acknowledged writes were lost, the first of them main-7"),
        ({"overlaps": ["beside-9"]}, "two primaries acknowledged writes at once, such as beside-9"),
        ({"new_primary": "postgres-0"}, "postgres-0 is still the primary"),
        ({"old_primary_back_seconds": None}, "postgres-0 did not come back as a standby"),
        ({"gap_seconds": 5.2}, "writes paused for 5.2 s, longer than 5 s"),
        ({"resumed_after_seconds": None}, "writes did not resume"),
        ({"problem": "there is no standby"}, "there is no standby"),
    ],
)
def test_what_fails_a_drill(change: dict[str, Any], problem: str) -> None:
    trial = GOOD | change
    assert report.problems(trial, LIMITS) == ([problem] if problem else [])
    assert ("FAILED" if problem else "passed") in report.table([trial], LIMITS)[1]


def test_a_fault_without_a_limit_has_none() -> None:
    assert report.problems(GOOD | {"gap_seconds": 99.0}, {}) == []


def test_the_plot_shows_every_attempt_and_every_role() -> None:
    drawing = ET.fromstring(report.plot(GOOD))  # noqa: S314  # ours
    assert len(drawing.findall("circle")) == 2
    assert [path.findtext("title") for path in drawing.findall("path")] == ["connection <refused> & gone"]
    titles = [rect.findtext("title") for rect in drawing.findall("rect")]
    assert "postgres-1: primary, 1.0 s to 9.0 s" in titles
    assert "postgres-0: no role, 1.0 s to 9.0 s" in titles
    assert titles.count(None) == 1  # the pause


def test_the_page_escapes_what_it_quotes() -> None:
    page = report.page([GOOD, {"fault": "node_loss", "problem": "<b>no</b>"}], LIMITS, "Drills on <x>", {})
    assert "<refused>" not in page
    assert "<b>no</b>" not in page
    assert "Drills on &lt;x&gt;" in page


def test_a_drill_that_could_not_be_carried_out_is_in_the_table() -> None:
    lines = report.table([GOOD, {"fault": "node_loss", "problem": "no node"}], LIMITS)
    assert lines[-1] == "node_loss: no node"


@pytest.mark.parametrize(
    ("trials", "others", "problems", "first"),
    [
        ([GOOD], {}, [], "drill "),
        ([], {"isolation": {"problems": [], "table": ["all <well>"]}}, [], "all <well>"),
        (
            [GOOD],
            {"isolation": {"problems": ["a reached b"], "table": ["WRONG"]}, "alert": {"problems": [], "table": []}},
            ["isolation: a reached b"],
            "drill ",
        ),
        ([], {"alert": {"problems": ["nothing came"], "table": ["none"]}}, ["alert: nothing came"], "none"),
    ],
)
def test_other_drills_are_part_of_the_report(
    trials: list[dict[str, Any]], others: dict[str, Any], problems: list[str], first: str
) -> None:
    found = drill_report(trials, LIMITS, "Drills", others)
    assert found["problems"] == problems
    assert found["table"][0].startswith(first)
    assert {name for name in ("isolation", "alert") if f"<h2>{name}:" in found["page"]} == others.keys()
    assert "<well>" not in found["page"]
    assert ("A writer" in found["page"]) == bool(trials)
