"""Every query of every dashboard, asked of the cluster's Prometheus and Loki: each is taken, and finds what is there.

Grafana itself need not run: what its panels and variables would ask is read from the committed dashboards.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import pytest
import urllib3
from cluster.paths import tools
from conftest import CONTEXT, KUBECONFIG, Cluster, eventually, run_playbook
from dashboard_queries import Asked, asked, dashboards, filled, panels, variables
from kubernetes.client import CoreV1Api
from test_postgres import run

pytestmark = pytest.mark.usefixtures("own_prometheus")

NAMESPACE = "exchange-monitoring"
APP = "exchange"
HOST = "exchange.localhost"
NO_CONTROLLER = "no NGINX controller's image can be had without a registry"
NO_STATE_METRICS = "kube-state-metrics' image can't be had without a registry"
NO_BACKUPS = "the demo has no bucket, unless postgres_backup is among its components"
NO_LIMIT = "pods here have no limit of processors"
QUIET = "nothing of the kind happens on a cluster that is well"
# Panels that may find nothing on kind without a registry, and why. What needs backups is asked where there are some.
NOTHING_HERE = {
    "ingress: Last configuration taken": NO_CONTROLLER,
    "ingress: Open connections": NO_CONTROLLER,
    "ingress: Requests": NO_CONTROLLER,
    "ingress: Reloads, and those that failed": NO_CONTROLLER,
    "ingress: Connections": NO_CONTROLLER,
    "nodes: Restarts of containers": NO_STATE_METRICS,
    "nodes: Containers that can't start": NO_STATE_METRICS,
    "exchange: Books balanced": NO_STATE_METRICS,
    "exchange: Checks that failed": NO_STATE_METRICS,
    "overview: Oldest newest backup": NO_BACKUPS,
    "overview: Backup proved": NO_BACKUPS,
    "database: Bytes on disk for each byte of a dump": NO_BACKUPS,
    "backups: Since WAL was archived": NO_BACKUPS,
    "overview: Alerts that fire": QUIET,
    "overview: Exceptions of the application": QUIET,
    "application: Failed requests by view": QUIET,
    "exchange: Orders taken out of the book": QUIET,
    "logs: Requests that failed": QUIET,
    "pod: Throttled": NO_LIMIT,
}
# Dashboards of which every panel may find nothing, and why.
NOTHING_OF = {"backups": NO_BACKUPS}


@contextmanager
def forwarded(pod: str, port: int) -> Iterator[str]:
    """Reach a pod's port from this machine while the block runs: past NetworkPolicies, as a person does."""
    command = [str(tools() / "kubectl"), f"--kubeconfig={KUBECONFIG}", *([f"--context={CONTEXT}"] if CONTEXT else [])]
    command += ["-n", NAMESPACE, "port-forward", "--address=127.0.0.1", f"pod/{pod}", f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as forward:
        assert forward.stdout is not None
        try:
            said = forward.stdout.readline()
            assert "->" in said, f"{pod} can't be reached: {said or 'it is not there'}"
            yield "http://" + said.split(" ")[2]
        finally:
            forward.terminate()


class Sources:
    """Prometheus and Loki, by the uid that dashboards call them by."""

    def __init__(self, prometheus: str, loki: str) -> None:
        """Keep their addresses."""
        self.addresses = {"prometheus": f"{prometheus}/api/v1", "loki": f"{loki}/loki/api/v1"}

    def get(self, uid: str, path: str, fields: dict[str, str]) -> Any:
        """Return what one answers; an answer that isn't 200 fails with what it says."""
        answer = urllib3.request("GET", f"{self.addresses[uid]}/{path}", fields=fields, timeout=60)
        assert answer.status == 200, f"{fields}: {answer.data.decode()[:300]}"
        return json.loads(answer.data)["data"]

    def ask(self, uid: str, expr: str) -> list[Any]:
        """Return what a query finds in the last hour."""
        now = int(time.time())
        start = now - 3600
        fields = {"query": expr, "start": str(start), "end": str(now), "step": "60", "limit": "100"}
        found: list[Any] = self.get(uid, "query_range", fields)["result"]
        return found

    @cache  # noqa: B019 - as long as the tests
    def values(self, dashboard: str) -> dict[str, str]:
        """Return what Grafana would fill in for a dashboard's variables, as it is opened."""
        found: dict[str, str] = {}
        for name, variable in variables(dashboards()[dashboard]).items():
            if variable["type"] == "query" and not variable.get("includeAll"):
                offered = self.offered(variable, name)
                assert offered, f"{dashboard}: nothing to choose for {name}"
                found[name] = offered[0]
            else:
                found[name] = variable.get("allValue", "") if variable.get("includeAll") else ""
        return found

    def offered(self, variable: dict[str, Any], name: str) -> list[str]:
        """Return the values that Prometheus knows for `label_values(metric, label)`."""
        metric = variable["query"]["query"].removeprefix("label_values(").rpartition(",")[0]
        now = int(time.time())
        fields = {"match[]": metric, "start": str(now - 3600), "end": str(now)}
        listed: list[str] = self.get("prometheus", f"label/{name}/values", fields)
        return listed


@pytest.fixture(scope="module")
def sources(cluster: Cluster) -> Iterator[Sources]:
    """Reach both, once there has been traffic for long enough to tell a rate, and a backup where they are made."""
    with forwarded("prometheus-0", 9090) as prometheus, forwarded("loki-0", 3100) as loki:
        found = Sources(prometheus, loki)
        trade(cluster)
        if has_backups(found):
            done = run_playbook("playbooks/backup.yml", "-e", '{"backup_now": ["backup", "drill"]}')
            assert done.code == 0, done.output
            eventually(
                "its proof is known",
                lambda: found.ask("prometheus", "exchange_backup_last_verified_timestamp_seconds"),
                300,
            )
        eventually(
            "orders are counted, twice",
            lambda: found.ask("prometheus", "sum(rate(exchange_orders_total[5m])) > 0"),
        )
        yield found


def trade(cluster: Cluster) -> None:
    """Let traders trade for as long as one command may take here, through a pod's own port."""
    api = cast("Any", CoreV1Api)(cluster.client.client)
    [*pods] = cluster.items("Pod", namespace=APP, label_selector="app.kubernetes.io/component=web")
    command = ["python", "manage.py", "trade_load", "run", "--base-url", "http://127.0.0.1:8000", "--rate", "5"]
    command += ["--header", f"Host: {HOST}", "--header", "X-Forwarded-Proto: https"]
    command += ["--seconds", "25", "--record", f"/tmp/dashboards-{time.time():.0f}.jsonl"]  # noqa: S108 - in the pod
    code, said = run(api, APP, pods[0]["metadata"]["name"], command)
    assert code == 0, said


def has_backups(sources: Sources) -> bool:
    """Say whether the cluster makes any."""
    return bool(sources.ask("prometheus", "exchange_backup_bucket_up"))


@pytest.mark.parametrize("one", asked(), ids=lambda one: f"{one.name}: {one.expr[:40]}")
def test_a_query_is_taken(sources: Sources, one: Asked) -> None:
    if one.dashboard in NOTHING_OF and not has_backups(sources):
        every = dict.fromkeys(variables(dashboards()[one.dashboard]), ".*")
        sources.ask(one.source, filled(one.expr, every))
    else:
        sources.ask(one.source, filled(one.expr, sources.values(one.dashboard)))


@pytest.mark.parametrize("name", dict.fromkeys(one.name for one in asked()))
def test_a_panel_shows_something_where_its_source_runs(sources: Sources, name: str) -> None:
    queries = [one for one in asked() if one.name == name]
    why = NOTHING_HERE.get(name) or NOTHING_OF.get(queries[0].dashboard)
    if why and not (why == NO_BACKUPS and has_backups(sources)):
        pytest.skip(why)
    assert any(sources.ask(one.source, filled(one.expr, sources.values(one.dashboard))) for one in queries)


@pytest.mark.parametrize("dashboard", dashboards())
def test_variables_offer_something(sources: Sources, dashboard: str) -> None:
    if dashboard in NOTHING_OF and not has_backups(sources):
        pytest.skip(NOTHING_OF[dashboard])
    sources.values(dashboard)
    for name, variable in variables(dashboards()[dashboard]).items():
        if variable["type"] == "query" and variable["datasource"]["uid"] == "prometheus":
            offered = {**variable, "query": {"query": filled(variable["query"]["query"], {"namespace": ".*"})}}
            assert sources.offered(offered, name), f"{dashboard}: {name}"


def test_a_request_is_found_by_its_id(sources: Sources) -> None:
    """Of the newest line with a request's id: all lines with it are of that request, and of the application."""
    some = sources.ask("loki", f'{{namespace="{APP}"}} | request_id=~".+"')
    identifier = some[0]["stream"]["request_id"]
    content = dashboards()["logs"]
    [panel] = [one for one in asked() if one.name == "logs: Lines"]
    values = {**sources.values(content["uid"]), "request_id": identifier}
    found = sources.ask("loki", filled(panel.expr, values))
    assert found
    assert {stream["stream"]["request_id"] for stream in found} == {identifier}
    assert {"namespace", "pod", "container", "app", "node"} <= found[0]["stream"].keys()


def searched_for() -> list[str]:
    """Return what links to log lines search for."""
    found = {
        dict(parse_qsl(urlsplit(link["url"]).query)).get("var-search", "")
        for content in dashboards().values()
        for panel in panels(content)
        for link in panel["fieldConfig"]["defaults"].get("links", [])
    }
    return sorted(found - {""})


@pytest.mark.parametrize("text", searched_for())
def test_loki_takes_what_a_link_searches_for(sources: Sources, text: str) -> None:
    values = {**sources.values("logs"), "search": text.replace("${__field.labels.node}", "worker")}
    for one in asked():
        if one.dashboard == "logs" and "${search}" in one.expr:
            sources.ask(one.source, filled(one.expr, values))


def test_the_list_of_what_is_not_here_names_panels() -> None:
    assert set(NOTHING_HERE) <= {one.name for one in asked()}
    assert set(NOTHING_OF) <= set(dashboards())
