"""Filter renewal_reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import certificates

DOCUMENTATION = r"""
name: renewal_reason
short_description: Why a certificate has to be issued anew
description: Looks at the PEM text alone; empty if the certificate is good for longer.
options:
  _input:
    description: The certificate, PEM; may be empty.
    type: str
    required: true
  ca:
    description: The CA that should have signed it, PEM.
    type: str
    required: true
  dns_names:
    description: The names that it should carry; none for a CA.
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
reason: "{{ leaf | cryptoexchange.platform.renewal_reason(ca, ['exchange.example.com'], 180) }}"
"""

RETURN = r"""
_value:
  description: The reason, such as C(it ends on 2027-01-01), or nothing.
  type: str
"""


def renewal_reason(certificate: str, ca: str, dns_names: Sequence[str], renew_before_days: int) -> str:
    """Return why a certificate has to be issued anew."""
    now = datetime.now(UTC)
    return certificates.renewal_reason(certificate, ca, list(dns_names), timedelta(days=int(renew_before_days)), now)


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., str]]:
        return {"renewal_reason": renewal_reason}
