"""Autoscaling is refused where nobody can tell what it goes by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.autoscaling import CPU_PERCENT, missing_apis

PROJECT = Path(__file__).resolve().parents[4]
CPU: dict[str, Any] = {"enabled": True, "cpu_percent": 70, "source": "none"}


@pytest.mark.parametrize(
    ("settings", "served", "components", "words"),
    [
        ({"enabled": False, "cpu_percent": 70, "source": "keda"}, [], [], []),
        (CPU, ["apps", "metrics.k8s.io"], [], []),
        (CPU, [], ["metrics_server"], []),
        (CPU, ["apps"], [], ["exchange_app_autoscaling.cpu_percent is 70", "metrics.k8s.io", "metrics_server"]),
        ({"enabled": True}, ["apps"], [], ["exchange_app_autoscaling.cpu_percent is 70"]),
        ({**CPU, "cpu_percent": 0}, [], [], []),
        ({**CPU, "cpu_percent": 0, "memory_percent": 80}, [], [], ["memory_percent is 80"]),
        (
            {**CPU, "source": "prometheus_adapter"},
            ["metrics.k8s.io"],
            [],
            ["prometheus_adapter", "custom.metrics.k8s.io"],
        ),
        ({**CPU, "source": "prometheus_adapter"}, ["metrics.k8s.io", "custom.metrics.k8s.io"], [], []),
        ({**CPU, "source": "keda"}, ["metrics.k8s.io"], [], ["source is keda", "keda.sh", "KEDA"]),
        ({**CPU, "source": "keda"}, ["metrics.k8s.io", "keda.sh"], [], []),
    ],
)
def test_what_is_missing_is_named(
    settings: dict[str, Any], served: list[str], components: list[str], words: list[str]
) -> None:
    found = missing_apis(settings, served, components)
    assert len(found) == bool(words)
    assert all(word in found[0] for word in words)


def test_what_is_left_out_is_the_same_everywhere() -> None:
    spec = yaml.safe_load((PROJECT / "roles/exchange_app/meta/argument_specs.yml").read_text())["argument_specs"]
    chart = yaml.safe_load((PROJECT / "charts/exchange/values.yaml").read_text())
    assert spec["main"]["options"]["exchange_app_autoscaling"]["options"]["cpu_percent"]["default"] == CPU_PERCENT
    assert chart["autoscaling"]["cpuPercent"] == CPU_PERCENT
