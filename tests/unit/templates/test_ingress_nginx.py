"""What roles/ingress_nginx promises beside what holds for every role."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from unit.templates.render import render, sets

ROLE = "ingress_nginx"
SETS = sorted(sets(ROLE))
OF_F5 = ["default", "minimal", "maximal", "provided"]
WRITES = {"create", "update", "patch", "delete", "deletecollection", "escalate", "bind", "impersonate", "*"}


def objects(chosen: str, kind: str) -> list[dict[str, Any]]:
    return [item for item in render(ROLE, chosen).objects if item["kind"] == kind]


def only(chosen: str, kind: str) -> dict[str, Any]:
    [item] = objects(chosen, kind)
    return item


def pod(chosen: str) -> dict[str, Any]:
    spec: dict[str, Any] = only(chosen, "Deployment")["spec"]["template"]["spec"]
    return spec


def controller(chosen: str) -> dict[str, Any]:
    container: dict[str, Any] = pod(chosen)["containers"][0]
    return container


def cluster_wide(chosen: str) -> Iterator[dict[str, Any]]:
    """Yield the rules that hold in the whole cluster."""
    bound = {item["roleRef"]["name"] for item in objects(chosen, "ClusterRoleBinding")}
    for item in objects(chosen, "ClusterRole"):
        if item["metadata"]["name"] in bound:
            yield from item["rules"]


@pytest.mark.parametrize("chosen", SETS)
def test_in_the_whole_cluster_it_may_only_look_at_classes_and_its_namespaces(chosen: str) -> None:
    rules = list(cluster_wide(chosen))
    assert rules
    for rule in rules:
        assert not WRITES & set(rule["verbs"])
        assert rule["resources"] in (["ingressclasses"], ["namespaces"])
        if rule["resources"] == ["namespaces"]:
            assert rule["resourceNames"]


@pytest.mark.parametrize("chosen", SETS)
def test_it_writes_status_events_and_its_lease_alone(chosen: str) -> None:
    rules = [rule for kind in ("Role", "ClusterRole") for item in objects(chosen, kind) for rule in item["rules"]]
    written = {
        (resource, verb) for rule in rules for resource in rule["resources"] for verb in WRITES & set(rule["verbs"])
    }
    assert written == {
        ("ingresses/status", "update"),
        ("events", "create"),
        ("events", "patch"),
        ("leases", "create"),
        ("leases", "update"),
    }


@pytest.mark.parametrize(
    ("chosen", "namespaces"),
    [
        ("default", {"ingress-nginx", "exchange"}),
        ("minimal", {"ingress-nginx"}),
        ("maximal", {"second-ingress", "second", "second-monitoring"}),
        ("community", {"exchange"}),
    ],
)
def test_secrets_are_readable_in_the_watched_namespaces_alone(chosen: str, namespaces: set[str]) -> None:
    bindings = [item for item in objects(chosen, "RoleBinding") if item["metadata"]["name"] != "ingress-nginx"]
    assert {item["metadata"]["namespace"] for item in bindings} == namespaces
    [watched] = [arg for arg in controller(chosen)["args"] if "watch-namespace=" in arg]
    assert set(watched.partition("=")[2].split(",")) == namespaces
    assert not [rule for rule in cluster_wide(chosen) if "secrets" in rule["resources"]]


@pytest.mark.parametrize("chosen", OF_F5)
def test_f5s_traps_are_avoided(chosen: str) -> None:
    args = controller(chosen)["args"]
    for needed in ("-enable-custom-resources=false", "-enable-snippets=false", "-enable-telemetry-reporting=false"):
        assert needed in args
    assert not [arg for arg in args if arg.startswith(("-watch-secret-namespace", "-default-http"))]
    config = only(chosen, "ConfigMap")["data"]
    assert config["keepalive"] == "0"
    assert config["server-tokens"] == "false"
    assert config["worker-shutdown-timeout"].endswith("s")


def test_only_a_load_balancer_is_asked_for_its_address() -> None:
    assert "-external-service=ingress-nginx" in controller("default")["args"]
    assert "-external-service=ingress-nginx" not in controller("minimal")["args"]


@pytest.mark.parametrize("chosen", ["community", "community_behind_a_proxy"])
def test_the_community_controller_has_no_webhook_and_no_open_profiler(chosen: str) -> None:
    args = controller(chosen)["args"]
    assert not [arg for arg in args if "webhook" in arg]
    assert "--profiling=false" in args
    assert ("--publish-status-address=192.0.2.10" in args) is (chosen == "community_behind_a_proxy")


def test_the_community_controllers_pods_follow_their_configuration() -> None:
    hashes = {
        only(chosen, "Deployment")["spec"]["template"]["metadata"]["annotations"][
            "cryptoexchange.platform/configuration"
        ]
        for chosen in ("community", "community_behind_a_proxy")
    }
    assert len(hashes) == 2


@pytest.mark.parametrize("chosen", SETS)
def test_an_update_or_a_drain_loses_no_request(chosen: str) -> None:
    deployment = only(chosen, "Deployment")["spec"]
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    pre_stop = controller(chosen)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pre_stop >= 10
    config = only(chosen, "ConfigMap")["data"]
    shutdown = int(config["worker-shutdown-timeout"].removesuffix("s"))
    assert pod(chosen)["terminationGracePeriodSeconds"] > pre_stop + shutdown
    assert only(chosen, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("chosen", SETS)
def test_private_keys_are_written_to_memory_alone(chosen: str) -> None:
    keys = {"/etc/nginx", "/etc/ingress-controller"}
    names = {mount["name"] for mount in controller(chosen)["volumeMounts"] if mount["mountPath"] in keys}
    volumes = {volume["name"]: volume["emptyDir"] for volume in pod(chosen)["volumes"]}
    assert names
    assert all(volumes[name]["medium"] == "Memory" for name in names)


@pytest.mark.parametrize("chosen", SETS)
def test_the_world_reaches_80_and_443_and_nothing_else(chosen: str) -> None:
    policy = only(chosen, "NetworkPolicy")["spec"]
    anywhere = [rule for rule in policy["ingress"] if "from" not in rule]
    assert [[port["port"] for port in rule["ports"]] for rule in anywhere] == [[80, 443]]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    # Without an address only to the API server's ports.
    open_egress = [port["port"] for rule in policy["egress"] if "to" not in rule for port in rule["ports"]]
    assert open_egress == ([6443] if chosen == "maximal" else [443, 6443])


def test_metrics_are_for_the_named_namespaces() -> None:
    def readers(chosen: str) -> list[str]:
        rules = only(chosen, "NetworkPolicy")["spec"]["ingress"]
        return [
            peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
            for rule in rules
            for peer in rule.get("from", [])
            if [port["port"] for port in rule["ports"]] == [9113]
        ]

    assert readers("default") == []
    assert readers("maximal") == ["monitoring"]


@pytest.mark.parametrize("chosen", SETS)
def test_the_clients_address_is_kept_by_default(chosen: str) -> None:
    spec = only(chosen, "Service")["spec"]
    expected = {"ClusterIP": None, "NodePort": "Local", "LoadBalancer": "Cluster" if chosen == "maximal" else "Local"}
    assert spec.get("externalTrafficPolicy") == expected[spec["type"]]


def test_a_provided_certificate_is_the_default_servers() -> None:
    secret = only("provided", "Secret")
    assert secret["type"] == "kubernetes.io/tls"
    assert set(secret["data"]) == {"tls.crt", "tls.key"}
    assert f"-default-server-tls-secret=$(POD_NAMESPACE)/{secret['metadata']['name']}" in controller("provided")["args"]


def test_what_a_binding_refers_to_never_changes() -> None:
    """The API refuses that; a change of the controller must not need it."""

    def bindings(chosen: str) -> dict[tuple[str, ...], dict[str, Any]]:
        return {
            (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]): item["roleRef"]
            for kind in ("RoleBinding", "ClusterRoleBinding")
            for item in objects(chosen, kind)
        }

    f5, community = bindings("default"), bindings("community")
    assert f5.keys() & community.keys() == {("RoleBinding", "ingress-nginx", "ingress-nginx")}
    assert all(f5[name] == community[name] for name in f5.keys() & community.keys())
