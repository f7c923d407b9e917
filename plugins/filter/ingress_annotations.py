"""Filter ingress_annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.ingress_annotations import translate

DOCUMENTATION = r"""
name: ingress_annotations
short_description: Annotations of an Ingress in a controller's words
description:
  - Turns neutral settings into the annotations of F5's NGINX Ingress Controller or of the community's ingress-nginx.
  - Refuses unknown settings and values that a controller would reject or ignore, by name.
options:
  _input:
    description:
      - Settings by name; those that are left out are left to the controller's own configuration.
      - C(body_size) (NGINX size such as C(10m); C(0) for no limit), C(connect_timeout_seconds),
        C(read_timeout_seconds), C(send_timeout_seconds), C(ssl_redirect), C(websocket_services) (list of Services),
        C(next_upstream) (list of NGINX's conditions), C(next_upstream_tries), C(next_upstream_timeout_seconds),
        C(use_cluster_ip), C(requests_per_second) (for each client address, with bursts of five times that; C(0) for no
        limit); for C(f5) only, C(hsts), C(hsts_max_age_seconds), C(hsts_include_subdomains).
    type: dict
    required: true
  controller:
    description: C(f5), C(community), or C(existing) for a controller that isn't ours, which gets no annotations.
    type: str
    required: true
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
annotations: >-
  {{ {'body_size': '10m', 'read_timeout_seconds': 30, 'use_cluster_ip': true}
     | cryptoexchange.platform.ingress_annotations(ingress_nginx_controller | default('f5')) }}
"""

RETURN = r"""
_value:
  description: Annotations, all of them text.
  type: dict
"""


def ingress_annotations(settings: Mapping[str, Any], controller: str) -> dict[str, str]:
    """Return an Ingress's annotations in a controller's words."""
    try:
        return translate(settings, controller)
    except ValueError as error:
        raise AnsibleFilterError(f"ingress_annotations: {error}") from error


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., dict[str, str]]]:
        return {"ingress_annotations": ingress_annotations}
