"""Rules across the variables of roles/metrics_server. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import checks
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import Finding
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.rules_exchange_app import resources

# Whole numbers: lowest and highest. metrics-server itself takes no resolution below ten seconds.
_RANGES = {
    "metrics_server_replicas": (1, 10),
    "metrics_server_resolution_seconds": (10, 300),
    "metrics_server_kubelet_port": (1, 65535),
}


def errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with how metrics-server is to run."""
    found = [
        Finding(name, values[name], problem)
        for name, limits in _RANGES.items()
        if (problem := checks.between(values[name], *limits))
    ]
    found += [
        Finding(f"metrics_server_api_server_ports[{index}]", port, problem)
        for index, port in enumerate(values["metrics_server_api_server_ports"])
        if (problem := checks.between(port, 1, 65535))
    ]
    name = values["metrics_server_priority_class"]
    if name and (problem := checks.host_name(name)):
        found.append(Finding("metrics_server_priority_class", name, problem))
    limits = resources("metrics_server_resources", values["metrics_server_resources"])
    return found + [Finding(path, value, problem) for path, value, problem in limits if problem]
