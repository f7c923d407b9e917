"""Filter ingress_verdict."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.ingress_verdict import verdict

DOCUMENTATION = r"""
name: ingress_verdict
short_description: What an ingress controller did with our Ingresses
description:
  - Finds, in Ingresses and events as they were read from the cluster, what the controller rejected or ignored, and what
    it hasn't answered yet.
options:
  _input:
    description: Live Ingresses, with their managedFields.
    type: list
    elements: dict
    required: true
  events:
    description: Live events.
    type: list
    elements: dict
    required: true
  look:
    description:
      - C(ingress_class) whose Ingresses are looked at; C(controller), one of C(f5), C(community), C(existing);
        C(namespaces) of the platform; C(now), the time in ISO 8601 and UTC; C(window_seconds), how long after a change
        an answer is waited for.
    type: dict
    required: true
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
verdict: >-
  {{ ingresses | cryptoexchange.platform.ingress_verdict(events, {'ingress_class': 'nginx', 'controller': 'f5',
     'namespaces': ['exchange'], 'now': '2026-01-31T12:00:00+00:00', 'window_seconds': 60}) }}
"""

RETURN = r"""
_value:
  description: C(problems), a list of sentences; C(waiting) and, among them, C(unseen), lists of C(namespace/name).
  type: dict
"""


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., dict[str, list[str]]]]:
        return {"ingress_verdict": verdict}
