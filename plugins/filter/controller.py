"""Filters of roles/controller, documented in plugin_utils/rules_controller.py and surveys.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import rules_controller, surveys


class FilterModule:
    """Make the filters known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "controller_problems": rules_controller.problems,
            "credential_fields": surveys.credential_fields,
        }
