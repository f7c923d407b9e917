"""What preflight refuses of roles/metrics_server's variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import rules_metrics_server

ROLE = Path(__file__).resolve().parents[4] / "roles" / "metrics_server"
DEFAULTS: dict[str, Any] = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())


def test_the_defaults_are_correct() -> None:
    assert rules_metrics_server.errors(DEFAULTS) == []


@pytest.mark.parametrize(
    ("changed", "variable", "expected"),
    [
        ({"metrics_server_replicas": 0}, "metrics_server_replicas", "1 to 10"),
        ({"metrics_server_resolution_seconds": 5}, "metrics_server_resolution_seconds", "10 to 300"),
        ({"metrics_server_kubelet_port": 0}, "metrics_server_kubelet_port", "1 to 65535"),
        ({"metrics_server_api_server_ports": [443, 70000]}, "metrics_server_api_server_ports[1]", "1 to 65535"),
        ({"metrics_server_priority_class": "A B"}, "metrics_server_priority_class", "expected"),
        (
            {"metrics_server_resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
            "metrics_server_resources.requests.memory",
            "at most the limit",
        ),
    ],
    ids=str,
)
def test_an_impossible_value_is_refused(changed: dict[str, Any], variable: str, expected: str) -> None:
    [found] = rules_metrics_server.errors({**DEFAULTS, **changed})
    assert found.variable == variable
    assert expected in found.expected
