"""Faults: a node that is held is let go in any case, and the names of faults are the same everywhere."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.drill_cluster import DrillError
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.drill_faults import (
    FAULTS,
    Nodes,
    Scene,
    down_for,
    held_back,
    restarts,
)

PROJECT = Path(__file__).resolve().parents[4]
HOLD, RELEASE = ["sh", "-c", "echo held >>$0", "{node}"], ["sh", "-c", "echo released >>$0", "{node}"]


def words(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def test_a_node_is_let_go_by_itself_when_nobody_does(tmp_path: Path) -> None:
    node = tmp_path / "node"
    Nodes(longest_seconds=1).hold(str(node), HOLD, RELEASE)
    assert words(node) == ["held"]
    deadline = time.monotonic() + 20
    while words(node) != ["held", "released"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_node_that_was_let_go_is_left_alone(tmp_path: Path) -> None:
    node = tmp_path / "node"
    nodes = Nodes(longest_seconds=1)
    nodes.hold(str(node), HOLD, RELEASE)
    nodes.release(str(node), RELEASE)
    time.sleep(1.5)
    assert words(node) == ["held", "released"]


def test_a_command_that_fails_is_named() -> None:
    with pytest.raises(DrillError, match="no-such-command node-1 failed"):
        Nodes(longest_seconds=1).hold("node-1", ["no-such-command", "{node}"], ["true"])


def test_a_fault_frees_the_node_it_held(tmp_path: Path) -> None:
    node = tmp_path / "node"
    pods: dict[str, Any] = {"postgres-0": {"spec": {"nodeName": str(node)}}}
    cluster: Any = None
    scene = Scene(cluster, Nodes(freeze=HOLD, thaw=RELEASE), "postgres-0", [], pods)
    fault = FAULTS["node_loss"]()
    fault.begin(scene)
    fault.end(scene)
    assert words(node) == ["held", "released"]


def test_no_fault_lasts_longer_than_its_guard() -> None:
    assert [name for name, fault in FAULTS.items() if fault.hold_seconds >= Nodes().longest_seconds] == []


def test_the_drills_that_users_may_choose_exist() -> None:
    specs = yaml.safe_load((PROJECT / "roles" / "verify" / "meta" / "argument_specs.yml").read_text())
    options = specs["argument_specs"]["main"]["options"]
    disturbing = set(options["verify_drills"]["choices"]) - {"isolation", "alert", "logs"}
    assert disturbing <= set(FAULTS)
    assert set(options["verify_longest_pause_seconds"]["default"]) == disturbing


@pytest.mark.parametrize(
    ("status", "count"),
    [({}, 0), ({"containerStatuses": [{"restartCount": 2}, {"restartCount": 1}]}, 3)],
)
def test_restarts(status: dict[str, Any], count: int) -> None:
    assert restarts({"status": status}) == count


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("back-off 10s restarting failed container=postgres pod=postgres-0_exchange-database(1)", 10),
        ("back-off 1m20s restarting failed container=postgres pod=postgres-0_exchange-database(1)", 80),
        ("back-off 5m0s restarting failed container=postgres pod=postgres-0_exchange-database(1)", 300),
        ("ImagePullBackOff", 0),
        (None, 0),
    ],
)
def test_how_long_a_container_is_held_back(message: str | None, seconds: int) -> None:
    waiting = {"containerStatuses": [{"state": {"waiting": {"message": message}}}, {"state": {"running": {}}}]}
    assert held_back({"status": waiting}) == seconds


@pytest.mark.parametrize(
    ("state", "last", "seconds"),
    [
        (
            {"running": {"startedAt": "2026-01-01T00:00:32Z"}},
            {"terminated": {"finishedAt": "2026-01-01T00:00:02Z"}},
            30,
        ),
        ({"running": {"startedAt": "2026-01-01T00:00:02Z"}}, {"terminated": {"finishedAt": "2026-01-01T00:00:02Z"}}, 0),
        ({"running": {"startedAt": "2026-01-01T00:00:02Z"}}, {}, 0),
    ],
    ids=["held back", "started at once", "never ended"],
)
def test_how_long_a_container_was_down(state: dict[str, Any], last: dict[str, Any], seconds: float) -> None:
    assert down_for({"status": {"containerStatuses": [{"state": state, "lastState": last}]}}) == seconds


@pytest.mark.parametrize("state", [{"waiting": {"reason": "CrashLoopBackOff"}}, {"terminated": None}])
def test_a_container_that_is_down_has_been_so_until_now(state: dict[str, Any]) -> None:
    ended = {"terminated": {"finishedAt": "2026-01-01T00:00:02Z"}}
    assert down_for({"status": {"containerStatuses": [{"state": state, "lastState": ended}]}}) > 1000
