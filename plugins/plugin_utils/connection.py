"""A client of the Kubernetes library, from an action's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
from kubernetes.client import ApiClient
from kubernetes.dynamic import DynamicClient

ARGUMENTS = ("kubeconfig", "context", "host", "api_key", "ca_cert", "validate_certs")


def dynamic_client_of(arguments: Mapping[str, Any]) -> DynamicClient:
    """Return a client for any kind that is connected as the arguments say, which have kubernetes.core's names."""
    said = {name: arguments[name] for name in ARGUMENTS if arguments.get(name) is not None}
    client: DynamicClient = get_api_client(**said).client
    return client


def client_of(arguments: Mapping[str, Any]) -> ApiClient:
    """Return a client for the kinds of Kubernetes' library, connected in the same way."""
    client: ApiClient = dynamic_client_of(arguments).client
    return client
