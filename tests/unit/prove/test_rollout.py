"""What the campaign of rollouts takes for a loss, and when it has seen enough."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from load.report import Span
from load.steady import OK, Result
from prove import rollout

TRIAL = {"orders": {"by_tries": {"1": 9}, "server_errors": {}}, "late_p99_ms": 3.0}
KILL = Span("kill", 100, 100.5)


def results(*outcomes: tuple[float, str]) -> list[Result]:
    return [Result("GET", due, 0.5, outcome, 0.0) for due, outcome in outcomes]


@pytest.mark.parametrize(
    ("operation", "changes", "found", "kills", "noticed"),
    [
        ("rollouts", {}, [(1, OK), (2, OK)], [], []),
        ("rollouts", {}, [(1, OK), (2, "dropped")], [], ["GET at 2.00, 0.50 s: dropped"]),
        ("kill_pods", {}, [(99.8, "dropped"), (100.2, "status 502")], [KILL], []),
        ("kill_pods", {}, [(101, "status 502")], [KILL], ["GET at 101.00, 0.50 s: status 502"]),
        (
            "rollouts",
            {"orders": {"by_tries": {"1": 9, "2": 1}, "server_errors": {}}},
            [],
            [],
            ["orders: {'1': 9, '2': 1} tries; expected at most 1"],
        ),
        ("kill_pods", {"orders": {"by_tries": {"2": 1}, "server_errors": {}}}, [], [], []),
        ("kill_pods", {"orders": {"by_tries": {}, "server_errors": {"500": 1}}}, [], [], ["orders: {'500': 1}"]),
        (
            "scale",
            {"late_p99_ms": 1500},
            [],
            [],
            ["the load began its requests up to 1500 ms late: this machine is too busy"],
        ),
    ],
)
def test_what_customers_notice(
    operation: str, changes: dict[str, Any], found: list[tuple[float, str]], kills: list[Span], noticed: list[str]
) -> None:
    assert rollout.verdict(rollout.OPERATIONS[operation], TRIAL | changes, results(*found), kills) == noticed


def test_rollouts_go_on_until_there_were_requests_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "REQUESTS", 300)
    found: list[dict[str, Any]] = [{"operation": "scale", "requests": 100}]
    order = []
    for name in islice(rollout.names(found, ["rollouts", "scale"]), 10):
        order.append(name)
        found.append({"operation": name, "requests": 80})
    assert order == ["rollouts", "rollouts/2", "rollouts/3"]
    assert list(rollout.names(found, ["rollouts", "scale"])) == []


def test_what_is_left_out_is_not_made_up_for() -> None:
    assert list(rollout.names([{"operation": "scale", "requests": 1}], ["scale"])) == []


def test_the_table_has_a_line_for_each_operation() -> None:
    figures = {"p50_ms": 4.0, "p99_ms": 20.0}
    spans = dict.fromkeys(("before", "during", "after"), figures)
    trial = {**TRIAL, "operation": "drain", "requests": 7, "failed": {"dropped": 2}, "spans": spans}
    trial["orders"] = {"by_tries": {"1": 3}, "requests": 3}
    assert rollout.table([trial])[1].split() == [
        "drain", "7", "2", "3", "1", "4.0,", "4.0,", "4.0", "20.0,", "20.0,", "20.0",
    ]  # fmt: skip
