"""Every variable of roles/monitoring, set wrongly: the error names it and what is allowed, and shows no secret."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import rules_monitoring
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import Role, find_errors

ROLE = Path(__file__).parents[4] / "roles" / "monitoring"
OPTIONS = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
MONITORING = Role("monitoring", OPTIONS, frozenset(), rules_monitoring.errors)
PLATFORM = Role("platform", {}, frozenset())
GOOD: dict[str, Any] = {
    **yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()),
    "monitoring_cluster_metrics": True,
    "monitoring_node_exporter": True,
    "monitoring_kube_state_metrics": True,
    "monitoring_storage_class": "",
    "monitoring_external_labels": {"cluster": "exchange"},
    "monitoring_probes": [],
    "monitoring_probes_to": [],
    "monitoring_slos": [],
}
HOOK = {"name": "hook", "webhook": {"url": "https://hooks.example.com/SECRET"}}
MAIL = {"to": "a@example.com", "from": "b@example.com", "smarthost": "mail.example.com:587"}
PROBE = {"name": "app", "url": "https://exchange.example.com/readyz", "through": "ingress.example.svc"}
SLO = {
    "name": "good",
    "objective_percent": 99.9,
    "window_days": 30,
    "good": "rate(a[$window])",
    "total": "rate(b[$window])",
}
EXISTING = {
    "prometheus": "existing",
    "prometheus_from": [{"namespace": "figures", "pod_labels": {"app": "prometheus"}}],
    "prometheus_account": {"namespace": "figures", "name": "prometheus-k8s"},
}
REMOTE = {"name": "far", "url": "https://figures.example.com/write"}


def errors(changed: dict[str, Any]) -> list[str]:
    values = {**copy.deepcopy(GOOD), **{f"monitoring_{name}": value for name, value in changed.items()}}
    return find_errors([PLATFORM, MONITORING], values, names=list(values))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {
            "receivers": [HOOK, {"name": "mail", "severities": ["critical"], "email": MAIL}],
            "receivers_ports": [443, 587],
        },
        {"receivers": [{"name": "m", "email": {**MAIL, "username": "u", "password": "p"}}], "receivers_ports": [587]},
        {"watchdog": {"url": "http://10.0.0.1:8080/alive", "bearer_token": "t"}, "receivers_ports": [8080]},
        {"remote_write": [REMOTE, {**REMOTE, "name": "b", "bearer_token": "t"}]},
        {"rules": {"own": "groups: []"}},
        {"probes": [PROBE, {"name": "b", "url": "http://10.0.0.1"}], "probes_to": [{"cidr": "10.0.0.0/8"}]},
        {"slos": [SLO, {**SLO, "name": "b", "objective_percent": 50}]},
        {"alertmanager_replicas": 3, "prometheus_replicas": 2},
        EXISTING,
        {**EXISTING, "prometheus_url": "http://prometheus.figures.svc:9090", "watchdog": {"url": ""}},
        # What it would need, beside one of ours.
        {**EXISTING, "prometheus": "internal", "receivers": [HOOK]},
    ],
)
def test_allowed(changed: dict[str, Any]) -> None:
    assert errors(changed) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("scrape_interval_seconds", 1, "_scrape_interval_seconds is 1: expected 5 to 120"),
        ("retention_days", "-1d", "_retention_days is '-1d'"),
        ("retention_days", -1, "_retention_days is -1: expected 1 to 3650"),
        ("volume_size", "a lot", "_volume_size is 'a lot': expected a Kubernetes quantity"),
        ("volume_size", "10Mi", "_volume_size is '10Mi': expected at least 1Gi"),
        ("prometheus_replicas", 3, "_prometheus_replicas is 3: expected 1 to 2"),
        ("alertmanager_replicas", 2, "_alertmanager_replicas is 2: expected 1 or 3"),
        ("repeat_hours", 0, "_repeat_hours is 0: expected 1 to 168"),
        ("kubelet_port", 0, "_kubelet_port is 0: expected 1 to 65535"),
        ("collected_ports", [9090, 70000], "_collected_ports[1] is 70000: expected 1 to 65535"),
        ("namespaces", ["Shop"], "_namespaces[0] is 'Shop': expected lower-case letters"),
        ("external_labels", {"replica": "a"}, "_external_labels is"),
        ("external_labels", {"a-b": "c"}, "expected names of letters, digits and '_'"),
        ("receivers_to", [{"cidr": "everywhere"}], '_receivers_to[0] is {"cidr": "everywhere"}: expected a network'),
        ("readers", [{"cidr": "10.0.0.0/99"}], '_readers[0] is {"cidr": "10.0.0.0/99"}: expected a network'),
        ("receivers", [{"name": "hook", "webhook": {}}], "_receivers[0].webhook.url is"),
        ("receivers", [{"name": "hook", "webhook": {"bearer_token": "t"}}], "_receivers[0].webhook.url is"),
        ("receivers", [{"name": "hook"}], "expected exactly one of webhook, slack, email, pagerduty"),
        ("receivers", [{**HOOK, "email": MAIL}], "expected exactly one of webhook, slack, email, pagerduty"),
        ("receivers", [HOOK, HOOK], "_receivers[1].name is"),
        ("receivers", [{**HOOK, "name": "nobody"}], "expected a name of its own, other than nobody"),
        ("receivers", [{**HOOK, "severities": ["loud"]}], "expected some of critical, warning, info"),
        ("receivers", [{"name": "hook", "webhook": {"url": "SECRET"}}], "_receivers[0].webhook.url is (hidden)"),
        ("receivers", [{"name": "chat", "slack": {"url": "https://x.example.com"}}], "_receivers[0].slack.channel is"),
        ("receivers", [{"name": "m", "email": {**MAIL, "smarthost": "mail"}}], "expected HOST:PORT"),
        ("receivers", [{"name": "m", "email": {**MAIL, "username": "u"}}], "expected a username and a password"),
        ("receivers", [{"name": "night", "pagerduty": {"routing_key": ""}}], "_receivers[0].pagerduty.routing_key is"),
        ("watchdog", {"url": "SECRET"}, "_watchdog.url is (hidden): expected an address"),
        ("remote_write", [{**REMOTE, "url": "ftp://far"}], "_remote_write[0].url is"),
        ("remote_write", [REMOTE, REMOTE], "_remote_write[1].name is"),
        ("remote_write", [{**REMOTE, "username": "u"}], "expected a username and a password, or neither"),
        ("remote_write", [{**REMOTE, "username": "u", "password": "p", "bearer_token": "t"}], "or a token"),
        (
            "probes",
            [{**PROBE, "url": "exchange.example.com"}],
            "_probes[0].url is 'exchange.example.com': expected an address",
        ),
        ("probes", [PROBE, PROBE], "_probes[1].name is 'app': expected a name of its own"),
        ("probes", [{**PROBE, "through": "a b"}], "_probes[0].through is 'a b': expected a host name"),
        ("probes_to", [{"cidr": "everywhere"}], "_probes_to[0] is"),
        ("probes_ports", [0], "_probes_ports[0] is 0: expected 1 to 65535"),
        ("slos", [{**SLO, "objective_percent": 100}], "_slos[0].objective_percent is 100"),
        ("slos", [{**SLO, "objective_percent": 0}], "_slos[0].objective_percent is 0"),
        ("slos", [{**SLO, "objective_percent": -1}], "expected more than 0 and less than 100"),
        ("slos", [{**SLO, "window_days": 1}], "_slos[0].window_days is 1: expected 7 to 90"),
        ("slos", [{**SLO, "good": "rate(a[5m])"}], "_slos[0].good is 'rate(a[5m])': expected a query with [$window]"),
        (
            "slos",
            [{**SLO, "window_days": 31}],
            "_retention_days is 30: expected at least 31, monitoring_slos[0].window_days",
        ),
        ("probes_ca", "mine", "_probes_ca is 'mine': expected certificates as PEM"),
        (
            "receivers",
            [{**HOOK, "webhook": {"url": "https://SECRET:8443"}}],
            "_receivers_ports is [443]: expected 8443",
        ),
        (
            "receivers",
            [{"name": "m", "email": MAIL}],
            "expected 587 among them: monitoring_receivers[0].email.smarthost",
        ),
        ("watchdog", {"url": "http://SECRET"}, "expected 80 among them: monitoring_watchdog is there"),
        ("remote_write", [{**REMOTE, "url": "https://r:9009/x"}], "expected 9009 among them: monitoring_remote_write"),
        ("remote_write", [{**REMOTE, "url": "https://u:SECRET@r"}], "_remote_write[0].url is (hidden)"),
        ("slos", [SLO, SLO], "_slos[1].name is 'good': expected a name of its own"),
        ("kube_state_metrics_memory_request", "1Gi", "expected at most monitoring_kube_state_metrics_memory_limit"),
        ("prometheus", "theirs", "_prometheus is 'theirs': value of monitoring_prometheus must be one of"),
        ("prometheus_url", "prometheus", "_prometheus_url is 'prometheus': expected an address"),
        ("cluster_metrics", "sometimes", "_cluster_metrics is 'sometimes'"),
        ("node_exporter", 3, "_node_exporter is 3: it is a int"),
        ("kube_state_metrics", [], "_kube_state_metrics is []: it is a list"),
        ("rules", {"own": "nothing"}, "_rules.own is"),
        ("rules", {"own": "groups: {"}, "expected the name of a file without its ending"),
        ("prometheus_memory_request", "4Gi", "_prometheus_memory_request is '4Gi': expected at most"),
        ("alertmanager_memory_limit", "32Mi", "_alertmanager_memory_limit is '32Mi': expected at least 64Mi"),
    ],
)
def test_refused(name: str, value: Any, said: str) -> None:
    found = errors({name: value})
    assert any(said in error for error in found), found
    assert not any("SECRET" in error for error in found)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"prometheus_from": []}, "_prometheus_from is []: expected its pods, since monitoring_prometheus is existing"),
        ({"prometheus_from": [{"namespace": "figures"}]}, "_prometheus_from is"),
        ({"prometheus_from": [{"cidr": "10.0.0.0/8"}]}, "_prometheus_from is"),
        (
            {"prometheus_from": [{"namespace": "Figures", "pod_labels": {"a": "b"}}]},
            "_prometheus_from[0].namespace is 'Figures': expected lower-case letters",
        ),
        (
            {"prometheus_from": [{"namespace": "figures", "pod_labels": {}}]},
            "_prometheus_from[0].pod_labels is {}: expected labels",
        ),
        (
            {"prometheus_account": {"namespace": "", "name": "prometheus"}},
            "_prometheus_account.namespace is '': expected lower-case letters",
        ),
        (
            {"prometheus_account": {"namespace": "figures", "name": ""}},
            "_prometheus_account.name is '': expected a name",
        ),
        (
            {"prometheus_account": {"namespace": "figures", "name": "Not a name"}},
            "_prometheus_account.name is 'Not a name': expected a name",
        ),
        ({"prometheus_account": {"namespace": "figures", "user": "me"}}, "_prometheus_account is"),
        ({"receivers": [HOOK]}, "_receivers is (hidden): expected nothing, since monitoring_prometheus is existing"),
        ({"watchdog": {"url": "https://SECRET.example.com"}}, "_watchdog is (hidden): expected nothing"),
        ({"remote_write": [REMOTE]}, "_remote_write is (hidden): expected nothing"),
        ({"readers": [{"namespace": "grafana"}]}, '_readers is [{"namespace": "grafana"'),
    ],
)
def test_refused_with_an_existing_prometheus(changed: dict[str, Any], said: str) -> None:
    [found] = errors({**EXISTING, **changed})
    assert said in found
    assert "SECRET" not in found


def test_every_error_comes_in_one_message() -> None:
    assert len(errors({"retention_days": 0, "repeat_hours": 0, "receivers": [{"name": "hook"}]})) == 3
