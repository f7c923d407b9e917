"""Filter postgres_cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.postgres_members import cluster_state

DOCUMENTATION = r"""
name: postgres_cluster
short_description: The state of a PostgreSQL cluster under Patroni, from its pods
description:
  - Reads labels, conditions and Patroni's annotation C(status) of the database's pods.
options:
  _input:
    description: The pods, as kubernetes.core.k8s_info returns them.
    type: list
    elements: dict
    required: true
  replicas:
    description: How many members there should be.
    type: int
    required: true
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
primary: "{{ (pods.resources | cryptoexchange.platform.postgres_cluster(3)).primary }}"
"""

RETURN = r"""
_value:
  description:
    - C(members), C(primary), C(candidate) (the standby to switch over to), C(problems) (sentences; none if every member
      serves), C(progress) (one line) and C(pending_restart) (names).
  type: dict
"""


def postgres_cluster(pods: Sequence[Mapping[str, Any]], replicas: int) -> dict[str, Any]:
    """Return what the pods say of the cluster."""
    try:
        return cluster_state(pods, int(replicas))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"postgres_cluster: expected pods of the database's StatefulSet: {error!r}") from error


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"postgres_cluster": postgres_cluster}
