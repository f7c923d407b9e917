"""Rules across the variables of roles/monitoring."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import checks, slo
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.monitoring import KINDS, SEVERITIES
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import HIDDEN, Finding
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.quantity import parse_quantity
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.rules_postgres import peer_errors

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SMARTHOST = re.compile(r"[^\s:]+:[0-9]{1,5}")
_OWN_NAME = "expected a name of its own: lower-case letters, digits and '-'"
_QUANTITIES = {
    "volume_size": "1Gi",
    "prometheus_cpu_request": "10m",
    "prometheus_memory_request": "128Mi",
    "prometheus_memory_limit": "256Mi",
    "alertmanager_cpu_request": "1m",
    "alertmanager_memory_request": "32Mi",
    "alertmanager_memory_limit": "64Mi",
    "node_exporter_cpu_request": "1m",
    "node_exporter_memory_request": "16Mi",
    "node_exporter_memory_limit": "32Mi",
    "blackbox_cpu_request": "1m",
    "blackbox_memory_request": "16Mi",
    "blackbox_memory_limit": "32Mi",
    "kube_state_metrics_cpu_request": "1m",
    "kube_state_metrics_memory_request": "32Mi",
    "kube_state_metrics_memory_limit": "64Mi",
}


def errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with times, sizes, receivers and addresses."""
    found: list[Finding] = []

    def value(name: str) -> Any:
        return values[f"monitoring_{name}"]

    def check(name: str, problem: str) -> None:
        if problem:
            found.append(Finding(f"monitoring_{name}", value(name), problem))

    check("scrape_interval_seconds", checks.between(value("scrape_interval_seconds"), 5, 120))
    check("retention_days", checks.between(value("retention_days"), 1, 3650))
    check("repeat_hours", checks.between(value("repeat_hours"), 1, 168))
    check("prometheus_replicas", checks.between(value("prometheus_replicas"), 1, 2))
    check("alertmanager_replicas", "" if value("alertmanager_replicas") in {1, 3} else "expected 1 or 3")
    check("kubelet_port", checks.port(value("kubelet_port")))
    for name, least in _QUANTITIES.items():
        check(name, checks.quantity(value(name), least))
    for name in ("api_server_ports", "receivers_ports", "collected_ports", "probes_ports"):
        found += [
            Finding(f"monitoring_{name}[{index}]", port, problem)
            for index, port in enumerate(value(name))
            if (problem := checks.port(port))
        ]
    for name in ("receivers_to", "readers", "probes_to"):
        found += peer_errors(f"monitoring_{name}", value(name))
    found += [
        Finding(f"monitoring_namespaces[{index}]", name, problem)
        for index, name in enumerate(value("namespaces"))
        if (problem := checks.dns_label(name))
    ]
    check(
        "external_labels",
        ""
        if all(_LABEL.fullmatch(name) and name != "replica" for name in value("external_labels"))
        else "expected names of letters, digits and '_', and not replica, which tells two Prometheus apart",
    )
    authority = value("probes_ca")
    check("probes_ca", "" if not authority or "BEGIN CERTIFICATE" in authority else "expected certificates as PEM")
    found += _existing_errors(values)
    found += receiver_errors(value("receivers"))
    found += _watchdog_errors(value("watchdog"))
    found += _remote_errors(value("remote_write"))
    found += _rule_file_errors(value("rules"))
    found += _probe_errors(value("probes"))
    found += _objective_errors(value("slos"))
    return found or _sizes(values)


def _existing_errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with an existing Prometheus: what it lacks, and what only ours could do."""
    url = values["monitoring_prometheus_url"]
    found = [Finding("monitoring_prometheus_url", url, problem)] if url and (problem := web_address(url)) else []
    if values["monitoring_prometheus"] != "existing":
        return found
    reason = "since monitoring_prometheus is existing"
    pods = values["monitoring_prometheus_from"]
    if not pods:
        found.append(Finding("monitoring_prometheus_from", pods, f"expected its pods, {reason}"))
    for index, peer in enumerate(pods):
        path = f"monitoring_prometheus_from[{index}]"
        if problem := checks.dns_label(peer["namespace"]):
            found.append(Finding(f"{path}.namespace", peer["namespace"], problem))
        if not peer["pod_labels"]:
            found.append(Finding(f"{path}.pod_labels", {}, "expected labels: every pod there would be let in"))
    account = values["monitoring_prometheus_account"]
    for key, check in (("namespace", checks.dns_label), ("name", checks.object_name)):
        if problem := check(account.get(key) or ""):
            found.append(Finding(f"monitoring_prometheus_account.{key}", account.get(key) or "", problem))
    found += [
        Finding(
            f"monitoring_{name}",
            values[f"monitoring_{name}"],
            f"expected nothing, {reason}: {whose} whoever runs it decides",
        )
        for name, whose in (
            ("receivers", "whom it tells"),
            ("watchdog", "whom it tells"),
            ("remote_write", "where its samples go"),
            ("readers", "who may read it"),
        )
        if _is_given(values[f"monitoring_{name}"])
    ]
    return found


def _is_given(value: Any) -> bool:
    """Say whether something is set: preflight fills in a mapping's keys."""
    return any(value.values()) if isinstance(value, Mapping) else bool(value)


def web_address(value: str) -> str:
    """Check an address that something is sent to."""
    parts = urlsplit(value)
    good = parts.scheme in {"http", "https"} and bool(parts.hostname)
    return "" if good else "expected an address such as https://alerts.example.com/hook"


def receiver_errors(receivers: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return what is wrong with who is told. Addresses aren't shown: some of them are passwords."""
    found = []
    names = [receiver["name"] for receiver in receivers]
    for index, receiver in enumerate(receivers):
        path = f"monitoring_receivers[{index}]"
        name = receiver["name"]
        if checks.dns_label(name) or name == "nobody" or name in names[:index]:
            expected = "expected a name of its own, other than nobody: lower-case letters, digits and '-'"
            found.append(Finding(f"{path}.name", name, expected))
        unknown = set(receiver.get("severities") or []) - {*SEVERITIES}
        if unknown:
            found.append(Finding(f"{path}.severities", sorted(unknown), f"expected some of {', '.join(SEVERITIES)}"))
        chosen = [kind for kind in KINDS if receiver.get(kind)]
        if len(chosen) != 1:
            found.append(Finding(path, chosen, f"expected exactly one of {', '.join(KINDS)}"))
            continue
        (kind,) = chosen
        missing = [key for key in KINDS[kind] if not receiver[kind].get(key)]
        found += [Finding(f"{path}.{kind}.{key}", "", "expected a value") for key in missing]
        found += _kind_errors(f"{path}.{kind}", kind, receiver[kind])
    return found


def _kind_errors(path: str, kind: str, settings: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with the settings of one kind of receiver."""
    if kind in {"webhook", "slack"} and settings.get("url") and (problem := web_address(settings["url"])):
        return [Finding(f"{path}.url", HIDDEN, problem)]
    if kind == "email" and settings.get("smarthost") and not _SMARTHOST.fullmatch(settings["smarthost"]):
        return [Finding(f"{path}.smarthost", settings["smarthost"], "expected HOST:PORT")]
    if kind == "email" and bool(settings.get("username")) != bool(settings.get("password")):
        return [Finding(f"{path}.password", HIDDEN, "expected a username and a password, or neither")]
    return []


def _watchdog_errors(watchdog: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with who raises an alarm when nothing is heard."""
    if not any(watchdog.values()):
        return []
    problem = web_address(watchdog.get("url") or "")
    return [Finding("monitoring_watchdog.url", HIDDEN, problem)] if problem else []


def _name_errors(variable: str, entries: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return which entries of a list have no name of their own."""
    names = [entry["name"] for entry in entries]
    return [
        Finding(f"{variable}[{index}].name", name, _OWN_NAME)
        for index, name in enumerate(names)
        if checks.dns_label(name) or name in names[:index]
    ]


def _probe_errors(probes: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return what is wrong with the addresses that are probed."""
    found = _name_errors("monitoring_probes", probes)
    for index, probe in enumerate(probes):
        path = f"monitoring_probes[{index}]"
        if problem := web_address(probe["url"]):
            found.append(Finding(f"{path}.url", probe["url"], problem))
        if probe.get("through") and (problem := checks.host_or_address(probe["through"])):
            found.append(Finding(f"{path}.through", probe["through"], problem))
    return found


def _objective_errors(objectives: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return what is wrong with what is promised to users."""
    found = _name_errors("monitoring_slos", objectives)
    for index, objective in enumerate(objectives):
        path = f"monitoring_slos[{index}]"
        found += [Finding(f"{path}.{key}", objective[key], problem) for key, problem in slo.errors(objective).items()]
    return found


def _remote_errors(remotes: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return what is wrong with where samples go besides."""
    found = _name_errors("monitoring_remote_write", remotes)
    for index, remote in enumerate(remotes):
        path = f"monitoring_remote_write[{index}]"
        if "@" in urlsplit(remote["url"]).netloc:
            expected = "expected an address without a password: username and password are settings of their own"
            found.append(Finding(f"{path}.url", HIDDEN, expected))
        elif problem := web_address(remote["url"]):
            found.append(Finding(f"{path}.url", remote["url"], problem))
        if remote.get("username") and remote.get("bearer_token"):
            found.append(Finding(f"{path}.bearer_token", HIDDEN, "expected a username and a password, or a token"))
        elif bool(remote.get("username")) != bool(remote.get("password")):
            found.append(Finding(f"{path}.password", HIDDEN, "expected a username and a password, or neither"))
    return found


def _rule_file_errors(files: Mapping[str, Any]) -> list[Finding]:
    """Return which of the inventory's rule files Prometheus wouldn't read at all."""
    found = []
    for name, content in files.items():
        try:
            groups = (yaml.safe_load(content) or {}).get("groups") if isinstance(content, str) else None
        except (yaml.YAMLError, AttributeError):
            groups = None
        if checks.dns_label(name) or not isinstance(groups, list):
            expected = "expected the name of a file without its ending, and YAML text with groups"
            found.append(Finding(f"monitoring_rules.{name}", content, expected))
    return found


def _port_errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return which receivers and remote stores are on a port that isn't let out. Their addresses aren't shown."""
    sent = [
        (f"monitoring_{name}", entry["url"])
        for name, entries in (
            ("watchdog", [values["monitoring_watchdog"]]),
            ("remote_write", values["monitoring_remote_write"]),
        )
        for entry in entries
        if entry.get("url")
    ]
    for index, receiver in enumerate(values["monitoring_receivers"]):
        for kind, key in (("webhook", "url"), ("slack", "url"), ("email", "smarthost")):
            if address := (receiver.get(kind) or {}).get(key):
                address = f"//{address}" if key == "smarthost" else address
                sent.append((f"monitoring_receivers[{index}].{kind}.{key}", address))
    ports = values["monitoring_receivers_ports"]
    found = []
    for path, address in sent:
        parts = urlsplit(address)
        port = parts.port or (80 if parts.scheme == "http" else 443)
        if port not in ports:
            found.append(Finding("monitoring_receivers_ports", ports, f"expected {port} among them: {path} is there"))
    return found


def _window_errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return which objectives look back on more than is kept. What an existing Prometheus keeps isn't known."""
    kept = values["monitoring_retention_days"]
    if values["monitoring_prometheus"] == "existing":
        return []
    return [
        Finding(
            "monitoring_retention_days",
            kept,
            f"expected at least {objective['window_days']}, monitoring_slos[{index}].window_days",
        )
        for index, objective in enumerate(values["monitoring_slos"])
        if objective["window_days"] > kept
    ]


def _sizes(values: Mapping[str, Any]) -> list[Finding]:
    """Return what does not fit together, once every single value is right."""
    found = _port_errors(values) + _window_errors(values)
    for part in ("prometheus", "alertmanager", "node_exporter", "blackbox", "kube_state_metrics"):
        request, limit = (f"monitoring_{part}_memory_{kind}" for kind in ("request", "limit"))
        if parse_quantity(values[request]) > parse_quantity(values[limit]):
            found.append(Finding(request, values[request], f"expected at most {limit}, {values[limit]}"))
    return found
