"""What a failed wait tells a person: pods that aren't ready and why, the warnings about them, whose logs to read."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.readiness import pod_problems, unready_containers


def pod(name: str = "web", phase: str = "Running", **statuses: list[dict[str, Any]]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"phase": phase, **statuses}}


def container(name: str = "web", *, ready: bool = False, **state: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "ready": ready, "state": state, "started": "running" in state}


def warning(kind: str, name: str, message: str, when: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    involved = {"kind": kind, "name": name}
    return {"type": "Warning", "involvedObject": involved, "reason": "Why", "message": message, "lastTimestamp": when}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (pod(containerStatuses=[container(ready=True, running={})]), []),
        (pod(containerStatuses=[container(running={})]), ["pod web is Running: web: not ready"]),
        (
            pod(containerStatuses=[container(waiting={"reason": "ImagePullBackOff", "message": "no such tag"})]),
            ["pod web is Running: web: ImagePullBackOff no such tag"],
        ),
        (pod(phase="Pending"), ["pod web is Pending: not scheduled"]),
        (
            pod(phase="Failed", initContainerStatuses=[container("migrate", terminated={"reason": "Error"})]),
            ["pod web is Failed: migrate: Error"],
        ),
        (pod(phase="Succeeded", containerStatuses=[container(terminated={"reason": "Completed"})]), []),
    ],
)
def test_pods(status: dict[str, Any], expected: list[str]) -> None:
    assert pod_problems([status], []) == expected


def test_warnings_about_pods_that_are_gone_are_left_out_and_the_newest_comes_last() -> None:
    events = [
        warning("Pod", "web", "newer", "2026-01-01T00:00:02Z"),
        warning("Pod", "gone", "of another time"),
        warning("Job", "migrate", "older", "2026-01-01T00:00:01Z"),
        {**warning("Pod", "web", "normal"), "type": "Normal"},
    ]
    healthy = pod(containerStatuses=[container(ready=True, running={})])
    assert pod_problems([healthy], events) == ["Job migrate: Why: older", "Pod web: Why: newer"]


def test_logs_are_read_of_what_started_and_is_not_ready() -> None:
    statuses = [container("running", running={}), container("waiting", waiting={"reason": "PodInitializing"})]
    failed = [
        container("migrate", terminated={"reason": "Error"}),
        container("seed", terminated={"reason": "Completed"}),
    ]
    found = unready_containers([pod(initContainerStatuses=failed, containerStatuses=statuses)])
    assert [item["container"] for item in found] == ["migrate", "running"]
