"""Filter postgres_restart_order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.postgres_members import restart_order

DOCUMENTATION = r"""
name: postgres_restart_order
short_description: The members whose pods are out of date, in the order in which to replace them
options:
  _input:
    description: What the filter postgres_cluster returned.
    type: dict
    required: true
  revision:
    description: C(status.updateRevision) of the StatefulSet.
    type: str
    required: true
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
stale: "{{ cluster | cryptoexchange.platform.postgres_restart_order(statefulset.status.updateRevision) }}"
"""

RETURN = r"""
_value:
  description: Names of members, standbys first, the primary last.
  type: list
  elements: str
"""


def postgres_restart_order(cluster: Mapping[str, Any], revision: str) -> list[str]:
    """Return the members to replace, in order."""
    return restart_order(cluster, str(revision))


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        return {"postgres_restart_order": postgres_restart_order}
