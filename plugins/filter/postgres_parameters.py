"""Filter postgres_parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.postgres_tuning import Value, tuned_parameters
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.quantity import parse_quantity

DOCUMENTATION = r"""
name: postgres_parameters
short_description: PostgreSQL parameters from memory, CPU and volume
description:
  - Computes the parameters of PostgreSQL 17 that depend on the machine, so that the sum of what connections and
    vacuum workers take at their worst fits into the memory. docs/database.md names the source of each formula.
options:
  _input:
    description: Parameters by name that win over the computed ones.
    type: dict
    required: true
  memory:
    description: Memory limit of the container, as a Kubernetes quantity.
    type: str
    required: true
  cpu:
    description: Cores that the container may use, as a Kubernetes quantity.
    type: str
    required: true
  volume:
    description: Size of the volume that holds data and WAL, as a Kubernetes quantity.
    type: str
    required: true
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
parameters: >-
  {{ {'work_mem': '16MB'}
     | cryptoexchange.platform.postgres_parameters(memory='4Gi', cpu='2', volume='50Gi') }}
"""

RETURN = r"""
_value:
  description: Parameters by name.
  type: dict
"""


def postgres_parameters(overrides: Mapping[str, object], memory: str, cpu: str, volume: str) -> dict[str, Value]:
    """Return the parameters for a container of this memory and CPU and a volume of this size."""
    try:
        return tuned_parameters(
            int(parse_quantity(str(memory))), parse_quantity(str(cpu)), int(parse_quantity(str(volume))), overrides
        )
    except ValueError as error:
        raise AnsibleFilterError(f"postgres_parameters: {error}") from error


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., dict[str, Value]]]:
        return {"postgres_parameters": postgres_parameters}
