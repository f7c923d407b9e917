"""Filters of roles/exchange_app. Documented in plugin_utils: exchange_values.py, helm_release.py, autoscaling.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import autoscaling, exchange_values, helm_release


def exchange_plan(
    app: Mapping[str, Any], platform: Mapping[str, Any], release: Mapping[str, Any], checksums: Mapping[str, str]
) -> dict[str, Any]:
    """Return the chart's values, and what installing them would do."""
    try:
        return exchange_values.plan(app, platform, release, checksums)
    except (KeyError, ValueError) as error:
        raise AnsibleFilterError(f"exchange_plan: {error}") from error


class FilterModule:
    """Make the filters known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "exchange_plan": exchange_plan,
            "missing_apis": autoscaling.missing_apis,
            "release_state": helm_release.state,
            "release_value_changes": helm_release.value_changes,
            "release_without_replicas": helm_release.without_replicas,
            "secrets_checksum": exchange_values.secrets_checksum,
            "url_encoded": exchange_values.url_encoded,
        }
