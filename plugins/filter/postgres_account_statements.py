"""Filter postgres_account_statements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.postgres_accounts import account_statements

DOCUMENTATION = r"""
name: postgres_account_statements
short_description: The SQL that makes the wanted roles and databases out of those that are there
description:
  - Nothing is ever dropped. Passwords are sent as SCRAM verifiers, never as they are.
options:
  _input:
    description: The answer of the server to roles/postgres/files/state.sql.
    type: dict
    required: true
  wanted:
    description: C(roles) and C(databases).
    type: dict
    required: true
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
statements: >-
  {{ state | cryptoexchange.platform.postgres_account_statements(
     {'roles': [{'name': 'shop', 'login': false}], 'databases': [{'name': 'shop', 'owner': 'shop'}]}) }}
"""

RETURN = r"""
_value:
  description: Statements in order, each with C(sql) and with C(shown), which says the same without a secret.
  type: list
  elements: dict
"""


def postgres_account_statements(actual: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the statements, none if all is as wanted."""
    try:
        return account_statements(actual, wanted)
    except (KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"postgres_account_statements: {error}") from error


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, str]]]]:
        return {"postgres_account_statements": postgres_account_statements}
