"""Which kinds of objects are looked at on a cluster."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.installed import Api, kinds
from kubernetes.client import ApiException


def resource(name: str, kind: str, *verbs: str) -> dict[str, Any]:
    return {"name": name, "kind": kind, "namespaced": True, "verbs": verbs or ("list", "delete")}


def version(group: str, name: str) -> dict[str, str]:
    return {"groupVersion": f"{group}/{name}", "version": name}


V1, V1ALPHA2, V1BETA1 = (version("gateway.networking.k8s.io", name) for name in ("v1", "v1alpha2", "v1beta1"))
GATEWAY = {"name": "gateway.networking.k8s.io", "preferredVersion": V1, "versions": [V1ALPHA2, V1, V1BETA1]}
METRICS = version("metrics.k8s.io", "v1")
DISCOVERY: dict[str, Any] = {
    "/apis": {"groups": [GATEWAY, {"name": "metrics.k8s.io", "preferredVersion": METRICS, "versions": [METRICS]}]},
    "/api/v1": {
        "resources": [
            resource("pods", "Pod"),
            resource("pods/status", "Pod"),
            resource("bindings", "Binding", "create"),
        ]
    },
    "/apis/gateway.networking.k8s.io/v1": {"resources": [resource("httproutes", "HTTPRoute")]},
    "/apis/gateway.networking.k8s.io/v1beta1": {"resources": [resource("httproutes", "HTTPRoute")]},
    "/apis/gateway.networking.k8s.io/v1alpha2": {
        "resources": [resource("httproutes", "HTTPRoute"), resource("tcproutes", "TCPRoute")]
    },
}


class Discovery(Api):
    """Answers as an API does of which one group's server is away."""

    def get(self, path: str, **query: str) -> Any:
        """Return what is said of a path."""
        del query
        if path not in DISCOVERY:
            raise ApiException(status=503, reason="Service Unavailable")
        return DISCOVERY[path]


def test_a_kind_is_found_in_whichever_version_serves_it_and_only_once() -> None:
    found, unseen = kinds(Discovery(Mock()))
    assert [(kind["apiVersion"], kind["kind"], kind["root"]) for kind in found] == [
        ("v1", "Pod", "/api/v1"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute", "/apis/gateway.networking.k8s.io/v1"),
        ("gateway.networking.k8s.io/v1alpha2", "TCPRoute", "/apis/gateway.networking.k8s.io/v1alpha2"),
    ]
    assert unseen == ["kinds of metrics.k8s.io/v1 (503 Service Unavailable)"]
