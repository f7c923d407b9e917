"""Filter backup_configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import backup_configuration as utils
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.objects import plain

DOCUMENTATION = r"""
name: backup_configuration
short_description: The configuration of a backup's jobs
description:
  - Nothing in it is secret; credentials reach the jobs otherwise.
options:
  _input:
    description: One of C(postgres_backup_targets).
    type: dict
    required: true
  settings:
    description: What all targets share, such as C(database) and C(recipients).
    type: dict
    required: true
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
configuration: >-
  {{ {'name': 'offsite', 'bucket': 'backups'} | cryptoexchange.platform.backup_configuration({'database': 'shop'}) }}
"""

RETURN = r"""
_value:
  description: The configuration, to be written as JSON.
  type: dict
"""


def backup_configuration(target: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration."""
    if not isinstance(target, Mapping) or not isinstance(settings, Mapping):
        raise AnsibleFilterError("backup_configuration: expected a target and settings, both mappings")
    return utils.configuration(plain(target), plain(settings))


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"backup_configuration": backup_configuration}
