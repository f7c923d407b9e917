"""Filter returned_secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import backup_configuration

DOCUMENTATION = r"""
name: returned_secrets
short_description: Which Secrets to write so that a cluster has those of a backup again
description:
  - A Secret that is there and differs is kept as C(NAME-before-TIME). One that says the same isn't mentioned.
options:
  _input:
    description: What the backup's folder C(secrets) holds, text by file name, NAMESPACE.NAME.KEY.
    type: dict
    required: true
  names:
    description: The Secrets that files belong to, as NAMESPACE/NAME.
    type: list
    elements: str
    required: true
  present:
    description: Content of the Secrets that are there, by NAMESPACE/NAME.
    type: dict
    required: true
  time:
    description: The time, as it may stand in a name.
    type: str
    required: true
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
secrets: "{{ folder | cryptoexchange.platform.returned_secrets(['shop/keys'], platform_secrets, '20260101t030000z') }}"
"""

RETURN = r"""
_value:
  description: Manifests of Secrets.
  type: list
  elements: dict
"""


def returned_secrets(
    folder: Mapping[str, str], names: Sequence[str], present: Mapping[str, Mapping[str, str]], time: str
) -> list[dict[str, Any]]:
    """Return the Secrets to write."""
    return backup_configuration.returned_secrets(folder, names, present, time)


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"returned_secrets": returned_secrets}
