"""Rules across the variables of roles/ingress_nginx."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import checks
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import Finding

_PREFIX = "ingress_nginx_"
_NODE_PORTS = (30000, 32767)
# Lowest and highest value of each number.
_RANGES = {
    "replicas": (1, 100),
    "connect_timeout_seconds": (1, 75),
    "read_timeout_seconds": (1, 86400),
    "send_timeout_seconds": (1, 86400),
    "keepalive_timeout_seconds": (0, 3600),
    "worker_shutdown_timeout_seconds": (1, 86400),
    "hsts_max_age_seconds": (0, 10**9),
    "pre_stop_seconds": (1, 300),
    "check_timeout_seconds": (4, 600),
}


# Least value of each quantity.
_QUANTITIES = {"cpu_request": "1m", "memory_request": "32Mi", "memory_limit": "128Mi"}
# What each item of a list must be.
_ITEMS: dict[str, Callable[[Any], str]] = {
    "watched_namespaces": checks.dns_label,
    "metrics_namespaces": checks.dns_label,
    "trusted_proxies": checks.network,
    "load_balancer_source_ranges": checks.network,
    "backend_ports": checks.port,
    "api_server_ports": checks.port,
}
_NOT_EMPTY = ("backend_ports", "api_server_ports", "tls_protocols")
# Checked unless they are empty.
_OPTIONAL: dict[str, Callable[[Any], str]] = {
    "cpu_limit": lambda value: checks.quantity(value, "1m"),
    "status_address": checks.host_or_address,
}


def errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with sizes, timeouts, ports, networks and namespaces."""
    own = {name.removeprefix(_PREFIX): value for name, value in values.items() if name.startswith(_PREFIX)}
    problems: list[tuple[str, str]] = [
        *((name, checks.between(own[name], lowest, highest)) for name, (lowest, highest) in _RANGES.items()),
        *((name, checks.quantity(own[name], at_least)) for name, at_least in _QUANTITIES.items()),
        *((name, check(own[name])) for name, check in _OPTIONAL.items() if own[name]),
        *((name, "expected at least one") for name in _NOT_EMPTY if not own[name]),
        *((name, _prefixed(item, check(item))) for name, check in _ITEMS.items() for item in own[name]),
        ("body_size", checks.nginx_size(own["body_size"])),
    ]
    found = [Finding(f"{_PREFIX}{name}", own[name], problem) for name, problem in problems if problem]
    return found + request_errors(values) + service_errors(values) + placement_errors(values)


def _prefixed(item: Any, problem: str) -> str:
    """Return a problem with an item of a list, naming the item."""
    return f"{item!r}: {problem}" if problem else ""


def request_errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with TLS, the client's address and the controller's own keys."""
    found = []
    if values["ingress_nginx_proxy_protocol"] and not values["ingress_nginx_trusted_proxies"]:
        found.append(
            Finding(
                "ingress_nginx_trusted_proxies",
                [],
                "expected the proxies' networks, since ingress_nginx_proxy_protocol is true: "
                "anybody else could claim any address",
            )
        )
    found += [
        Finding(f"ingress_nginx_extra_configuration.{key}", value, "expected text, a number or a boolean")
        for key, value in values["ingress_nginx_extra_configuration"].items()
        if not isinstance(value, (str, int, float, bool))
    ]
    return found


def service_errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what doesn't fit the Service's type."""
    found = []
    kind = values["ingress_nginx_service_type"]
    ports = {name: values[name] for name in ("ingress_nginx_node_port_http", "ingress_nginx_node_port_https")}
    for name, port in ports.items():
        if port and kind == "ClusterIP":
            found.append(Finding(name, port, "expected 0, since ingress_nginx_service_type is ClusterIP"))
        elif port and checks.between(port, *_NODE_PORTS):
            found.append(Finding(name, port, "expected 30000 to 32767, or 0 to let the cluster choose"))
    http, https = ports.values()
    if http and http == https:
        found.append(Finding("ingress_nginx_node_port_https", https, "expected another port than that for HTTP"))
    if kind != "LoadBalancer":
        found += [
            Finding(name, values[name], f"expected none, since ingress_nginx_service_type is {kind}")
            for name in ("ingress_nginx_load_balancer_class", "ingress_nginx_load_balancer_source_ranges")
            if values[name]
        ]
    return found


def placement_errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with memory and with the namespaces that are watched."""
    found = []
    request, limit = (values[f"ingress_nginx_memory_{which}"] for which in ("request", "limit"))
    if not checks.quantity(request) and not checks.quantity(limit) and checks.quantity(limit, request):
        found.append(
            Finding("ingress_nginx_memory_limit", limit, f"expected at least ingress_nginx_memory_request ({request})")
        )
    watched = values["ingress_nginx_watched_namespaces"]
    if len(set(watched)) < len(watched):
        found.append(Finding("ingress_nginx_watched_namespaces", watched, "expected each namespace once"))
    if values["ingress_nginx_controller"] == "community" and len(watched) > 1:
        found.append(
            Finding(
                "ingress_nginx_watched_namespaces",
                watched,
                "expected one namespace at most, since the community controller watches one or all; f5 takes several",
            )
        )
    return found
