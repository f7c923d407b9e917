"""What the campaign of rollouts takes for a loss, and when it has seen enough."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from cluster.shell import Failure, run
from load.report import Span
from load.steady import OK, Result
from prove import rollout

TRIAL = {"orders": {"by_tries": {"1": 9}, "server_errors": {}}, "late_p99_ms": 3.0, "facts": {}, "streams": {"GET": {}}}
KILL = Span("kill", 100, 100.01)
TWO_TRIES = {"orders": {"by_tries": {"1": 9, "2": 1}, "server_errors": {}}}


def results(*outcomes: tuple[float, str]) -> list[Result]:
    return [Result("GET", due, 0.5, outcome, 0.0) for due, outcome in outcomes]


def trial(name: str, requests: int, *noticed: str) -> dict[str, Any]:
    return {"operation": name, "requests": requests, "noticed": noticed}


@pytest.mark.parametrize(
    ("operation", "changes", "found", "kills", "noticed"),
    [
        ("rollouts", {}, [(1, OK), (2, OK)], [], []),
        ("rollouts", {}, [(1, OK), (2, "dropped")], [], ["GET at 2.00, 0.50 s: dropped"]),
        ("kill_pods", {}, [(99.8, "dropped"), (99.9, "status 502")], [KILL], []),
        ("kill_pods", {}, [(101, "status 502")], [KILL], ["GET at 101.00, 0.50 s: status 502"]),
        ("rollouts", TWO_TRIES, [], [], ["orders: {'1': 9, '2': 1} tries; expected at most 1"]),
        ("drain", TWO_TRIES, [], [], ["orders: {'1': 9, '2': 1} tries; expected at most 1"]),
        ("drain", TWO_TRIES | {"facts": {"ingress_pods": ["a"]}}, [], [], []),
        ("drain", {"facts": {"ingress_pods": ["a"]}}, [(2, "dropped")], [], ["GET at 2.00, 0.50 s: dropped"]),
        ("scale", {"streams": {}}, [], [], ["GET: was not asked for once"]),
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
    one = TRIAL | changes
    assert rollout.verdict(rollout.OPERATIONS[operation], one, results(*found), kills, ["GET"]) == noticed


def test_rollouts_go_on_until_there_were_requests_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "REQUESTS", 300)
    found = [trial("scale", 100)]
    order = []
    for name in islice(rollout.names(found, ["rollouts", "scale"]), 10):
        order.append(name)
        found.append(trial(name, 80))
    assert order == ["rollouts", "rollouts/2", "rollouts/3"]
    assert list(rollout.names(found, ["rollouts", "scale"])) == []


def test_what_may_be_lost_or_was_lost_is_no_proof() -> None:
    assert rollout.counted([trial("drain", 1), trial("kill_pods", 10), trial("rollouts/2", 100, "dropped")]) == 1


def test_what_went_wrong_is_done_again_and_a_further_rollout_that_does_is_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rollout, "REQUESTS", 300)
    found = [trial("scale", 100, "dropped"), trial("rollouts", 100), trial("rollouts/2", 100)]
    order = []
    for name in islice(rollout.names(found, ["scale", "rollouts"]), 10):
        order.append(name)
        found.append(trial(name, 100, "dropped"))
    assert order == ["scale", "rollouts/3"]
    assert next(rollout.names(found, ["rollouts"])) == "rollouts/3"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, as in a container")
def test_a_kill_waits_until_who_is_killed_is_gone_and_says_when_it_was() -> None:
    victims = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    reapers = [threading.Thread(target=victim.wait) for victim in victims]
    for one in reapers:
        one.start()
    before = time.time()
    said = run(["sh", "-ec", f"set -- {' '.join(str(one.pid) for one in victims)}; {rollout.KILL}"])
    begin, end = map(float, said.split())
    assert before <= begin <= end <= time.time()
    assert not any(Path(f"/proc/{one.pid}").exists() for one in victims)
    with pytest.raises(Failure):
        run(["sh", "-ec", f"set --; {rollout.KILL}"])


def test_the_processes_of_a_container_are_found_but_the_first_and_who_asks() -> None:
    found = run(["sh", "-ec", f'{rollout.WORKERS}; echo $$ "$@"']).split()
    assert {found[0], "1"}.isdisjoint(found[1:])
    assert str(os.getpid()) in found


def test_what_is_left_out_is_not_made_up_for() -> None:
    assert list(rollout.names([trial("scale", 1)], ["scale"])) == []


def test_the_table_has_a_line_for_each_operation() -> None:
    figures = {"p50_ms": 4.0, "p99_ms": 20.0}
    spans = dict.fromkeys(("before", "during", "after"), figures)
    one = {**TRIAL, "operation": "drain", "requests": 7, "failed": {"dropped": 2}, "spans": spans}
    one["orders"] = {"by_tries": {"1": 3}, "requests": 3}
    assert rollout.table([one])[1].split() == [
        "drain", "7", "2", "3", "1", "4.0,", "4.0,", "4.0", "20.0,", "20.0,", "20.0",
    ]  # fmt: skip
