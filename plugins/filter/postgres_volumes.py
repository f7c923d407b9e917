"""Filters of the database's volumes. Each is documented in plugin_utils/postgres_volumes.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import postgres_volumes


class FilterModule:
    """Make the filters known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "postgres_volume_plan": postgres_volumes.plan,
            "postgres_volumes_not_grown": postgres_volumes.not_grown,
        }
