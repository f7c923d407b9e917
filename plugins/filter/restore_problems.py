"""Filter restore_problems."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import restore_request

DOCUMENTATION = r"""
name: restore_problems
short_description: What is wrong with a request to restore
description: A line for each variable of C(playbooks/restore.yml) that can't be right, its value and what is expected.
options:
  _input:
    description: The variables, without C(restore_) before their names.
    type: dict
    required: true
  live:
    description: Name of the live database.
    type: str
    required: true
  targets:
    description: Names of the targets.
    type: list
    elements: str
    required: true
  components:
    description: C(platform_components).
    type: list
    elements: str
    required: true
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
problems: "{{ request | cryptoexchange.platform.restore_problems('exchange', ['offsite'], platform_components) }}"
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
        return {"restore_problems": restore_request.problems}
