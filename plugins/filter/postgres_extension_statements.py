"""Filter postgres_extension_statements."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.postgres_accounts import extension_statements

DOCUMENTATION = r"""
name: postgres_extension_statements
short_description: The SQL that gives a database the extensions that it lacks
description: Nothing is ever dropped.
options:
  _input:
    description: Names of the extensions that it has.
    type: list
    elements: str
    required: true
  wanted:
    description: Names of those that it should have.
    type: list
    elements: str
    required: true
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
statements: "{{ ['plpgsql'] | cryptoexchange.platform.postgres_extension_statements(['pg_trgm']) }}"
"""

RETURN = r"""
_value:
  description: Statements, each with C(sql) and C(shown), which are the same.
  type: list
  elements: dict
"""


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, str]]]]:
        return {"postgres_extension_statements": extension_statements}
