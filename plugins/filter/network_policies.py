"""Filter network_policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import traffic
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.objects import plain

DOCUMENTATION = r"""
name: network_policies
short_description: The NetworkPolicies of a namespace, from who may reach whom
description:
  - Returns one policy for each end that lies in the namespace, for both directions. What no flow allows is refused.
  - A flow whose other end is empty opens nothing.
options:
  _input:
    description: Flows, each with C(from), C(to) (names of ends), C(ports) and, unless it is TCP, C(protocols).
    type: list
    elements: dict
    required: true
  ends:
    description:
      - Name of an end to a list of peers. A peer has C(namespace) and C(pod_labels), or C(cidr); one without anything
        is any pod and any address.
    type: dict
    required: true
  namespace:
    description: The namespace.
    type: str
    required: true
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
policies: >-
  {{ [{'from': 'shop', 'to': 'database', 'ports': [5432]}] | cryptoexchange.platform.network_policies(
     {'shop': [{'namespace': 'shop'}], 'database': [{'namespace': 'data', 'pod_labels': {'app': 'database'}}]},
     'data') }}
"""

RETURN = r"""
_value:
  description: Policies, each with C(name) and C(spec).
  type: list
  elements: dict
"""


def network_policies(
    flows: Sequence[Mapping[str, Any]], ends: Mapping[str, Any], namespace: str
) -> list[dict[str, Any]]:
    """Return the policies."""
    try:
        return traffic.network_policies(plain(flows), plain(ends), str(namespace))
    except KeyError as error:
        raise AnsibleFilterError(f"network_policies: a flow has no {error} or names no end") from error
    except ValueError as error:
        raise AnsibleFilterError(f"network_policies: {error}") from error


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, Any]]]]:
        return {"network_policies": network_policies}
