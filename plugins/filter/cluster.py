"""Filters about the cluster, documented in plugin_utils/cluster.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import cluster


class FilterModule:
    """Make the filters known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "access_questions": cluster.access_questions,
            "cluster_refusals": cluster.refusals,
            "secrets_by_name": cluster.secrets_by_name,
        }
