"""A client of the Kubernetes library, from an action's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
from kubernetes.client import ApiClient

ARGUMENTS = ("kubeconfig", "context", "host", "api_key", "ca_cert", "validate_certs")


def client_of(arguments: Mapping[str, Any]) -> ApiClient:
    """Return a client that is connected as the arguments say, which have kubernetes.core's names."""
    said = {name: arguments[name] for name in ARGUMENTS if arguments.get(name) is not None}
    client: ApiClient = get_api_client(**said).client.client
    return client
