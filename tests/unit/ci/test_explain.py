"""Why a version was not brought into service: kubectl itself looks, at a server that answers as the API does."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cluster import gobuild
from unit.ci.api import NAMESPACE, kubeconfig, serving

SCRIPTS = Path(__file__).resolve().parents[3] / "ci"
EXPLAIN = 'source "$1/cluster.sh" && source "$1/explain.sh" && explain "v2 was not brought into service"'
TRACEBACK = "Traceback (most recent call last):\n  File x\nRuntimeError: on purpose\n"
PULLING = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
FAILED, DONE, RUNS = {"terminated": {"exitCode": 1}}, {"terminated": {"exitCode": 0}}, {"running": {}}
INITIALIZING = {"waiting": {"reason": "PodInitializing"}}
CRASHING = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}

Object = dict[str, Any]


def pod(name: str, *, phase: str = "Running", ready: str = "False", **states: Any) -> Object:
    """Return a pod. States of containers by name; init_ before a name makes it an init container."""
    statuses: dict[str, list[Object]] = {"initContainerStatuses": [], "containerStatuses": []}
    containers: dict[str, list[Object]] = {"initContainers": [], "containers": []}
    for key, state in states.items():
        container = key.removeprefix("init_")
        first = key != container
        last = {"lastState": {"terminated": {"exitCode": 3}}} if state is CRASHING else {}
        statuses["initContainerStatuses" if first else "containerStatuses"].append(
            {"name": container, "state": state, **last}
        )
        containers["initContainers" if first else "containers"].append({"name": container, "image": "x"})
    labels = {"app.kubernetes.io/name": "exchange"}
    made = {"name": name, "namespace": NAMESPACE, "labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": made,
        "spec": containers,
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}], **statuses},
    }


def warning(about: str, reason: str, message: str, minute: int = 0) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{about}.{reason}.{minute}", "namespace": NAMESPACE},
        "type": "Warning",
        "involvedObject": {"kind": "Pod", "name": about, "namespace": NAMESPACE},
        "reason": reason,
        "message": message,
        "lastTimestamp": f"2026-01-01T00:{minute:02}:00Z",
    }


GOOD = pod("exchange-web-old", ready="True", web=RUNS)
MIGRATED = pod("exchange-migrate-old", phase="Succeeded", init_migrate=DONE, **{"create-admin": DONE})
UNHEALTHY = "Readiness probe failed: HTTP probe failed with statuscode: 503"
CASES: dict[str, tuple[list[Object], dict[tuple[str, str], str], str]] = {
    "a readiness that fails": (
        [
            pod("exchange-web-new", web=RUNS),
            warning("exchange-web-new", "FailedMount", "for a moment"),
            warning("exchange-web-new", "Unhealthy", UNHEALTHY, 5),
            warning("exchange-web-old", "Unhealthy", "of another pod", 9),
        ],
        {("exchange-web-new", "web"): "listening\n"},
        f"exchange-web-new: Unhealthy: {UNHEALTHY}",
    ),
    "a migration that fails": (
        [pod("exchange-migrate-new", phase="Failed", init_migrate=FAILED, **{"create-admin": INITIALIZING})],
        {("exchange-migrate-new", "migrate"): TRACEBACK},
        "exchange-migrate-new: RuntimeError: on purpose",
    ),
    "a migration whose progress is cut off, and has no end of line": (
        [pod("exchange-migrate-new", phase="Failed", init_migrate=FAILED, **{"create-admin": INITIALIZING})],
        {("exchange-migrate-new", "migrate"): f"{TRACEBACK}  Applying shop.0002_x..."},
        "exchange-migrate-new: RuntimeError: on purpose",
    ),
    "a log of indented lines alone": (
        [pod("exchange-web-new", web=CRASHING)],
        {("exchange-web-new", "web"): "  no\n  room\n"},
        "exchange-web-new:   room",
    ),
    "a second step that fails": (
        [pod("exchange-migrate-new", phase="Failed", init_migrate=DONE, **{"create-admin": FAILED})],
        {
            ("exchange-migrate-new", "migrate"): "Applied\n",
            ("exchange-migrate-new", "create-admin"): "No such account\n\n",
        },
        "exchange-migrate-new: No such account",
    ),
    "an image that isn't there": (
        [pod("exchange-web-new", phase="Pending", web=PULLING)],
        {},
        "exchange-web-new: ImagePullBackOff Back-off pulling image",
    ),
    "a process that ends at once": (
        [pod("exchange-web-new", web=CRASHING)],
        {("exchange-web-new", "web"): "SECRET_KEY is not set\n"},
        "exchange-web-new: SECRET_KEY is not set",
    ),
    "a process that ends without a word": (
        [pod("exchange-web-new", web=CRASHING)],
        {("exchange-web-new", "web"): ""},
        "exchange-web-new: CrashLoopBackOff back-off 10s restarting failed container",
    ),
    "no place for a pod": (
        [
            pod("exchange-web-new", phase="Pending"),
            warning("exchange-web-new", "FailedScheduling", "0/4 nodes are available"),
        ],
        {},
        "exchange-web-new: FailedScheduling: 0/4 nodes are available",
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_the_last_line_is_the_reason(tmp_path: Path, what: str) -> None:
    objects, logs, reason = CASES[what]
    kubectl = shutil.which("kubectl") or str(gobuild.build(gobuild.programs()["kubernetes"]) / "kubectl")
    with serving([GOOD, MIGRATED, *objects], logs) as address:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "KUBECONFIG": str(kubeconfig(tmp_path, address)),
            "KUBECTL": kubectl,
        }
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", EXPLAIN, "explain", str(SCRIPTS)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
    assert result.stdout.splitlines()[-1] == f"--- v2 was not brought into service: {reason}", result.stdout
    # Pods that serve or ended well are in the table alone.
    assert "--- exchange-web-old" not in result.stdout
    assert "--- exchange-migrate-old" not in result.stdout
