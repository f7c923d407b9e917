"""Logs of a live platform: what the exchange says about a request is found by its id, and every line arrives."""

from __future__ import annotations

import base64
import json
import secrets
import socket
import ssl
import uuid
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, cast

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.log_canary import Loki
from conftest import Cluster, eventually, run_playbook
from kubernetes.client import CoreV1Api
from test_default import ADDRESS
from test_postgres import run

MONITORING, AGENTS, APP = "exchange-monitoring", "exchange-node-agents", "exchange"
LABELS = {"namespace", "pod", "container", "app", "node"}


@pytest.fixture(scope="module")
def loki(cluster: Cluster) -> Loki:
    return Loki(cluster.client.client, MONITORING)


def found(loki: Loki, query: str) -> list[dict[str, Any]]:
    """Return the streams that a query finds, labels and structured metadata as one, as soon as there are some."""

    def look() -> list[dict[str, Any]]:
        streams: list[dict[str, Any]] = loki.get("/loki/api/v1/query_range", query=query, since="10m")["result"]
        return streams

    return list(eventually(f"a line for {query}", look, 30))


class Exchange:
    """The exchange over its ingress, with a request id of ours for each request."""

    def __init__(self, cluster: Cluster, domain: str) -> None:
        """Trust the platform's CA and nothing else."""
        secret = cluster.kind("Secret").get(name="ingress-ca", namespace="exchange-platform")
        self.context = ssl.create_default_context(cadata=base64.b64decode(secret.data["tls.crt"]).decode())
        self.domain = domain

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[str, int]:
        """Return the request's id and the answer's status."""
        identifier = uuid.uuid4().hex
        connection = HTTPSConnection(self.domain, 443, context=self.context, timeout=20)
        # The name leads to the address on which this cluster's ingress listens.
        connection._create_connection = lambda _, *rest: connection_to(ADDRESS, *rest)  # type: ignore[attr-defined]  # noqa: SLF001
        told = {"X-Request-ID": identifier, "Content-Type": "application/json", **headers}
        connection.request(method, path, json.dumps(body) if body is not None else None, told)
        answer = connection.getresponse()
        assert answer.headers["X-Request-ID"] == identifier
        return identifier, answer.status


def connection_to(address: str, *rest: Any) -> socket.socket:
    return socket.create_connection((address, 443), *rest)


@pytest.fixture(scope="module")
def exchange(cluster: Cluster, variables: dict[str, Any]) -> Exchange:
    return Exchange(cluster, variables["platform_domain"])


def lines_of(loki: Loki, identifier: str) -> list[dict[str, Any]]:
    """Return what was said about a request, and look at where it came from."""
    streams = found(loki, f'{{namespace="{APP}"}} | request_id="{identifier}"')
    for stream in streams:
        labels = stream["stream"]
        assert (labels["namespace"], labels["app"]) == (APP, "exchange")
        assert labels["pod"].startswith("exchange-web-")
        assert labels["node"]
    return [json.loads(text) for stream in streams for _, text in stream["values"]]


@pytest.mark.parametrize(("path", "status"), [("/accounts/login/", 200), ("/there-is-no-such-page/", 404)])
def test_a_request_is_found_by_its_id(path: str, status: int, loki: Loki, exchange: Exchange) -> None:
    identifier, answered = exchange.ask("GET", path)
    assert answered == status
    (line,) = lines_of(loki, identifier)
    assert (line["event"], line["method"], line["path"], line["status"]) == ("request", "GET", path, status)


def test_an_order_is_found_by_its_id_and_by_who_placed_it(loki: Loki, exchange: Exchange, cluster: Cluster) -> None:
    api = cast("Any", CoreV1Api)(cluster.client.client)
    pod = next(
        item["metadata"]["name"]
        for item in cluster.items("Pod", namespace=APP, label_selector="app.kubernetes.io/component=web")
    )
    prepare = "python manage.py trade_load prepare --traders 1 --tokens /tmp/log-tokens >&2 && cat /tmp/log-tokens"
    code, said = run(api, APP, pod, ["sh", "-c", prepare])
    assert code == 0, said
    (trader,) = json.loads(said[said.index("[{") :])
    order = {"market": "BTC-USDC", "side": "buy", "quantity": "0.01", "price": "100.00"}
    key = {"Authorization": f"Bearer {trader['token']}", "Idempotency-Key": secrets.token_hex(8)}
    identifier, answered = exchange.ask("POST", "/api/v1/orders", order, **key)
    assert answered == 201
    lines = {line["event"]: line for line in lines_of(loki, identifier)}
    assert {"order placed", "request"} <= set(lines)
    user = lines["order placed"]["user_id"]
    query = f'{{namespace="{APP}"}} | user_id="{user}" | request_id="{identifier}"'
    assert found(loki, query)
    # What let it in stands nowhere.
    assert not loki.get("/loki/api/v1/query_range", query=f'{{namespace=~".+"}} |= "{trader["token"]}"')["result"]


def test_labels_are_few(loki: Loki) -> None:
    assert set(loki.get("/loki/api/v1/labels", since="1h")) == LABELS
    series = loki.get("/loki/api/v1/series", **{"match[]": '{namespace=~".+"}', "since": "1h"})
    # A stream for each container that has run, and no more.
    assert len({json.dumps(one, sort_keys=True) for one in series}) == len(
        {(one["namespace"], one["pod"], one["container"]) for one in series}
    )


def test_pods_of_every_node_are_there(loki: Loki, cluster: Cluster) -> None:
    nodes = {item["metadata"]["name"] for item in cluster.items("Node")}
    assert set(loki.get("/loki/api/v1/label/node/values", since="6h")) == nodes


def allowed(cluster: Cluster, account: str, verb: str, resource: str, namespace: str = "") -> bool:
    """Say whether a ServiceAccount may do something."""
    review = cluster.kind("SubjectAccessReview", "authorization.k8s.io/v1").create(
        body={
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": f"system:serviceaccount:{account}",
                "resourceAttributes": {"verb": verb, "resource": resource, "namespace": namespace},
            },
        }
    )
    return bool(review.status.allowed)


def test_the_collector_may_look_at_pods_and_at_no_secret(cluster: Cluster) -> None:
    account = f"{AGENTS}:collector"
    assert allowed(cluster, account, "list", "pods")
    for namespace in ("", APP, MONITORING, AGENTS, "kube-system"):
        for verb in ("get", "list", "watch"):
            assert not allowed(cluster, account, verb, "secrets", namespace)
            assert not allowed(cluster, account, verb, "configmaps", namespace)
        assert not allowed(cluster, account, "delete", "pods", namespace)


def test_a_second_run_changes_nothing() -> None:
    again = run_playbook("playbooks/logging.yml")
    assert (again.code, again.changed) == (0, 0), again.output


def test_the_drill_finds_every_line_and_leaves_nothing(cluster: Cluster, tmp_path: Path) -> None:
    wanted = {"verify_drills": ["logs"], "verify_logs_lines": 2000, "verify_report_directory": str(tmp_path)}
    done = run_playbook("playbooks/verify.yml", "-e", json.dumps(wanted))
    assert done.code == 0, done.output
    record = json.loads((tmp_path / "record.json").read_text())["logs"]
    assert (record["written"], record["missing"], record["doubled"]) == (2000, 0, 0)
    assert "missing          0" in (tmp_path / "report.html").read_text()
    assert not [
        job for job in cluster.items("Job", "batch/v1", namespace=MONITORING) if "log-canary" in job["metadata"]["name"]
    ]
