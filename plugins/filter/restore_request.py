"""Filters of restores and of moving in. Each is documented in plugin_utils/restore_request.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import restore_request


class FilterModule:
    """Make the filters known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "restore_problems": restore_request.problems,
            "restore_media_problems": restore_request.media_problems,
            "migrate_problems": restore_request.migrate_problems,
        }
