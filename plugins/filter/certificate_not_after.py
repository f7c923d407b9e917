"""Filter certificate_not_after."""

from __future__ import annotations

from collections.abc import Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import certificates

DOCUMENTATION = r"""
name: certificate_not_after
short_description: When a certificate ends
description: Looks at the PEM text alone.
options:
  _input:
    description: The certificate, PEM; may be empty.
    type: str
    required: true
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
ends: "{{ leaf | cryptoexchange.platform.certificate_not_after }}"
"""

RETURN = r"""
_value:
  description: Seconds since 1970, 0 without a certificate.
  type: int
"""


def certificate_not_after(certificate: str) -> int:
    """Return when a certificate ends."""
    try:
        return certificates.not_after(str(certificate))
    except ValueError as error:
        raise AnsibleFilterError(f"certificate_not_after: expected a PEM certificate: {error}") from error


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[[str], int]]:
        return {"certificate_not_after": certificate_not_after}
