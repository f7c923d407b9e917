"""Who reaches whom in the namespaces of monitoring, by the policies as a run renders them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.traffic import Connection
from network.policies import allowed
from unit.templates.render import render, sets, variables_of

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


def policies(platform: str, chosen: str) -> list[dict[str, Any]]:
    """Return the policies of both roles, of which the first closes the namespaces."""
    objects = [*render("platform", platform).objects, *render("monitoring", chosen).objects]
    here = [item for item in objects if item["kind"] == "NetworkPolicy"]
    return [item for item in here if item["metadata"]["namespace"].endswith(("-monitoring", "-agents"))]


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
    assert allowed(policies("maximal", "maximal"), Connection(source, target, port)) is expected


def with_existing(name: str, place: str = "exchange-monitoring") -> dict[str, Any]:
    """Return a pod of the platform beside an existing Prometheus."""
    found = pod(name, place)
    return {**found, "labels": {**found["labels"], "app.kubernetes.io/instance": "exchange"}}


THEIRS = {"namespace": "figures", "labels": {"app.kubernetes.io/name": "prometheus"}}
BESIDE = {"namespace": "figures", "labels": {"app.kubernetes.io/name": "alertmanager"}}
NODES, PROBES, CLUSTER = (
    with_existing("node-exporter", "exchange-node-agents"),
    with_existing("blackbox-exporter"),
    with_existing("kube-state-metrics"),
)


@pytest.mark.parametrize(
    ("source", "target", "port", "chosen", "expected"),
    [
        (THEIRS, PROBES, 9115, "existing", True),
        (THEIRS, NODES, 9100, "existing", False),
        (THEIRS, NODES, 9100, "existing_alone", True),
        (THEIRS, CLUSTER, 8080, "existing_alone", True),
        (THEIRS, PROBES, 9116, "existing_alone", False),
        (BESIDE, PROBES, 9115, "existing_alone", False),
        (BESIDE, NODES, 9100, "existing_alone", False),
        ({**THEIRS, "namespace": "elsewhere"}, NODES, 9100, "existing_alone", False),
        # Ours isn't there: whoever carries its labels, or the drill's, is a stranger.
        (with_existing("prometheus"), PROBES, 9115, "existing_alone", False),
        (with_existing("prometheus"), OUTSIDE, 443, "existing_alone", False),
        (with_existing("alertmanager"), OUTSIDE, 443, "existing_alone", False),
        (THEIRS, with_existing("alert-drill"), 8080, "existing_alone", False),
        (THEIRS, with_existing("prometheus"), 9090, "existing_alone", False),
        (THEIRS, with_existing("alertmanager"), 9093, "existing_alone", False),
        (PROBES, THEIRS, 9090, "existing_alone", False),
    ],
)
def test_who_reaches_whom_with_an_existing_prometheus(
    source: dict[str, Any], target: dict[str, Any], port: int, chosen: str, *, expected: bool
) -> None:
    assert allowed(policies("everything", chosen), Connection(source, target, port)) is expected


def test_the_roles_let_an_existing_prometheus_in_by_default() -> None:
    """What each of them takes as its *_metrics_from."""
    for chosen in ("existing", "existing_alone"):
        variables = variables_of("monitoring", sets("monitoring")[chosen])
        assert Templar(DataLoader(), variables=variables).template(variables["platform_scrapers"]) == [
            {"namespace": "figures", "pod_labels": {"app.kubernetes.io/name": "prometheus"}}
        ]


def subjects(chosen: str) -> dict[str, list[dict[str, Any]]]:
    """Return whose each binding of Prometheus' rights is, by the Role or ClusterRole."""
    objects = render("monitoring", chosen).objects
    return {
        f"{item['metadata'].get('namespace', '')}/{item['roleRef']['name']}": item["subjects"]
        for item in objects
        if item["kind"] in {"RoleBinding", "ClusterRoleBinding"} and item["roleRef"]["name"].endswith("-prometheus")
    }


def rights(chosen: str) -> list[dict[str, Any]]:
    """Return Prometheus' roles."""
    objects = render("monitoring", chosen).objects
    return [
        {"place": item["metadata"].get("namespace", ""), "rules": item["rules"]}
        for item in objects
        if item["kind"] in {"Role", "ClusterRole"} and item["metadata"]["name"].endswith("-prometheus")
    ]


def test_an_existing_prometheus_gets_the_rights_that_ours_has() -> None:
    assert rights("existing_alone") == rights("default")
    assert subjects("existing_alone").keys() == subjects("default").keys()
    for bound in subjects("existing_alone").values():
        assert bound == [{"kind": "ServiceAccount", "name": "prometheus-k8s", "namespace": "figures"}]


def test_beside_an_existing_prometheus_there_is_none_of_ours() -> None:
    for chosen in ("existing", "existing_alone"):
        there = {(item["kind"], item["metadata"]["name"]) for item in render("monitoring", chosen).objects}
        assert {kind for kind, name in there if name in {"prometheus", "alertmanager"}} == {"ConfigMap"}
        assert ("DaemonSet", "node-exporter") in there or chosen == "existing"
        assert not {"Secret", "StatefulSet", "PodDisruptionBudget"} & {kind for kind, _ in there}
