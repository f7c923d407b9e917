"""roles/ingress_nginx on a live API.

Neither controller's image is to be had on every machine, so both variants are applied as a server-side dry run (check
mode asks the API server about every object, admission included), and their pods are put before a namespace that
enforces Pod Security. The events of a controller are made here; they have the form of F5's, as it was tried elsewhere.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible.plugins.loader import init_plugin_loader
from conftest import PROJECT, Cluster, eventually, run_playbook
from openshift.dynamic.exceptions import DynamicApiError, ForbiddenError
from unit.templates.render import render, sets

# The templates' filters are found as a run finds them.
init_plugin_loader([str(PROJECT / "collections")])

INGRESS, APP = "ingress-dry-run", "ingress-dry-run-app"
CLASS = "nginx-dry-run"
VARIABLES = {
    "platform_instance": "dry-run",
    "platform_namespace_ingress": INGRESS,
    "platform_namespace_app": APP,
    "platform_ingress_class": CLASS,
    "platform_components": ["ingress_nginx"],
    "ingress_nginx_watched_namespaces": [APP],
}
COMMON = [
    f"IngressClass {CLASS}",
    f"ServiceAccount {INGRESS}/ingress-nginx",
    f"Role {INGRESS}/ingress-nginx",
    f"RoleBinding {INGRESS}/ingress-nginx",
    f"ConfigMap {INGRESS}/nginx-config",
    f"NetworkPolicy {INGRESS}/ingress-nginx",
    f"PodDisruptionBudget {INGRESS}/ingress-nginx",
    f"Service {INGRESS}/ingress-nginx",
    f"Deployment {INGRESS}/ingress-nginx",
]
EXPECTED = {
    "f5": [
        *COMMON,
        "ClusterRole dry-run-ingress-nginx-f5",
        "ClusterRoleBinding dry-run-ingress-nginx-f5",
        "ClusterRole dry-run-ingress-nginx-f5-watched",
        f"RoleBinding {INGRESS}/ingress-nginx-f5",
        f"RoleBinding {APP}/ingress-nginx-f5",
    ],
    "community": [
        *COMMON,
        "ClusterRole dry-run-ingress-nginx-community",
        "ClusterRoleBinding dry-run-ingress-nginx-community",
        f"Role {APP}/ingress-nginx-community",
        f"RoleBinding {APP}/ingress-nginx-community",
    ],
}

pytestmark = pytest.mark.usefixtures("namespaces")


@pytest.fixture(scope="module")
def namespaces(cluster: Cluster) -> Iterator[None]:
    """Make two namespaces that enforce Pod Security, as roles/platform makes them, and a ServiceAccount for pods."""
    remove_namespaces(cluster)
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    for name in (INGRESS, APP):
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        cluster.kind("Namespace").create(body=body)
        # What the cluster itself puts into a new namespace must not look like something that a play left there.
        eventually(
            "the cluster has furnished the namespaces",
            lambda name=name: (
                cluster.items("ServiceAccount", namespace=name) and cluster.items("ConfigMap", namespace=name)
            ),
        )
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ingress-nginx"}}
    cluster.kind("ServiceAccount").create(body=account, namespace=INGRESS)
    yield
    remove_namespaces(cluster)


def remove_namespaces(cluster: Cluster) -> None:
    """Remove this test's namespaces, also those of a run that was interrupted."""

    def present() -> set[str]:
        return {item["metadata"]["name"] for item in cluster.items("Namespace")} & {INGRESS, APP}

    for name in present():
        cluster.kind("Namespace").delete(name=name)
    eventually("the namespaces are gone", lambda: not present())


def run(playbook: str | Path, *arguments: str, **variables: Any) -> Any:
    """Run a playbook with this test's namespaces and class, and other variables."""
    return run_playbook(playbook, "-e", json.dumps({**VARIABLES, **variables}), *arguments)


@pytest.mark.parametrize("controller", ["f5", "community"])
def test_the_api_accepts_every_object_and_nothing_is_kept(cluster: Cluster, controller: str) -> None:
    before = cluster.versions([INGRESS, APP])
    result = run("playbooks/ingress.yml", "--check", ingress_nginx_controller=controller)
    assert result.code == 0, result.output
    for line in EXPECTED[controller]:
        assert line in result.output, result.output
    assert "would violate PodSecurity" not in result.output
    assert ("retired in March 2026" in " ".join(result.output.split())) is (controller == "community")
    assert cluster.versions([INGRESS, APP]) == before
    assert not [
        item for item in cluster.items("IngressClass", "networking.k8s.io/v1") if item["metadata"]["name"] == CLASS
    ]


def pod_of(chosen: str) -> dict[str, Any]:
    """Return the pod of a set of variables of tests/unit/templates/ingress_nginx.yml."""
    [deployment] = [item for item in render("ingress_nginx", chosen).objects if item["kind"] == "Deployment"]
    spec = copy.deepcopy(deployment["spec"]["template"]["spec"])
    # A PriorityClass and a pull Secret that this cluster hasn't got say nothing about Pod Security.
    spec.pop("imagePullSecrets", None)
    spec.pop("priorityClassName", None)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "dry-run"}, "spec": spec}


@pytest.mark.parametrize("chosen", sorted(sets("ingress_nginx")))
def test_pods_keep_to_pod_security_restricted(cluster: Cluster, chosen: str) -> None:
    made = cluster.kind("Pod").create(body=pod_of(chosen), namespace=INGRESS, query_params=[("dryRun", "All")])
    assert made.spec.securityContext.runAsNonRoot


def test_the_namespace_does_refuse_a_pod_that_may_more(cluster: Cluster) -> None:
    body = pod_of("default")
    body["spec"]["containers"][0]["securityContext"]["capabilities"]["add"].append("NET_ADMIN")
    with pytest.raises(ForbiddenError, match="violates PodSecurity"):
        cluster.kind("Pod").create(body=body, namespace=INGRESS, query_params=[("dryRun", "All")])


def test_another_controllers_class_is_not_taken_over(cluster: Cluster) -> None:
    body = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": CLASS},
        "spec": {"controller": "example.com/another"},
    }
    classes = cluster.kind("IngressClass", "networking.k8s.io/v1")
    classes.create(body=body)
    try:
        result = run("playbooks/ingress.yml", "--check", ingress_nginx_controller="f5")
    finally:
        classes.delete(name=CLASS)
    assert result.code != 0
    flat = " ".join(result.output.split())
    assert f"IngressClass {CLASS} belongs to example.com/another" in flat
    assert "ingress_nginx_controller: existing" in flat
    assert f"Deployment {INGRESS}/ingress-nginx" not in result.output


def test_an_existing_controller_must_have_its_class() -> None:
    result = run("playbooks/ingress.yml", "--check", ingress_nginx_controller="existing")
    assert result.code != 0
    assert f"the cluster has no IngressClass {CLASS}" in " ".join(result.output.split())


class Controller:
    """Writes events as an ingress controller does."""

    def __init__(self, cluster: Cluster, uid: str) -> None:
        """Write about the Ingress with this uid."""
        self.cluster = cluster
        self.uid = uid

    def says(self, reason: str, message: str = "") -> None:
        """Write an event about the Ingress."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": "web."},
            "involvedObject": {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "name": "web",
                "namespace": APP,
                "uid": self.uid,
            },
            "reason": reason,
            "message": message,
            "type": "Normal" if reason == "AddedOrUpdated" else "Warning",
            "source": {"component": "nginx-ingress-controller"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self.cluster.kind("Event").create(body=body, namespace=APP)


@pytest.fixture
def controller(cluster: Cluster) -> Iterator[Controller]:
    """Make an Ingress of the class and return who writes events about it."""
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    body = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "web"},
        "spec": {
            "ingressClassName": CLASS,
            "rules": [
                {"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
            ],
        },
    }
    ingresses = cluster.kind("Ingress", "networking.k8s.io/v1")
    made = ingresses.create(body=body, namespace=APP)
    yield Controller(cluster, made.metadata.uid)
    ingresses.delete(name="web", namespace=APP)


def check(controller: str, **variables: Any) -> Any:
    """Run what roles/exchange_app runs after it has applied its Ingress."""
    return run(
        "tests/integration/check_ingresses.yml",
        ingress_nginx_controller=controller,
        ingress_nginx_check_timeout_seconds=4,
        **variables,
    )


def test_a_rejected_ingress_fails_the_run_until_it_is_mended(controller: Controller) -> None:
    controller.says("Rejected", 'annotations.nginx.org/proxy-read-timeout: Invalid value: "x"')
    rejected = check("f5")
    assert rejected.code != 0, rejected.output
    flat = " ".join(rejected.output.split())
    assert f'Ingress {APP}/web: Rejected: annotations.nginx.org/proxy-read-timeout: Invalid value: "x"' in flat.replace(
        '\\"', '"'
    )
    controller.says("AddedOrUpdated")
    mended = check("f5")
    assert mended.code == 0, mended.output


@pytest.mark.usefixtures("controller")
def test_an_ingress_that_nobody_takes_fails_the_run() -> None:
    result = check("f5")
    assert result.code != 0
    assert f"Ingress {APP}/web: the controller has not said anything about it within 4 s" in " ".join(
        result.output.split()
    )


@pytest.mark.usefixtures("controller")
def test_an_existing_controller_need_not_say_anything() -> None:
    result = check("existing")
    assert result.code == 0, result.output


def test_a_dry_run_of_something_invalid_is_refused(cluster: Cluster) -> None:
    """The API does look at what check mode sends: a Service with an impossible port is refused."""
    [service] = [item for item in render("ingress_nginx", "default").objects if item["kind"] == "Service"]
    body = {**copy.deepcopy(service), "metadata": {"name": "dry-run"}}
    body["spec"]["ports"][0]["port"] = 70000
    with pytest.raises(DynamicApiError, match="70000"):
        cluster.kind("Service").create(body=body, namespace=INGRESS, query_params=[("dryRun", "All")])
