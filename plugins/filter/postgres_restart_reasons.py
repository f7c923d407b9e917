"""Filter postgres_restart_reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.postgres_settings import restart_reasons

DOCUMENTATION = r"""
name: postgres_restart_reasons
short_description: The PostgreSQL parameters that only a restart brings to their wanted value
options:
  _input:
    description: C(settings) of the server's answer to roles/postgres/files/state.sql.
    type: dict
    required: true
  wanted:
    description: Parameters by name, as Patroni is told.
    type: dict
    required: true
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
reasons: "{{ state.settings | cryptoexchange.platform.postgres_restart_reasons({'shared_buffers': '256MB'}) }}"
"""

RETURN = r"""
_value:
  description: A sentence for each parameter; none if no restart is needed.
  type: list
  elements: str
"""


def postgres_restart_reasons(running: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, object]) -> list[str]:
    """Return why the server has to be restarted."""
    try:
        return restart_reasons(running, wanted)
    except (KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"postgres_restart_reasons: {error!r}") from error


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        return {"postgres_restart_reasons": postgres_restart_reasons}
