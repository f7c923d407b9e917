"""Filters of roles/uninstall, documented in plugin_utils/uninstall.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import uninstall


class FilterModule:
    """Make the filters known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "uninstall_names": uninstall.names,
            "uninstall_plan": uninstall.plan,
            "uninstall_problems": uninstall.problems,
        }
