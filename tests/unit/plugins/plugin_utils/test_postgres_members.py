"""The cluster's state from its pods."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.postgres_members import (
    cluster_state,
    member,
    restart_order,
)


def pod(ordinal: int, **changed: Any) -> dict[str, Any]:
    """Return a pod of a healthy cluster of which 0 is the primary, changed by role, ready, said, revision, more."""
    role = changed.get("role", "primary" if ordinal == 0 else "replica")
    said: dict[str, Any] = {"state": "running", "role": role, "timeline": 4}
    if role == "replica":
        said["replication_state"] = "streaming"
    said.update(changed.get("said", {}))
    metadata: dict[str, Any] = {
        "name": f"postgres-{ordinal}",
        "labels": {"controller-revision-hash": changed.get("revision", "new"), **({"role": role} if role else {})},
        "annotations": {"status": changed.get("annotation", json.dumps(said))},
    }
    if changed.get("deleting"):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    conditions = [{"type": "Ready", "status": "True" if changed.get("ready", True) else "False"}]
    return {"metadata": metadata, "status": {"conditions": conditions, **changed.get("status", {})}}


HEALTHY = [pod(0), pod(1), pod(2)]
UNSCHEDULED = {"conditions": [{"type": "PodScheduled", "status": "False", "message": "no volume"}]}
NO_IMAGE = {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}


@pytest.mark.parametrize(
    ("pods", "replicas", "primary", "problems"),
    [
        (HEALTHY, 3, "postgres-0", []),
        (HEALTHY, 1, "postgres-0", []),
        ([pod(0)], 1, "postgres-0", []),
        ([], 1, "", ["postgres-0 has no pod", "there is no primary"]),
        ([pod(0), pod(1)], 3, "postgres-0", ["postgres-2 has no pod"]),
        ([pod(0), pod(1, ready=False)], 2, "postgres-0", ["postgres-1 is running, not ready"]),
        ([pod(0), pod(1, deleting=True)], 2, "postgres-0", ["postgres-1 is being deleted"]),
        (
            [pod(0, deleting=True), pod(1)],
            2,
            "",
            ["postgres-0 is being deleted", "there is no primary"],
        ),
        (
            [pod(0), pod(1, said={"replication_state": ""})],
            2,
            "postgres-0",
            ["postgres-1 is running, replication not started"],
        ),
        (
            [pod(0), pod(1, role="", ready=False, said={"state": "creating replica"})],
            2,
            "postgres-0",
            ["postgres-1 is creating replica, not ready"],
        ),
        (
            [pod(0), pod(1, role="", annotation="{}", ready=False, status=UNSCHEDULED)],
            2,
            "postgres-0",
            ["postgres-1 is not scheduled (no volume)"],
        ),
        (
            [pod(0), pod(1, role="", annotation="not json", ready=False, status=NO_IMAGE)],
            2,
            "postgres-0",
            ["postgres-1 is ImagePullBackOff"],
        ),
        (
            [pod(0), pod(1, role="primary")],
            2,
            "",
            ["postgres-0 and postgres-1 are both labelled primary"],
        ),
        (
            [pod(0), pod(1, said={"timeline": 3})],
            2,
            "postgres-0",
            ["postgres-1 is on timeline 3, the primary on 4"],
        ),
    ],
)
def test_state(pods: list[dict[str, Any]], replicas: int, primary: str, problems: list[str]) -> None:
    state = cluster_state(pods, replicas)
    assert (state["primary"], state["problems"]) == (primary, problems)


@pytest.mark.parametrize(
    ("pods", "replicas", "goes", "candidate"),
    [
        (HEALTHY, 3, False, "postgres-1"),
        (HEALTHY, 1, False, ""),
        ([pod(0, role="replica"), pod(1), pod(2, role="primary")], 2, True, "postgres-0"),
        ([pod(0, role="replica", ready=False), pod(1), pod(2, role="primary")], 2, True, "postgres-1"),
        ([pod(0), pod(1, ready=False)], 2, False, ""),
        ([], 1, False, ""),
    ],
)
def test_switchover(pods: list[dict[str, Any]], replicas: int, goes: bool, candidate: str) -> None:  # noqa: FBT001
    state = cluster_state(pods, replicas)
    assert (state["primary_goes"], state["candidate"]) == (goes, candidate)


def test_pending_restarts_name_standbys_first() -> None:
    pending = {"pending_restart": True}
    state = cluster_state([pod(0, said=pending), pod(1), pod(2, said=pending)], 3)
    assert state["pending_restart"] == ["postgres-2", "postgres-0"]


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        (HEALTHY, []),
        (
            [pod(0, revision="old"), pod(1, revision="old"), pod(2, revision="old")],
            ["postgres-2", "postgres-1", "postgres-0"],
        ),
        (
            [pod(0, role="replica", revision="old"), pod(1, role="primary", revision="old"), pod(2)],
            ["postgres-0", "postgres-1"],
        ),
        ([pod(0), pod(1, revision="old"), pod(2)], ["postgres-1"]),
    ],
)
def test_restart_order(pods: list[dict[str, Any]], expected: list[str]) -> None:
    assert restart_order(cluster_state(pods, 3), "new") == expected


def test_progress_is_one_line() -> None:
    assert cluster_state([pod(1), pod(0)], 2)["progress"] == "postgres-0 primary, postgres-1 streaming"
    assert cluster_state([], 2)["progress"] == "no pods yet"


def test_members_with_two_digits_are_in_order() -> None:
    pods = [pod(0), *(pod(number) for number in (10, 9, 2))]
    assert [one["name"] for one in cluster_state(pods, 1)["members"]] == [
        f"postgres-{number}" for number in (0, 2, 9, 10)
    ]


def test_a_pod_that_says_nothing_yet() -> None:
    found = member({"metadata": {"name": "postgres-7"}})
    assert (found.ordinal, found.state, found.working) == (7, "unknown", False)
