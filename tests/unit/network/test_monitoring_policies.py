"""Who reaches whom in the namespaces of monitoring, by the policies as a run renders them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.traffic import Connection
from network.policies import allowed
from unit.templates.render import render

HERE, AGENTS = "second-monitoring", "second-agents"
OUTSIDE = {"address": "203.0.113.9"}
RECEIVER = {"address": "192.0.2.7"}


def pod(name: str, place: str = HERE) -> dict[str, Any]:
    """Return a pod of the platform as its labels say."""
    components = {
        "prometheus": "metrics",
        "alertmanager": "alerts",
        "node-exporter": "node-metrics",
        "blackbox-exporter": "probes",
        "kube-state-metrics": "cluster-state",
        "alert-drill": "drill",
    }
    labels = {"name": name, "instance": "second", "component": components.get(name, "other")}
    return {"namespace": place, "labels": {f"app.kubernetes.io/{key}": value for key, value in labels.items()}}


PROMETHEUS, ALERTMANAGER = pod("prometheus"), pod("alertmanager")
NODE_EXPORTER, STRANGER = pod("node-exporter", AGENTS), pod("stranger")
BLACKBOX, STATE, DRILL = pod("blackbox-exporter"), pod("kube-state-metrics"), pod("alert-drill")
GRAFANA = {"namespace": "grafana", "labels": {}}
INGRESS, APP = pod("ingress-nginx", "second-ingress"), pod("exchange", "second")


def policies() -> list[dict[str, Any]]:
    """Return the policies of both roles, of which the first closes the namespaces."""
    objects = [*render("platform", "maximal").objects, *render("monitoring", "maximal").objects]
    here = [item for item in objects if item["kind"] == "NetworkPolicy"]
    return [item for item in here if item["metadata"]["namespace"] in {HERE, AGENTS}]


@pytest.mark.parametrize(
    ("source", "target", "port", "expected"),
    [
        (PROMETHEUS, ALERTMANAGER, 9093, True),
        (PROMETHEUS, PROMETHEUS, 9090, True),
        (PROMETHEUS, NODE_EXPORTER, 9100, True),
        (PROMETHEUS, BLACKBOX, 9115, True),
        (PROMETHEUS, STATE, 8080, True),
        (PROMETHEUS, DRILL, 8080, True),
        (ALERTMANAGER, DRILL, 8080, True),
        (ALERTMANAGER, ALERTMANAGER, 9094, True),
        (ALERTMANAGER, RECEIVER, 443, True),
        (ALERTMANAGER, OUTSIDE, 443, False),
        (ALERTMANAGER, PROMETHEUS, 9090, False),
        (BLACKBOX, INGRESS, 443, True),
        (BLACKBOX, PROMETHEUS, 9090, False),
        # Whoever may read figures may not silence alerts.
        (GRAFANA, PROMETHEUS, 9090, True),
        (GRAFANA, ALERTMANAGER, 9093, False),
        (STRANGER, PROMETHEUS, 9090, False),
        (STRANGER, ALERTMANAGER, 9093, False),
        (STRANGER, NODE_EXPORTER, 9100, False),
        (OUTSIDE, PROMETHEUS, 9090, False),
        (APP, ALERTMANAGER, 9093, False),
        (DRILL, ALERTMANAGER, 9093, False),
        (DRILL, OUTSIDE, 443, False),
        # What reads the nodes' files tells nobody but Prometheus.
        (NODE_EXPORTER, OUTSIDE, 443, False),
        (NODE_EXPORTER, PROMETHEUS, 9090, False),
        (pod("prometheus", AGENTS), NODE_EXPORTER, 9100, False),
    ],
)
def test_who_reaches_whom(source: dict[str, Any], target: dict[str, Any], port: int, *, expected: bool) -> None:
    assert allowed(policies(), Connection(source, target, port)) is expected
