"""What autoscaling needs of the cluster. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Of exchange_app_autoscaling, where an inventory leaves it out: the role's, and the chart's.
CPU_PERCENT = 70


def missing_apis(settings: Mapping[str, Any], served: Sequence[str], components: Sequence[str]) -> list[str]:
    """Return which of the figures that exchange_app_autoscaling goes by nobody in the cluster can tell.

    Args:
        settings: exchange_app_autoscaling.
        served: API groups of the cluster, such as metrics.k8s.io.
        components: platform_components.
    """
    if not settings.get("enabled"):
        return []
    settings = {"cpu_percent": CPU_PERCENT, **settings}
    return [
        f"exchange_app_autoscaling.{key} is {settings[key]}: expected the API {api} in the cluster, which {who} brings"
        for key, api, who in _needed(settings, components)
        if api not in served
    ]


def _needed(settings: Mapping[str, Any], components: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    if "metrics_server" not in components:
        for key in ("cpu_percent", "memory_percent"):
            if settings.get(key):
                yield key, "metrics.k8s.io", "metrics-server (add metrics_server to platform_components)"
    if settings.get("source") == "prometheus_adapter":
        yield "source", "custom.metrics.k8s.io", "prometheus-adapter"
    if settings.get("source") == "keda":
        yield "source", "keda.sh", "KEDA"
