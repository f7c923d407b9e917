"""The platform beside a Prometheus that was there before, which is given what docs/monitoring.md says.

Needs a cluster on which site.yml has run, with monitoring; ours goes meanwhile, and comes back with its volume.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
import yaml
from conftest import PROJECT, Cluster, eventually
from kubernetes.client import ApiException, CoreV1Api
from test_monitoring import PLACE, ask, may, play

pytestmark = [pytest.mark.campaign, pytest.mark.usefixtures("theirs")]

THEIRS = "figures"
LABELS = {"app.kubernetes.io/name": "prometheus"}
EXISTING: dict[str, Any] = {
    "monitoring_prometheus": "existing",
    "monitoring_prometheus_from": [{"namespace": THEIRS, "pod_labels": LABELS}],
    "monitoring_prometheus_account": {"namespace": THEIRS, "name": "prometheus"},
    "monitoring_cluster_metrics": True,
    "monitoring_node_exporter": True,
}
CONFIGURATION = """
global: {evaluation_interval: 15s}
rule_files: [/etc/rules/*.yml]
scrape_config_files: [/etc/exchange/scrape-configs.yml]
scrape_configs:
  - job_name: pods
    static_configs: [{targets: ["localhost:9090"]}]
"""


def their_pod() -> dict[str, Any]:
    """Return a Prometheus with the ConfigMaps as they are copied."""
    images = yaml.safe_load((PROJECT / "roles" / "platform" / "defaults" / "main.yml").read_text())["platform_images"]
    folders = {
        "own": "/etc/prometheus",
        "exchange-prometheus": "/etc/exchange",
        "exchange-prometheus-rules": "/etc/rules",
    }
    return {
        "metadata": {"name": "prometheus", "labels": LABELS},
        "spec": {
            "serviceAccountName": "prometheus",
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "fsGroup": 65534},
            "containers": [
                {
                    "name": "prometheus",
                    "image": f"{images['prometheus']['repository']}:{images['prometheus']['tag']}",
                    "imagePullPolicy": "IfNotPresent",
                    "args": ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/data"],
                    "ports": [{"containerPort": 9090}],
                    "volumeMounts": [
                        {"name": "data", "mountPath": "/data"},
                        *({"name": name, "mountPath": path} for name, path in folders.items()),
                    ],
                }
            ],
            "volumes": [
                {"name": "data", "emptyDir": {}},
                *({"name": name, "configMap": {"name": name}} for name in folders),
            ],
        },
    }


@pytest.fixture(scope="module")
def theirs(cluster: Cluster) -> Iterator[None]:
    """Put the platform beside another Prometheus, and back."""
    api = cast("Any", CoreV1Api)(cluster.client.client)
    try:
        api.create_namespace({"metadata": {"name": THEIRS}})
        api.create_namespaced_service_account(THEIRS, {"metadata": {"name": "prometheus"}})
        done = play("site.yml", platform_prune=True, **EXISTING)
        assert done.code == 0, done.output
        given = {item["metadata"]["name"]: item.get("data") for item in cluster.items("ConfigMap", namespace=PLACE)}
        copied = {f"exchange-{name}": given[name] for name in ("prometheus", "prometheus-rules")}
        for name, data in {**copied, "own": {"prometheus.yml": CONFIGURATION}}.items():
            api.create_namespaced_config_map(THEIRS, {"metadata": {"name": name}, "data": data})
        api.create_namespaced_pod(THEIRS, their_pod())
        eventually("their Prometheus answers", lambda: answers(cluster), 180)
        yield
    finally:
        try:
            api.delete_namespace(THEIRS)
        except ApiException as error:
            assert error.status == 404  # noqa: PT017
        back = play("site.yml", platform_prune=True)
        assert back.code == 0, back.output


def told(cluster: Cluster, path: str, **query: str) -> Any:
    """Return what their Prometheus says."""
    return ask(cluster, path, pod="prometheus:9090", place=THEIRS, **query)["data"]


def answers(cluster: Cluster) -> bool:
    """Say whether it has begun: a pod that isn't ready is refused by the API server, or refuses itself."""
    try:
        return bool(told(cluster, "/api/v1/targets", state="active")["activeTargets"])
    except (ApiException, AssertionError):
        return False


def test_ours_is_gone_and_its_volume_is_kept(cluster: Cluster) -> None:
    for kind, version in (("StatefulSet", "apps/v1"), ("Service", "v1"), ("ServiceAccount", "v1")):
        names = {item["metadata"]["name"] for item in cluster.items(kind, version, namespace=PLACE)}
        assert not {"prometheus", "alertmanager"} & names, kind
    assert "data-prometheus-0" in {
        item["metadata"]["name"] for item in cluster.items("PersistentVolumeClaim", namespace=PLACE)
    }


def test_theirs_collects_everything_that_ours_does(cluster: Cluster) -> None:
    def ours_up() -> Any:
        found = [
            target
            for target in told(cluster, "/api/v1/targets", state="active")["activeTargets"]
            if target["scrapePool"].startswith("exchange-")
        ]
        return found if found and all(target["health"] == "up" for target in found) else None

    found = eventually("every target up", ours_up, 180)
    jobs = {target["labels"]["job"] for target in found}
    assert jobs == {"pods", "patroni", "probes", "kubelet", "containers", "api-server", "name-service"}
    apps = {target["labels"].get("app") for target in found if target["labels"]["job"] == "pods"}
    assert {"node-exporter", "exchange", "postgres-exporter"} <= apps, apps


def test_it_takes_our_rules_without_those_about_itself(cluster: Cluster) -> None:
    def computed() -> Any:
        groups = told(cluster, "/api/v1/rules")["groups"]
        return groups if groups and all(r["health"] != "unknown" for g in groups for r in g["rules"]) else None

    groups = eventually("every rule computed", computed, 120)
    assert {"targets", "probes"} <= {group["name"] for group in groups}
    assert "monitoring" not in {group["name"] for group in groups}
    assert [rule["name"] for group in groups for rule in group["rules"] if rule["health"] != "ok"] == []


def test_its_account_may_do_what_ours_may_and_no_more(cluster: Cluster) -> None:
    account = f"{THEIRS}:prometheus"
    assert may(cluster, account, "list", "pods", "exchange")
    assert may(cluster, account, "get", "nodes", subresource="metrics")
    for resource in ("secrets", "configmaps"):
        assert not may(cluster, account, "list", resource, "exchange"), resource
    assert not may(cluster, account, "list", "pods", "somebody-else")
    assert not may(cluster, f"{PLACE}:prometheus", "list", "pods", "exchange")


def test_a_second_run_changes_nothing() -> None:
    again = play("playbooks/monitoring.yml", **EXISTING)
    assert (again.code, again.changed) == (0, 0), again.output


def test_the_drill_says_that_it_needs_ours() -> None:
    done = play("playbooks/verify.yml", verify_drills=["alert"], **EXISTING)
    assert done.code != 0
    assert "monitoring_prometheus internal" in " ".join(done.output.split())
