"""What is recorded of an objective and when it alerts. tests/unit/rules has the alerts fire."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import slo


def objective(**changed: Any) -> dict[str, Any]:
    good = {"name": "up", "objective_percent": 99.9, "window_days": 30, "good": "g[$window]", "total": "t[$window]"}
    return {**good, **changed}


@pytest.mark.parametrize(
    ("percent", "days", "expected"),
    [
        # The workbook's table.
        (99.9, 30, {"1h": 14.4, "6h": 6, "1d": 3, "3d": 1}),
        (99, 90, {"1h": 43.2, "6h": 18, "1d": 9, "3d": 3}),
        # A week's objective is kept while a tenth of the errors comes within three days.
        (99.9, 7, {"1h": 3.36, "6h": 1.4}),
        # Not even if everything fails are there 14.4 times a tenth of errors.
        (90, 30, {"6h": 6, "1d": 3, "3d": 1}),
    ],
)
def test_how_fast_is_too_fast(percent: float, days: int, expected: dict[str, float]) -> None:
    found = slo.burns(objective(objective_percent=percent, window_days=days))
    assert {burn.long: round(factor, 6) for burn, factor in found} == expected


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({}, set()),
        ({"objective_percent": 99.999}, set()),
        ({"objective_percent": 100}, {"objective_percent"}),
        ({"objective_percent": 0}, {"objective_percent"}),
        ({"objective_percent": -5}, {"objective_percent"}),
        ({"window_days": 6}, {"window_days"}),
        ({"window_days": 91}, {"window_days"}),
        ({"good": "g[5m]", "total": "t"}, {"good", "total"}),
    ],
)
def test_what_is_refused(changed: dict[str, Any], wrong: set[str]) -> None:
    assert set(slo.errors(objective(**changed))) == wrong


def test_every_series_that_a_rule_reads_is_recorded() -> None:
    made = slo.rules([objective(), objective(name="other", window_days=28)])
    for group in made["groups"]:
        recorded = {rule["record"] for rule in group["rules"] if "record" in rule}
        text = " ".join(rule["expr"] for rule in group["rules"])
        read = {word.split("{")[0].split("(")[-1] for word in text.split() if "slo:" in word}
        assert read <= recorded
    assert [group["name"] for group in made["groups"]] == ["objective-up", "objective-other"]


def test_queries_are_taken_as_they_are() -> None:
    (group,) = slo.rules([objective()])["groups"]
    records = {rule["record"]: rule["expr"] for rule in group["rules"] if "record" in rule}
    assert records["slo:total:rate5m"] == "t[5m]"
    assert records["slo:good:rate5m"] == "(g[5m]) or 0 * (t[5m])"
    assert records["slo:budget_left:ratio"].endswith("/ 0.001")
