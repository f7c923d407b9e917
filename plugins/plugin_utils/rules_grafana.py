"""Rules across the variables of roles/grafana."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.filter.ingress_annotations import ingress_annotations
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import checks
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.certificates import key_pair_error
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import HIDDEN, Finding
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.quantity import parse_quantity
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.rules_monitoring import web_address
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.rules_postgres import peer_errors

Values = Mapping[str, Any]
# The role's own data sources: uid -> the variable with its address, and the name.
OWN_SOURCES = {
    "prometheus": ("grafana_prometheus_url", "Prometheus"),
    "loki": ("grafana_loki_url", "Loki"),
    "alertmanager": ("grafana_alertmanager_url", "Alertmanager"),
}
# uids of the role's own dashboards.
OWN_DASHBOARDS = frozenset(
    {"overview", "application", "exchange", "database", "ingress", "nodes", "pod", "backups", "logs"}
)
# What Grafana answers itself.
_BUILT_IN = frozenset({"grafana", "-- Grafana --", "-- Mixed --", "-- Dashboard --"})
_UID = re.compile(r"[A-Za-z0-9_-]{1,40}")
# A setting in grafana.ini stands between three double quotes.
_SETTING = re.compile(r'[^\n\r]*?(?<!")')
_ACCOUNT = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_QUANTITIES = {"volume_size": "128Mi", "cpu_request": "1m", "memory_request": "64Mi", "memory_limit": "256Mi"}


def errors(values: Values) -> list[Finding]:
    """Return what is wrong with addresses, who may log in, dashboards and sizes."""
    found: list[Finding] = []

    def check(name: str, problem: str) -> None:
        if problem:
            found.append(Finding(f"grafana_{name}", values[f"grafana_{name}"], problem))

    check(
        "admin_username", "" if _ACCOUNT.fullmatch(values["grafana_admin_username"]) else "expected letters and digits"
    )
    check("replicas", checks.between(values["grafana_replicas"], 1, 10))
    for name, least in _QUANTITIES.items():
        check(name, checks.quantity(values[f"grafana_{name}"], least))
    check("storage_class", values["grafana_storage_class"] and checks.object_name(values["grafana_storage_class"]))
    found += peer_errors("grafana_outside_to", values["grafana_outside_to"])
    found += [
        Finding(f"grafana_outside_ports[{index}]", port, problem)
        for index, port in enumerate(values["grafana_outside_ports"])
        if (problem := checks.port(port))
    ]
    found += ingress_errors(values)
    found += oidc_errors(values["grafana_oidc"])
    found += database_errors(values)
    found += source_errors(values)
    found += dashboard_errors(values)
    return found or _sizes(values)


def ingress_errors(values: Values) -> list[Finding]:
    """Return what is wrong with the way in."""
    found = []
    host = values["grafana_host"]
    if problem := checks.host_name(host):
        found.append(Finding("grafana_host", host, problem))
    if host in {values["platform_domain"], *(values.get("exchange_app_extra_hosts") or [])}:
        found.append(Finding("grafana_host", host, "expected a host name that is not the application's"))
    if not values["grafana_ingress"]:
        return found
    controller = values.get("ingress_nginx_controller", "f5")
    if controller == "community" and "exchange_app" in values.get("platform_components", []):
        reason = "expected false, since ingress_nginx_controller is community, which serves a single namespace"
        found.append(Finding("grafana_ingress", values["grafana_ingress"], reason))
    try:
        ingress_annotations(values["grafana_ingress_settings"], controller)
    except AnsibleFilterError as error:
        found.append(Finding("grafana_ingress_settings", values["grafana_ingress_settings"], str(error)))
    found += [
        Finding(f"grafana_ingress_from[{index}]", peer, "expected pod_labels: everybody else would be let in")
        for index, peer in enumerate(values["grafana_ingress_from"])
        if not peer.get("pod_labels")
    ]
    if values["platform_tls_mode"] == "provided":
        problem = key_pair_error(
            values["grafana_tls_certificate"],
            values["grafana_tls_private_key"],
            host,
            {"key": "grafana_tls_private_key", "domain": "grafana_host"},
        )
        if problem:
            found.append(Finding("grafana_tls_certificate", "(PEM)", problem))
    return found


def oidc_errors(oidc: Values) -> list[Finding]:
    """Return what an identity provider lacks."""
    if not any(oidc.values()):
        return []
    found = [
        Finding(f"grafana_oidc.{key}", HIDDEN, "expected a value, since grafana_oidc is set")
        for key in ("client_id", "client_secret")
        if not oidc.get(key)
    ]
    found += [
        Finding(f"grafana_oidc.{key}", HIDDEN, "expected an address such as https://id.example.com/token")
        for key in ("auth_url", "token_url", "api_url")
        if checks.https_url(oidc.get(key) or "")
    ]
    found += [
        Finding(f"grafana_oidc.{key}", HIDDEN, "expected one line without a double quote at its end")
        for key in ("name", "client_id", "scopes", "role_attribute_path")
        if not _SETTING.fullmatch(oidc.get(key) or "") or '"""' in (oidc.get(key) or "")
    ]
    return found


def database_errors(values: Values) -> list[Finding]:
    """Return what the database of Grafana's state lacks."""
    database = values["grafana_database"]
    if not database.get("host"):
        if values["grafana_replicas"] > 1:
            reason = "expected 1, or grafana_database: a volume is for one"
            return [Finding("grafana_replicas", values["grafana_replicas"], reason)]
        given = [key for key in ("name", "user", "password", "ca") if database.get(key)]
        return [Finding("grafana_database.host", "", "expected a host name beside the others")] if given else []
    found = [
        Finding(f"grafana_database.{key}", HIDDEN, "expected a value, since grafana_database has a host")
        for key in ("user", "password", "ca")
        if not database.get(key)
    ]
    if problem := checks.host_or_address(database["host"]):
        found.append(Finding("grafana_database.host", HIDDEN, problem))
    if problem := checks.port(database.get("port") or 0):
        found.append(Finding("grafana_database.port", HIDDEN, problem))
    found += [
        Finding(f"grafana_database.{key}", HIDDEN, "expected letters, digits, '_' and '-'")
        for key in ("name", "user")
        if database.get(key) and not _ACCOUNT.fullmatch(database[key])
    ]
    return found


def source_errors(values: Values) -> list[Finding]:
    """Return what is wrong with data sources."""
    found = []
    for name, what in OWN_SOURCES.values():
        if values[name] and (problem := web_address(values[name])):
            found.append(Finding(name, values[name], problem))
        elif not values[name] and what == "Prometheus":
            reason = (
                "expected its address (monitoring_prometheus_url), or a Prometheus of monitoring in platform_components"
            )
            found.append(Finding(name, "", reason))
    taken = [*OWN_SOURCES, *(name for _, name in OWN_SOURCES.values())]
    for index, source in enumerate(values["grafana_datasources"]):
        path = f"grafana_datasources[{index}]"
        if not _UID.fullmatch(source["uid"]):
            found.append(Finding(f"{path}.uid", source["uid"], "expected letters, digits, '_' and '-', at most 40"))
        found += [
            Finding(f"{path}.{key}", source[key], f"expected one that no other data source has: not {', '.join(taken)}")
            for key in ("uid", "name")
            if source[key] in taken
        ]
        if problem := web_address(source["url"]):
            found.append(Finding(f"{path}.url", source["url"], problem))
        taken += [source["uid"], source["name"]]
    return found


def dashboard_errors(values: Values) -> list[Finding]:
    """Return what is wrong with the inventory's dashboards: above all, data sources that aren't there."""
    found = []
    known = [uid for uid, (name, _) in OWN_SOURCES.items() if values[name]]
    known += [OWN_SOURCES[uid][1] for uid in known]
    known += [source[key] for source in values["grafana_datasources"] for key in ("uid", "name")]
    uids = set(OWN_DASHBOARDS)
    for name, text in values["grafana_dashboards"].items():
        path = f"grafana_dashboards.{name}"
        if problem := checks.dns_label(name):
            found.append(Finding(path, name, problem))
        try:
            content = json.loads(text) if isinstance(text, str) else None
        except ValueError:
            content = None
        if not isinstance(content, dict) or not content.get("title") or not content.get("uid"):
            found.append(Finding(path, text, "expected JSON text of a dashboard with a uid and a title"))
            continue
        if content["uid"] in uids:
            found.append(Finding(f"{path}.uid", content["uid"], "expected one that no other dashboard has"))
        uids.add(content["uid"])
        missing = sorted({source for source in used_sources(content) if source not in known})
        found += [
            Finding(path, source, f"it names this data source, which is missing: expected one of {', '.join(known)}")
            for source in missing
        ]
    return found


def used_sources(content: Any) -> Iterator[str]:
    """Yield the uids, or names, of the data sources that a dashboard names; not those that its variables choose."""
    if isinstance(content, list):
        for item in content:
            yield from used_sources(item)
    if not isinstance(content, Mapping):
        return
    for key, item in content.items():
        if key == "datasource" and item:
            named = item.get("uid") if isinstance(item, Mapping) else item
            if isinstance(named, str) and named not in _BUILT_IN and not named.startswith("$"):
                yield named
        else:
            yield from used_sources(item)


def _sizes(values: Values) -> list[Finding]:
    """Return what does not fit together, once every single value is right."""
    request, limit = values["grafana_memory_request"], values["grafana_memory_limit"]
    if parse_quantity(request) <= parse_quantity(limit):
        return []
    return [Finding("grafana_memory_request", request, f"expected at most grafana_memory_limit, {limit}")]
