"""Filters of roles/monitoring. Each is documented in plugin_utils/monitoring.py or slo.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import monitoring, slo
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.objects import plain


def _on_plain_data(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function data without Ansible's tags, which the YAML writer doesn't know."""
    return lambda *arguments: function(*(plain(argument) for argument in arguments))


class FilterModule:
    """Make the filters known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "alertmanager_configuration": _on_plain_data(monitoring.configuration),
            "remote_write_secrets": _on_plain_data(monitoring.remote_write_secrets),
            "probe_targets": _on_plain_data(monitoring.probe_targets),
            "slo_rules": _on_plain_data(slo.rules),
            "namespace_peers": monitoring.namespace_peers,
        }
