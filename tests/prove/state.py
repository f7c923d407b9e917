"""What a finished installation looks like, without what differs from one to the next."""

from __future__ import annotations

import json
import re
from typing import Any

from cluster.kind import Cluster, kubectl

NAMESPACES = ["exchange-platform", "exchange-database", "exchange"]
KINDS = [
    "configmaps",
    "deployments.apps",
    "ingresses.networking.k8s.io",
    "networkpolicies.networking.k8s.io",
    "persistentvolumeclaims",
    "poddisruptionbudgets.policy",
    "rolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "secrets",
    "serviceaccounts",
    "services",
    "statefulsets.apps",
]
# Chosen by the cluster or by a controller, or generated once.
NOISE = {
    "caBundle",
    "clusterIP",
    "clusterIPs",
    "cryptoexchange.platform/certificate",  # a digest of the certificate
    "cryptoexchange.platform/configuration",  # digests of what is compared itself, or generated once
    "cryptoexchange.platform/credentials",
    "healthCheckNodePort",
    "nodePort",
    "volumeName",
}
# The exporter is told when the certificate of this installation ends.
MOMENT = re.compile(r"SELECT \d{10} AS not_after")
# What Patroni keeps there itself (leader, configuration, sync state) differs from run to run.
BY_PATRONI = ("postgres-config", "postgres-leader", "postgres-sync", "postgres-failsafe", "postgres-failover")


def snapshot(cluster: Cluster) -> dict[str, Any]:
    """Return the objects of our namespaces by kind and name: specification and data, of Secrets the keys only."""
    found: dict[str, Any] = {}
    for namespace in NAMESPACES:
        listed = json.loads(kubectl(cluster, "-n", namespace, "get", ",".join(KINDS), "-o", "json"))
        for item in listed["items"]:
            name = item["metadata"]["name"]
            if item["kind"] == "ConfigMap" and name.startswith(BY_PATRONI):
                continue
            if item["kind"] == "Secret" and item.get("type") == "helm.sh/release.v1":
                continue
            found[f"{item['kind']} {namespace}/{name}"] = normal(item)
    return found


def normal(item: dict[str, Any]) -> Any:
    """Return what of an object must be the same after every installation."""
    if item["kind"] == "Secret":
        return sorted(item.get("data") or {})
    kept = {key: value for key, value in item.items() if key not in {"metadata", "status"}}
    kept["labels"] = item["metadata"].get("labels")
    return without_noise(kept)


def without_noise(value: Any) -> Any:
    """Drop what is chosen anew each time; checksums follow generated secrets."""
    if isinstance(value, dict):
        return {k: without_noise(v) for k, v in value.items() if k not in NOISE and not k.startswith("checksum/")}
    if isinstance(value, list):
        return [without_noise(item) for item in value]
    return MOMENT.sub("SELECT ... AS not_after", value) if isinstance(value, str) else value


def first_difference(expected: Any, actual: Any, path: str = "") -> str:
    """Return where two values differ first, and how."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in sorted({*expected, *actual}):
            if expected.get(key) != actual.get(key):
                return first_difference(expected.get(key), actual.get(key), f"{path}.{key}")
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for number, (one, other) in enumerate(zip(expected, actual, strict=True)):
            if one != other:
                return first_difference(one, other, f"{path}[{number}]")
    return f"{path}: {json.dumps(expected)[:200]} // {json.dumps(actual)[:200]}"


def differences(expected: dict[str, Any], actual: dict[str, Any]) -> list[str]:
    """Return which objects are missing, unexpected or different."""
    return (
        [f"missing: {name}" for name in sorted(set(expected) - set(actual))]
        + [f"unexpected: {name}" for name in sorted(set(actual) - set(expected))]
        + [
            f"different: {name}: {first_difference(expected[name], actual[name])}"
            for name in sorted(set(expected) & set(actual))
            if expected[name] != actual[name]
        ]
    )
