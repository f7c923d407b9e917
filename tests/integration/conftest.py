"""What integration tests share: the cluster through one client, and playbooks as a user runs them.

Molecule's verify.yml names the cluster; without it the demo's is used.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import config as kubernetes_config
from openshift.dynamic import DynamicClient

PROJECT = Path(__file__).resolve().parents[2]
KUBECONFIG = Path(os.environ.get("TEST_KUBECONFIG") or PROJECT / "build" / "kind" / "kubeconfig")
CONTEXT = os.environ.get("TEST_CONTEXT") or None
INVENTORIES = os.environ.get("TEST_INVENTORIES", "inventories/kind").split(":")

NAMESPACES = ["exchange-platform", "exchange-database", "exchange"]


def pytest_configure(config: pytest.Config) -> None:
    """Say what the marker means."""
    config.addinivalue_line("markers", "campaign: long; runs with CAMPAIGN=yes alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave long tests to campaigns."""
    if os.environ.get("CAMPAIGN") == "yes":
        return
    left_out = [item for item in items if item.get_closest_marker("campaign")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@dataclass(frozen=True)
class Run:
    """A finished ansible-playbook."""

    code: int
    output: str

    @property
    def changed(self) -> int:
        """Return the number of changed tasks that the recap names, -1 without a recap."""
        found = re.search(r"changed=(\d+)", self.output)
        return int(found[1]) if found else -1


def run_playbook(
    playbook: str | Path = "site.yml", *arguments: str, env: dict[str, str] | None = None, cwd: Path = PROJECT
) -> Run:
    """Run a playbook with the tests' inventories and return its exit code and output."""
    sources = [word for name in INVENTORIES for word in ("-i", str(PROJECT / name))]
    result = subprocess.run(
        ["ansible-playbook", str(playbook), *sources, *arguments],
        cwd=cwd,
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Run(result.returncode, result.stdout)


def eventually(what: str, check: Callable[[], Any], seconds: float = 120) -> Any:
    """Return what `check` returns as soon as it is true; fail with `what` if that takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.5)


class Cluster:
    """The cluster as tests read it, through openshift's DynamicClient."""

    def __init__(self) -> None:
        """Connect to the cluster that the environment names."""
        self.client = DynamicClient(kubernetes_config.new_client_from_config(str(KUBECONFIG), CONTEXT))

    def kind(self, kind: str, api_version: str = "v1") -> Any:
        """Return the resource of a kind."""
        return self.client.resources.get(api_version=api_version, kind=kind)

    def items(self, kind: str, api_version: str = "v1", **selection: Any) -> list[dict[str, Any]]:
        """Return the objects of a kind as dicts."""
        found: list[dict[str, Any]] = self.kind(kind, api_version).get(**selection).to_dict()["items"]
        return found

    def versions(self, namespaces: list[str]) -> dict[str, str]:
        """Return name -> resourceVersion of what a playbook may change in the namespaces, and of the namespaces."""
        kinds = [
            ("ConfigMap", "v1"),
            ("Secret", "v1"),
            ("Service", "v1"),
            ("ServiceAccount", "v1"),
            ("PersistentVolumeClaim", "v1"),
            ("Deployment", "apps/v1"),
            ("StatefulSet", "apps/v1"),
            ("Job", "batch/v1"),
            ("NetworkPolicy", "networking.k8s.io/v1"),
            ("Ingress", "networking.k8s.io/v1"),
            ("Role", "rbac.authorization.k8s.io/v1"),
            ("PodDisruptionBudget", "policy/v1"),
        ]
        found = {
            f"{kind} {namespace}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
            for kind, api_version in kinds
            for namespace in namespaces
            for item in self.items(kind, api_version, namespace=namespace)
            # Patroni renews its leader record by itself.
            if (kind, item["metadata"]["name"]) != ("ConfigMap", "postgres-leader")
        }
        found |= {
            f"Namespace {item['metadata']['name']}": item["metadata"]["resourceVersion"]
            for item in self.items("Namespace")
        }
        return found


def no_secret_in(output: str, cluster: Cluster) -> None:
    """Assert that no value of any of our Secrets stands in the output (certificates are public)."""
    looked_at = 0
    for namespace in NAMESPACES:
        for secret in cluster.items("Secret", namespace=namespace):
            for key, value in (secret.get("data") or {}).items():
                if key in {"tls.crt", "ca.crt", "username", "username-urlencoded", "email", "database", "release"}:
                    continue
                text = base64.b64decode(value).decode(errors="replace")
                if key == "pgbackrest.conf":
                    # Of which the rest is no secret, and stands in logs.
                    text = "\n".join(
                        re.findall(r"^repo1-(?:s3-key|s3-key-secret|cipher-pass)=(.*)$", text, re.MULTILINE)
                    )
                for line in (part for part in text.splitlines() if len(part) >= 8):
                    looked_at += 1
                    assert line not in output, f"{namespace}/{secret['metadata']['name']}: {key}"
                assert value not in output, f"{namespace}/{secret['metadata']['name']}: {key}"
    assert looked_at > 5, "no generated secret was found to look for"


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """Return the cluster."""
    return Cluster()


@pytest.fixture(scope="session")
def variables() -> dict[str, Any]:
    """Return the inventories' variables for all hosts, the later ones winning."""
    merged: dict[str, Any] = {}
    for name in INVENTORIES:
        for file in sorted((PROJECT / name / "group_vars" / "all").glob("*.yml")):
            merged |= yaml.safe_load(file.read_text()) or {}
    return merged


@pytest.fixture(scope="module")
def own_prometheus(cluster: Cluster) -> None:
    """Leave out what needs the platform's own Prometheus where an existing one is used on purpose."""
    place = {"namespace": "exchange-monitoring"}
    given = {item["metadata"]["name"]: item.get("data") or {} for item in cluster.items("ConfigMap", **place)}
    if "scrape-configs.yml" in given.get("prometheus", {}) and "prometheus.yml" not in given["prometheus"]:
        pytest.skip("needs the platform's own Prometheus, and monitoring_prometheus is existing here")
