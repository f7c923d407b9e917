"""Is this the right cluster, and may we do there what the components need?"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

_CORE, _APPS, _RBAC, _NET = "", "apps", "rbac.authorization.k8s.io", "networking.k8s.io"
_POLICY, _BATCH, _AUTOSCALING = "policy", "batch", "autoscaling"

# What each component's role creates in its namespace: (API group, resource).
_NAMESPACED: dict[str, list[tuple[str, str]]] = {
    "ingress_nginx": [
        (_APPS, "deployments"),
        (_RBAC, "roles"),
        (_RBAC, "rolebindings"),
        (_NET, "networkpolicies"),
        (_POLICY, "poddisruptionbudgets"),
    ],
    "postgres": [
        (_APPS, "statefulsets"),
        (_APPS, "deployments"),
        (_RBAC, "roles"),
        (_RBAC, "rolebindings"),
        (_NET, "networkpolicies"),
        (_POLICY, "poddisruptionbudgets"),
    ],
    "postgres_backup": [(_BATCH, "cronjobs"), (_APPS, "deployments"), (_NET, "networkpolicies")],
    "monitoring": [
        (_APPS, "statefulsets"),
        (_APPS, "deployments"),
        (_RBAC, "roles"),
        (_RBAC, "rolebindings"),
        (_NET, "networkpolicies"),
        (_POLICY, "poddisruptionbudgets"),
    ],
    "grafana": [
        (_CORE, "persistentvolumeclaims"),
        (_APPS, "deployments"),
        (_NET, "ingresses"),
        (_NET, "networkpolicies"),
        # The ingress controller's rights in the namespace that it watches.
        (_RBAC, "roles"),
        (_RBAC, "rolebindings"),
    ],
    "logging": [(_APPS, "statefulsets"), (_NET, "networkpolicies")],
    "exchange_app": [
        (_APPS, "deployments"),
        (_NET, "ingresses"),
        (_NET, "networkpolicies"),
        (_BATCH, "jobs"),
        (_POLICY, "poddisruptionbudgets"),
        (_AUTOSCALING, "horizontalpodautoscalers"),
        # The ingress controller's rights in the namespace that it watches.
        (_RBAC, "roles"),
        (_RBAC, "rolebindings"),
    ],
    "metrics_server": [(_APPS, "deployments"), (_NET, "networkpolicies"), (_POLICY, "poddisruptionbudgets")],
    "deployer": [(_CORE, "serviceaccounts"), (_RBAC, "roles"), (_RBAC, "rolebindings")],
}
# What a role creates in the namespaces of others, if they are there: component -> (its namespace, API group, resource).
_BESIDE: dict[str, list[tuple[str, str, str]]] = {
    "postgres_backup": [("postgres", _BATCH, "cronjobs"), ("exchange_app", _BATCH, "cronjobs")],
    # Prometheus finds pods, and kube-state-metrics what is there.
    "monitoring": [
        (other, _RBAC, resource)
        for other in ("ingress_nginx", "postgres", "exchange_app", "postgres_backup")
        for resource in ("roles", "rolebindings")
    ],
}
# The same in the namespace of what runs on every node.
_ON_NODES: dict[str, list[tuple[str, str]]] = {
    "monitoring": [(_APPS, "daemonsets"), (_RBAC, "roles"), (_RBAC, "rolebindings"), (_NET, "networkpolicies")],
    "logging": [
        (_APPS, "daemonsets"),
        (_CORE, "configmaps"),
        (_CORE, "serviceaccounts"),
        (_RBAC, "roles"),
        (_RBAC, "rolebindings"),
        (_NET, "networkpolicies"),
    ],
}
# What a role creates in a namespace of Kubernetes' own: (namespace, API group, resource).
_OF_KUBERNETES: dict[str, list[tuple[str, str, str]]] = {
    "metrics_server": [("kube-system", _RBAC, "rolebindings")],
}
_CLUSTER_WIDE: dict[str, list[tuple[str, str]]] = {
    "ingress_nginx": [(_RBAC, "clusterroles"), (_RBAC, "clusterrolebindings"), (_NET, "ingressclasses")],
    # With monitoring_cluster_metrics.
    "monitoring": [(_RBAC, "clusterroles"), (_RBAC, "clusterrolebindings")],
    "logging": [(_RBAC, "clusterroles"), (_RBAC, "clusterrolebindings")],
    "metrics_server": [
        (_RBAC, "clusterroles"),
        (_RBAC, "clusterrolebindings"),
        ("apiregistration.k8s.io", "apiservices"),
    ],
}
# What a role does beside applying objects: (verb, resource, subresource) of the core API group.
_ALSO: dict[str, list[tuple[str, str, str]]] = {
    "postgres": [
        ("list", "pods", ""),
        ("delete", "pods", ""),
        ("create", "pods", "exec"),
        ("list", "persistentvolumeclaims", ""),
    ],
    "deployer": [("create", "serviceaccounts", "token")],
}


def access_questions(
    components: Sequence[str], namespaces: Mapping[str, str], node_agents: str
) -> list[dict[str, str]]:
    """Return what to ask the API with SelfSubjectAccessReviews: the resourceAttributes of each.

    Args:
        components: enabled roles.
        namespaces: enabled role -> its namespace.
        node_agents: namespace of what runs on every node.
    """
    questions = [
        {"verb": verb, "group": _CORE, "resource": resource}
        for verb, resource in (("create", "namespaces"), ("patch", "namespaces"), ("list", "secrets"))
    ]
    for component in components:
        namespace = namespaces[component]
        needed = [*_NAMESPACED.get(component, []), (_CORE, "secrets"), (_CORE, "configmaps"), (_CORE, "services")]
        questions += [
            {"verb": "patch", "group": group, "resource": resource, "namespace": namespace}
            for group, resource in needed
        ]
        questions += [
            {"verb": "patch", "group": group, "resource": resource, "namespace": namespaces[other]}
            for other, group, resource in _BESIDE.get(component, [])
            if other in components
        ]
        questions += [
            {"verb": "patch", "group": group, "resource": resource, "namespace": node_agents}
            for group, resource in _ON_NODES.get(component, [])
        ]
        questions += [
            {"verb": verb, "group": _CORE, "resource": resource, "subresource": subresource, "namespace": namespace}
            for verb, resource, subresource in _ALSO.get(component, [])
        ]
        questions += [
            {"verb": "patch", "group": group, "resource": resource, "namespace": place}
            for place, group, resource in _OF_KUBERNETES.get(component, [])
        ]
        questions += [
            {"verb": "patch", "group": group, "resource": resource}
            for group, resource in _CLUSTER_WIDE.get(component, [])
        ]
    # Several components may need the same.
    return [dict(question) for question in dict.fromkeys(tuple(question.items()) for question in questions)]


def minor(version: str) -> tuple[int, int]:
    """Return a version's major and minor: v1.37.2-eks-1 -> (1, 37)."""
    major, number = version.removeprefix("v").split(".")[:2]
    return int(major), int("".join(digit for digit in number if digit.isdigit()))


def refusals(facts: Mapping[str, Any], expected: Mapping[str, str]) -> list[str]:
    """Return why nothing may be changed on the cluster that was found.

    Args:
        facts: what the module cluster_facts returned.
        expected: `uid` and `api_host` (each may be empty), `oldest` and `newest` supported minor.
    """
    host = facts.get("api_host") or "(unknown)"
    if facts.get("problem"):
        return [f"the cluster at {host} can't be looked at: {facts['problem']}"]
    found = []
    uid = facts["namespaces"].get("kube-system", "")
    if expected["uid"] and uid != expected["uid"]:
        found.append(
            f"wrong cluster: expected the kube-system UID {expected['uid']} (platform_cluster_uid), "
            f"found {uid or 'none'} at {host}"
        )
    if expected["api_host"] and host.rstrip("/") != expected["api_host"].rstrip("/"):
        found.append(
            f"wrong cluster: expected the API {expected['api_host']} (platform_cluster_api_host), found {host}"
        )
    if not minor(expected["oldest"]) <= minor(facts["version"]) <= minor(expected["newest"]):
        found.append(
            f"Kubernetes {facts['version']} at {host} is not supported: "
            f"expected {expected['oldest']} to {expected['newest']}"
        )
    for question in facts["denied"]:
        group = f".{question['group']}" if question.get("group") else ""
        place = f" in namespace {question['namespace']}" if question.get("namespace") else " in the whole cluster"
        resource = "/".join(filter(None, (question["resource"], question.get("subresource"))))
        found.append(f"this account may not {question['verb']} {resource}{group}{place} at {host}")
    return found


def secrets_by_name(secrets: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Return the content of Secrets, decoded: `namespace/name` -> key -> text."""
    return {
        f"{secret['metadata']['namespace']}/{secret['metadata']['name']}": {
            key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()
        }
        for secret in secrets
    }
