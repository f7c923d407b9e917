"""Filter migrate_problems."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import restore_request

DOCUMENTATION = r"""
name: migrate_problems
short_description: What is wrong with a request to move in
description: A line for each variable of C(playbooks/migrate.yml) that can't be right, its value and what is expected.
options:
  _input:
    description: The variables, without C(migrate_) before their names.
    type: dict
    required: true
  live:
    description: Name of the live database.
    type: str
    required: true
  components:
    description: C(platform_components).
    type: list
    elements: str
    required: true
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
problems: "{{ request | cryptoexchange.platform.migrate_problems('exchange', platform_components) }}"
"""

RETURN = r"""
_value:
  description: The lines; none if it can be done.
  type: list
  elements: str
"""


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        return {"migrate_problems": restore_request.migrate_problems}
