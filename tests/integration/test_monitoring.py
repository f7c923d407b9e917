"""Monitoring of a live platform: everything answers, few series, no rights beyond figures, and alerts that arrive.

Needs a cluster on which playbooks/monitoring.yml has run.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from conftest import PROJECT, Cluster, eventually, run_playbook
from kubernetes.client import ApiException, AuthorizationV1Api, CoreV1Api
from test_logging import Exchange

PLACE = "exchange-monitoring"
RECEIVER = "webhook"
SHORT_LIVED = "short-lived"
# What it runs: something to collect.
FIGURE = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b"a_figure 1\\n")
HTTPServer(("", 8080), Handler).serve_forever()
"""
DRILL = (PROJECT / "roles" / "monitoring" / "files" / "drill.py").read_text()
MOST_SERIES = 20_000
pytestmark = pytest.mark.usefixtures("own_prometheus")


def play(playbook: str, **variables: Any) -> Any:
    return run_playbook(playbook, "-e", json.dumps(variables))


def ask(cluster: Cluster, path: str, pod: str = "prometheus-0:9090", place: str = PLACE, **query: str) -> Any:
    """Return what Prometheus or Alertmanager answers, through the API server."""
    api = cast("Any", cluster.client.client)
    request = api.param_serialize(
        "GET",
        f"/api/v1/namespaces/{place}/pods/{pod}/proxy{path}",
        query_params=list(query.items()),
        auth_settings=["BearerToken"],
    )
    answer = api.call_api(*request)
    answer.read()
    assert answer.status == 200, answer.data
    return json.loads(answer.data)


def query(cluster: Cluster, text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(cluster, "/api/v1/query", query=text)["data"]["result"]
    return found


def targets(cluster: Cluster) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(cluster, "/api/v1/targets", state="active")["data"]["activeTargets"]
    return found


def may(cluster: Cluster, account: str, verb: str, resource: str, namespace: str = "", **more: str) -> bool:
    """Ask the API server what an account may do."""
    attributes = {"verb": verb, "resource": resource, "namespace": namespace, **more}
    body: Any = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": f"system:serviceaccount:{account}", "resourceAttributes": attributes},
    }
    review = cast("Any", AuthorizationV1Api)(cluster.client.client).create_subject_access_review(body)
    return bool(review.status.allowed)


def test_everything_that_is_found_answers(cluster: Cluster) -> None:
    def all_up() -> Any:
        found = targets(cluster)
        return found if found and all(target["health"] == "up" for target in found) else None

    found = eventually("every target up", all_up, 180)
    jobs = Counter(target["labels"]["job"] for target in found)
    assert {"pods", "patroni", "probes", "kubelet", "containers", "api-server", "name-service"} <= set(jobs), jobs
    apps = {target["labels"].get("app") for target in found if target["labels"]["job"] == "pods"}
    assert {"prometheus", "alertmanager", "node-exporter", "exchange", "postgres-exporter"} <= apps, apps
    nodes = len(cluster.items("Node"))
    assert jobs["kubelet"] == jobs["containers"] == nodes
    assert sum(target["labels"].get("app") == "node-exporter" for target in found) == nodes


def test_figures_carry_the_names_that_logs_carry(cluster: Cluster) -> None:
    (web, *_) = query(cluster, 'django_http_requests_before_middlewares_total{app="exchange"}')
    assert {"namespace", "pod", "container", "app", "node"} <= set(web["metric"])


def test_the_application_is_reached_as_a_client_would(cluster: Cluster) -> None:
    (probe,) = query(cluster, "probe_success")
    assert probe["value"][1] == "1"
    (left,) = query(cluster, "(probe_ssl_earliest_cert_expiry - time()) / 86400")
    assert float(left["value"][1]) > 30


def test_every_series_that_a_rule_reads_is_there(cluster: Cluster, variables: dict[str, Any]) -> None:
    """Left out is what has no source here: kube-state-metrics and NGINX can't be had; nothing has failed yet."""
    # The application counts nothing before it has been asked for something.
    assert Exchange(cluster, variables["platform_domain"]).ask("GET", "/accounts/login/")[1] == 200
    eventually("it is counted", lambda: query(cluster, "django_http_responses_total_by_status_total"), 60)
    groups = ask(cluster, "/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}, [rule for rule in rules if rule["health"] == "err"]
    words = set(re.findall(r"\b[a-z][a-z0-9_]{5,}(?=[\[{ )]|$)", " ".join(rule["query"] for rule in rules)))
    known = set(ask(cluster, "/api/v1/label/__name__/values")["data"])
    read = {word for word in words if re.match(r"(django|node|kubelet|patroni|probe|prometheus|alertmanager)_", word)}
    without_source = {word for word in read if word.startswith(("alertmanager_notifications_failed",))}
    assert read - known - without_source == set()


def test_series_are_few(cluster: Cluster) -> None:
    status = ask(cluster, "/api/v1/status/tsdb")["data"]
    largest = [(one["name"], one["value"]) for one in status["seriesCountByMetricName"]]
    assert status["headStats"]["numSeries"] < MOST_SERIES, largest


def test_accounts_may_read_figures_and_nothing_else(cluster: Cluster) -> None:
    prometheus = f"{PLACE}:prometheus"
    for namespace in ("exchange", "exchange-database", "exchange-platform", PLACE, "kube-system", ""):
        for resource in ("secrets", "configmaps"):
            for verb in ("get", "list", "watch"):
                assert not may(cluster, prometheus, verb, resource, namespace), (verb, resource, namespace)
    assert may(cluster, prometheus, "list", "pods", "exchange")
    assert may(cluster, prometheus, "get", "nodes", subresource="metrics")
    assert not may(cluster, prometheus, "get", "nodes", subresource="proxy")
    assert not may(cluster, prometheus, "create", "pods", "exchange", subresource="exec")
    assert not may(cluster, f"{PLACE}:default", "list", "pods", PLACE)


def test_a_second_run_changes_nothing() -> None:
    again = play("playbooks/monitoring.yml")
    assert (again.code, again.changed) == (0, 0), again.output


def test_the_drill_sees_its_alert_and_leaves_nothing(cluster: Cluster, tmp_path: Path) -> None:
    done = play("playbooks/verify.yml", verify_drills=["alert"], verify_report_directory=str(tmp_path))
    assert done.code == 0, done.output
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["alert"]["problems"] == []
    names = {item["metadata"]["name"] for kind in ("Pod", "Service") for item in cluster.items(kind, namespace=PLACE)}
    assert "alert-drill" not in names


@contextmanager
def pod_of(cluster: Cluster, name: str, program: str, annotations: dict[str, str], claim: str = "") -> Iterator[None]:
    """Run a program in a pod with a Service, reached by everybody, and remove all of it in the end."""
    api = cast("Any", CoreV1Api)(cluster.client.client)
    images = yaml.safe_load((PROJECT / "roles" / "platform" / "defaults" / "main.yml").read_text())["platform_images"]
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/instance": "exchange"}
    body: dict[str, Any] = {
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65534,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "program",
                    "image": f"{images['postgres']['repository']}:{images['postgres']['tag']}",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-c", program],
                    "env": [{"name": "DRILL", "value": name}],
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
    if claim:
        body["spec"]["securityContext"]["fsGroup"] = 65534
        body["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
        body["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    service = {
        "metadata": {"name": name},
        "spec": {"selector": labels, "ports": [{"name": "http", "port": 8080, "targetPort": 8080}]},
    }
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": PLACE},
        "spec": {"podSelector": {"matchLabels": labels}, "ingress": [{}]},
    }
    policies = cluster.kind("NetworkPolicy", "networking.k8s.io/v1")
    try:
        policies.create(body=policy, namespace=PLACE)
        api.create_namespaced_service(PLACE, service)
        api.create_namespaced_pod(PLACE, body)
        yield
    finally:
        for remove in (
            lambda: api.delete_namespaced_pod(name, PLACE),
            lambda: api.delete_namespaced_service(name, PLACE),
            lambda: policies.delete(name=name, namespace=PLACE),
        ):
            try:
                remove()
            except ApiException as error:
                assert error.status == 404  # noqa: PT017


def log_of(cluster: Cluster, name: str) -> list[str]:
    said: str = cast("Any", CoreV1Api)(cluster.client.client).read_namespaced_pod_log(name, PLACE)
    return said.splitlines()


@contextmanager
def told(cluster: Cluster) -> Iterator[None]:
    """Have a pod, RECEIVER, print what Alertmanager tells the receiver that the inventory names meanwhile."""
    says = {
        "monitoring_receivers": [{"name": "test", "webhook": {"url": f"http://{RECEIVER}.{PLACE}.svc:8080/"}}],
        "monitoring_receivers_to": [{"namespace": PLACE, "pod_labels": {"app.kubernetes.io/name": RECEIVER}}],
        "monitoring_receivers_ports": [8080],
    }
    with pod_of(cluster, RECEIVER, DRILL, {}):
        done = play("playbooks/monitoring.yml", **says)
        assert done.code == 0, done.output
        yield
    back = play("playbooks/monitoring.yml")
    assert back.code == 0, back.output


@pytest.fixture
def receiver(cluster: Cluster) -> Iterator[str]:
    with told(cluster):
        yield RECEIVER


def test_whoever_is_to_be_told_hears_of_something_that_is_gone(cluster: Cluster, receiver: str) -> None:
    collected = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
    with pod_of(cluster, SHORT_LIVED, FIGURE, collected):
        eventually(f"{SHORT_LIVED} is collected", lambda: query(cluster, f'up{{app="{SHORT_LIVED}"}} == 1'), 120)
    heard = eventually(
        "the alert TargetGone",
        lambda: [line for line in log_of(cluster, receiver) if line.startswith("TargetGone ")],
        420,
    )
    assert heard[0].endswith(" firing")
    (alert,) = query(cluster, f'ALERTS{{alertname="TargetGone", app="{SHORT_LIVED}"}}')
    assert alert["metric"]["alertstate"] == "firing"
