"""Filter leaf_plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import certificates

DOCUMENTATION = r"""
name: leaf_plan
short_description: What a run does about a certificate of ours
description:
  - A certificate is issued anew when there is none, it ends soon, its names have changed or nobody knows who signed it.
  - A new CA is first made known beside the one before it; only a later run signs with it.
options:
  _input:
    description: Data of the certificate's Secret (C(tls.crt), C(ca.crt)); empty if there is none.
    type: dict
    required: true
  ca:
    description: Data of the CA's Secret (C(tls.crt), and C(previous.crt) if there was a CA before it).
    type: dict
    required: true
  dns_names:
    description: The names that the certificate should carry.
    type: list
    elements: str
    required: true
  renew_before_days:
    description: How many days before its end it is renewed.
    type: int
    required: true
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
plan: "{{ secret | cryptoexchange.platform.leaf_plan(ca, ['exchange.example.com'], 180) }}"
"""

RETURN = r"""
_value:
  description: >-
    C(issue) (a new certificate is needed), C(trust) (the list of trusted CAs has to be written), C(trusted) (that list,
    PEM) and C(reason) (for people; empty if there is nothing to do).
  type: dict
"""


def leaf_plan(
    leaf: Mapping[str, str], ca: Mapping[str, str], dns_names: Sequence[str], renew_before_days: int
) -> dict[str, Any]:
    """Return what to do about a leaf."""
    before = timedelta(days=int(renew_before_days))
    return asdict(certificates.leaf_plan(leaf, ca, list(dns_names), before, datetime.now(UTC)))


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"leaf_plan": leaf_plan}
