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
    "monitoring_storage_class": "",
    "monitoring_external_labels": {"cluster": "exchange"},
}
HOOK = {"name": "hook", "webhook": {"url": "https://hooks.example.com/SECRET"}}
MAIL = {"to": "a@example.com", "from": "b@example.com", "smarthost": "mail.example.com:587"}
REMOTE = {"name": "far", "url": "https://figures.example.com/write"}


def errors(changed: dict[str, Any]) -> list[str]:
    values = {**copy.deepcopy(GOOD), **{f"monitoring_{name}": value for name, value in changed.items()}}
    return find_errors([PLATFORM, MONITORING], values, names=list(values))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"receivers": [HOOK, {"name": "mail", "severities": ["critical"], "email": MAIL}]},
        {"receivers": [{"name": "mail", "email": {**MAIL, "username": "u", "password": "p"}}]},
        {"watchdog": {"url": "http://10.0.0.1:8080/alive", "bearer_token": "t"}},
        {"remote_write": [REMOTE, {**REMOTE, "name": "b", "bearer_token": "t"}]},
        {"rules": {"own": "groups: []"}},
        {"alertmanager_replicas": 3, "prometheus_replicas": 2},
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


def test_every_error_comes_in_one_message() -> None:
    assert len(errors({"retention_days": 0, "repeat_hours": 0, "receivers": [{"name": "hook"}]})) == 3
