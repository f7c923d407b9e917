"""Filter ingress_configuration."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.ingress_configuration import configuration

DOCUMENTATION = r"""
name: ingress_configuration
short_description: An ingress controller's ConfigMap in its own words
description:
  - Turns the settings of roles/ingress_nginx into the data of the ConfigMap of F5's controller or the community's.
options:
  _input:
    description: Settings by name, all of them; plugin_utils/ingress_configuration.py lists them.
    type: dict
    required: true
  controller:
    description: C(f5) or C(community).
    type: str
    required: true
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
data: "{{ __ingress_nginx_settings | cryptoexchange.platform.ingress_configuration('f5') }}"
"""

RETURN = r"""
_value:
  description: Data of the ConfigMap, all of it text.
  type: dict
"""


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., dict[str, str]]]:
        return {"ingress_configuration": configuration}
