"""Every variable of roles/grafana, set wrongly: the error names it and what is allowed, and shows no secret."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import rules_grafana
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import Role, find_errors
from dashboard_queries import dashboards

ROLE = Path(__file__).parents[4] / "roles" / "grafana"
OPTIONS = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
GRAFANA = Role("grafana", OPTIONS, frozenset(), rules_grafana.errors)
PLATFORM_OPTIONS: dict[str, Any] = {
    "platform_domain": {"type": "str"},
    "platform_tls_mode": {"type": "str"},
    "platform_components": {"type": "list"},
    "ingress_nginx_controller": {"type": "str"},
}
PLATFORM = Role("platform", PLATFORM_OPTIONS, frozenset())
GOOD: dict[str, Any] = {
    **yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()),
    "platform_domain": "exchange.example.com",
    "platform_tls_mode": "selfsigned",
    "platform_components": ["monitoring", "exchange_app", "grafana"],
    "ingress_nginx_controller": "f5",
    "grafana_host": "grafana.exchange.example.com",
    "grafana_tls_certificate": "",
    "grafana_tls_private_key": "",
    "grafana_ingress_from": [{"namespace": "ingress-nginx", "pod_labels": {"a": "b"}}],
    "grafana_storage_class": "",
    "grafana_prometheus_url": "http://prometheus.exchange-monitoring.svc:9090",
    "grafana_alertmanager_url": "http://alertmanager.exchange-monitoring.svc:9093",
    "grafana_loki_url": "",
}
OIDC = {
    "client_id": "grafana",
    "client_secret": "SECRET",
    "auth_url": "https://id.example.com/a",
    "token_url": "https://id.example.com/t",
    "api_url": "https://id.example.com/u",
}
DATABASE = {"host": "db.example.com", "user": "grafana", "password": "SECRET", "ca": "authority"}
TRACES = {"name": "Traces", "uid": "traces", "type": "tempo", "url": "http://tempo.traces.svc:3200"}


def errors(changed: dict[str, Any]) -> list[str]:
    values = {
        **copy.deepcopy(GOOD),
        **{
            name if name.startswith(("platform_", "ingress_nginx_")) else f"grafana_{name}": v
            for name, v in changed.items()
        },
    }
    return find_errors([PLATFORM, GRAFANA], values, names=list(values))


def board(source: Any = None, uid: str = "mine") -> str:
    """Return a dashboard with a panel that asks a data source."""
    return json.dumps({"uid": uid, "title": "Mine", "panels": [{"panels": [{"targets": [{"datasource": source}]}]}]})


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"oidc": OIDC},
        {"oidc": {**OIDC, "role_attribute_path": "contains(groups[*], 'admins') && 'Admin' || 'Viewer'"}},
        {"database": DATABASE, "replicas": 2},
        {"datasources": [TRACES], "dashboards": {"mine": board({"type": "tempo", "uid": "traces"})}},
        {"dashboards": {"mine": board({"type": "prometheus", "uid": "prometheus"}), "other": board("Prometheus", "o")}},
        {"dashboards": {"mine": board({"type": "loki", "uid": "${source}"})}},
        {"dashboards": {"mine": board({"type": "datasource", "uid": "-- Mixed --"})}},
        {"ingress": False, "ingress_nginx_controller": "community"},
        {"ingress_from": [{"pod_labels": {"app.kubernetes.io/component": "ingress-controller"}}]},
        {"platform_tls_mode": "provided", "ingress": False},
    ],
)
def test_allowed(changed: dict[str, Any]) -> None:
    assert errors(changed) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"host": "no host"}, "grafana_host is 'no host': expected a host name"),
        ({"host": "exchange.example.com"}, "expected a host name that is not the application's"),
        ({"admin_username": "a;b"}, "grafana_admin_username is 'a;b': expected letters and digits"),
        ({"replicas": 0}, "grafana_replicas is 0: expected 1 to 10"),
        ({"replicas": 2}, "grafana_replicas is 2: expected 1, or grafana_database: a volume is for one"),
        ({"volume_size": "much"}, "grafana_volume_size is 'much': expected a Kubernetes quantity"),
        ({"memory_request": "2Gi"}, "grafana_memory_request is '2Gi': expected at most grafana_memory_limit, 512Mi"),
        ({"storage_class": "Fast!"}, "grafana_storage_class is 'Fast!': expected a name"),
        ({"outside_to": [{"cidr": "everywhere"}]}, "grafana_outside_to[0] is"),
        ({"outside_ports": [0]}, "grafana_outside_ports[0] is 0: expected 1 to 65535"),
        ({"ingress_nginx_controller": "community"}, "grafana_ingress is True: expected false, since"),
        ({"ingress_settings": {"nonsense": 1}}, "grafana_ingress_settings is"),
        ({"ingress_from": [{"namespace": "edge"}]}, "grafana_ingress_from[0] is"),
        ({"platform_tls_mode": "provided"}, "grafana_tls_certificate is '(PEM)': expected a PEM certificate"),
        (
            {"prometheus_url": ""},
            "expected its address (monitoring_prometheus_url), or a Prometheus of monitoring in",
        ),
        ({"prometheus_url": "prometheus:9090"}, "grafana_prometheus_url is 'prometheus:9090': expected an address"),
        ({"loki_url": "loki:3100"}, "grafana_loki_url is 'loki:3100': expected an address"),
        ({"oidc": {**OIDC, "client_id": ""}}, "grafana_oidc.client_id is (hidden): expected a value"),
        ({"oidc": {**OIDC, "client_secret": ""}}, "grafana_oidc.client_secret is (hidden): expected a value"),
        ({"oidc": {**OIDC, "token_url": "http://id"}}, "grafana_oidc.token_url is (hidden): expected an address"),
        ({"oidc": {**OIDC, "scopes": 'a"'}}, "grafana_oidc.scopes is (hidden): expected one line"),
        ({"oidc": {**OIDC, "scopes": "a\n[auth.anonymous]"}}, "grafana_oidc.scopes is (hidden): expected one line"),
        ({"database": {**DATABASE, "ca": ""}}, "grafana_database.ca is (hidden): expected a value"),
        ({"database": {**DATABASE, "host": ""}}, "grafana_database.host is (hidden): expected a host name"),
        ({"database": {**DATABASE, "user": "a b"}}, "grafana_database.user is (hidden): expected letters"),
        (
            {"datasources": [{**TRACES, "uid": "loki"}]},
            "grafana_datasources[0].uid is 'loki': expected one that no other",
        ),
        ({"datasources": [{**TRACES, "uid": "a b"}]}, "grafana_datasources[0].uid is 'a b': expected letters"),
        (
            {"datasources": [TRACES, {**TRACES, "uid": "other"}]},
            "grafana_datasources[1].name is 'Traces': expected one that no other",
        ),
        ({"datasources": [{**TRACES, "url": "tempo"}]}, "grafana_datasources[0].url is 'tempo': expected an address"),
        (
            {"dashboards": {"mine": board({"type": "loki", "uid": "loki"})}},
            "grafana_dashboards.mine is 'loki': it names this data source, which is missing: expected one of",
        ),
        ({"dashboards": {"mine": board("Elastic")}}, "grafana_dashboards.mine is 'Elastic': it names this data source"),
        ({"dashboards": {"mine": "{"}}, "expected JSON text of a dashboard"),
        ({"dashboards": {"mine": board(uid="overview")}}, "grafana_dashboards.mine.uid is 'overview'"),
        ({"dashboards": {"Mine!": board()}}, "grafana_dashboards.Mine! is 'Mine!': expected lower-case letters"),
    ],
)
def test_refused(changed: dict[str, Any], said: str) -> None:
    [found] = errors(changed)
    assert said in found
    assert "SECRET" not in found


def test_the_own_dashboards_are_known() -> None:
    assert set(dashboards()) == rules_grafana.OWN_DASHBOARDS
