"""Kubernetes objects between template and API: labels, Secrets, what changed, what is left over. Pure."""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Object = dict[str, Any]

# Kinds of ours that have no namespace.
CLUSTER_KINDS = frozenset(
    {"APIService", "ClusterRole", "ClusterRoleBinding", "IngressClass", "Namespace", "PriorityClass", "StorageClass"}
)
WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"})
# What pruning may remove. Never a claim, a volume, a Secret or a namespace.
PRUNABLE = frozenset(
    {
        "APIService",
        "ClusterRole",
        "ClusterRoleBinding",
        "ConfigMap",
        "CronJob",
        "DaemonSet",
        "Deployment",
        "HorizontalPodAutoscaler",
        "Ingress",
        "IngressClass",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
        "StatefulSet",
    }
)


def plain(value: Any) -> Any:
    """Return a copy as plain dicts, lists and scalars: Ansible's containers are lazy and tagged."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def pod_template(item: Mapping[str, Any]) -> Object | None:
    """Return the pod template of a workload."""
    spec = item.get("spec") or {}
    if item.get("kind") == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec.get("template") if item.get("kind") in WORKLOADS else None


def prepare(documents: Iterable[Mapping[str, Any] | None], component: Mapping[str, str]) -> list[Object]:
    """Return rendered documents as complete objects.

    The namespace is filled in where it is missing, and the labels name, instance, component, part-of and managed-by
    on objects and pod templates; version on workloads. What a template says itself is kept. Secrets' `stringData`
    becomes `data`, as the API stores it.

    Args:
        documents: YAML documents as data; empty ones are left out.
        component: `name`, `instance`, `component`, `version` (may be empty), `namespace`.
    """
    labels = {
        "app.kubernetes.io/name": component["name"],
        "app.kubernetes.io/instance": component["instance"],
        "app.kubernetes.io/component": component["component"],
        "app.kubernetes.io/part-of": "cryptoexchange",
        "app.kubernetes.io/managed-by": "ansible",
    }
    version = {"app.kubernetes.io/version": component["version"]} if component.get("version") else {}
    prepared = []
    for document in documents:
        if not document:
            continue
        item = plain(document)
        metadata = item.setdefault("metadata", {})
        if item["kind"] not in CLUSTER_KINDS:
            metadata.setdefault("namespace", component["namespace"])
        extra = version if item["kind"] in WORKLOADS else {}
        metadata["labels"] = {**labels, **extra, **(metadata.get("labels") or {})}
        template = pod_template(item)
        if template is not None:
            inner = template.setdefault("metadata", {})
            inner["labels"] = {**labels, **version, **(inner.get("labels") or {})}
        if item["kind"] == "Secret":
            text = item.pop("stringData", None) or {}
            encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in text.items()}
            item["data"] = {**(item.get("data") or {}), **encoded}
        prepared.append(item)
    return prepared


def identity(item: Mapping[str, Any]) -> str:
    """Return apiVersion, kind, namespace and name as one line: apps/v1 Deployment exchange/web."""
    metadata = item["metadata"]
    return f"{item['apiVersion']} {item['kind']} {metadata.get('namespace', '')}/{metadata['name']}"


def from_identity(line: str) -> dict[str, str]:
    """Return the parts of what identity() returned: api_version, kind, namespace, name."""
    api_version, kind, place = line.split(" ")
    namespace, name = place.split("/")
    return {"api_version": api_version, "kind": kind, "namespace": namespace, "name": name}


def of_namespaces(items: Iterable[Mapping[str, Any]], namespaces: Sequence[str], *, present: bool) -> list[Object]:
    """Return the objects whose namespace is there (with present false: isn't). Cluster-wide ones always are."""
    chosen = []
    for item in items:
        namespace = item["metadata"].get("namespace")
        if (namespace is None or namespace in namespaces) is present:
            chosen.append(dict(item))
    return chosen


def secrets_to_apply(items: Iterable[Mapping[str, Any]], existing: Mapping[str, Mapping[str, str]]) -> list[Object]:
    """Return the Secrets that don't hold what they should.

    Args:
        items: prepared objects.
        existing: `namespace/name` -> key -> decoded text, as read from the cluster.
    """
    return [dict(item) for item in items if item["kind"] == "Secret" and changed_keys(item, existing)]


def decoded(secret: Mapping[str, Any]) -> dict[str, str]:
    """Return a prepared Secret's content as text."""
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def changed_keys(secret: Mapping[str, Any], existing: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the keys whose values differ from the cluster's, with the new values."""
    metadata = secret["metadata"]
    old = existing.get(f"{metadata['namespace']}/{metadata['name']}")
    return {key: value for key, value in decoded(secret).items() if old is None or old.get(key) != value}


def secret_changes(secrets: Iterable[Mapping[str, Any]], existing: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return a line per Secret that says which keys change, each with a prefix of its value's SHA-256."""
    lines = []
    for secret in secrets:
        keys = [
            f"{key} (sha256 {hashlib.sha256(value.encode()).hexdigest()[:8]})"
            for key, value in sorted(changed_keys(secret, existing).items())
        ]
        lines.append(f"{secret['metadata']['namespace']}/{secret['metadata']['name']}: {', '.join(keys)}")
    return lines


def with_secrets(
    existing: Mapping[str, Mapping[str, str]], secrets: Iterable[Mapping[str, Any]]
) -> dict[str, dict[str, str]]:
    """Return the content of Secrets after some have been applied."""
    updated: dict[str, dict[str, str]] = {name: dict(content) for name, content in existing.items()}
    for secret in secrets:
        name = f"{secret['metadata']['namespace']}/{secret['metadata']['name']}"
        updated[name] = {**updated.get(name, {}), **decoded(secret)}
    return updated


def results(registered: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return one result per object from what kubernetes.core.k8s returned for one or several."""
    result = registered.get("result") or {}
    return list(result["results"]) if "results" in result else [registered] if result else []


def changes(registered: Mapping[str, Any], *, with_diff: bool = False) -> list[str]:
    """Return a line per object that changed, followed by its differences if asked for."""
    lines: list[str] = []
    for one in results(registered):
        if not one.get("changed"):
            continue
        item = one["result"]
        lines.append(
            f"{item['kind']} {item['metadata'].get('namespace', '')}/{item['metadata']['name']}".replace(" /", " ")
        )
        difference = one.get("diff") or {}
        if with_diff and difference:
            old, new = (readable(difference.get(side) or {}) for side in ("before", "after"))
            lines += [f"  {line}" for line in list(difflib.unified_diff(old, new, lineterm="", n=1))[2:]]
    return lines


def readable(value: Any) -> list[str]:
    """Return one side of a difference as lines, without what the API adds itself."""
    kept = plain(value)
    kept.pop("status", None)
    for noise in ("managedFields", "uid", "resourceVersion", "creationTimestamp", "generation", "selfLink"):
        (kept.get("metadata") or {}).pop(noise, None)
    return json.dumps(kept, indent=2, sort_keys=True).splitlines()


def applied_objects(config_maps: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return what each component has applied before: name of the list -> identities."""
    return {
        item["metadata"]["name"]: [line for line in (item.get("data") or {}).get("objects", "").splitlines() if line]
        for item in config_maps
    }


def leftovers(before: Sequence[str], now: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return what was applied before and is no longer wanted, if its kind may be pruned at all."""
    wanted = {identity(item) for item in now}
    parts = [from_identity(line) for line in before if line not in wanted]
    return [part for part in parts if part["kind"] in PRUNABLE]


def may_prune(live: Mapping[str, Any], manager: str, instance: str) -> bool:
    """Say whether a live object is ours to remove: applied by our field manager, of our instance, owned by nobody."""
    metadata = live["metadata"]
    ours = any(
        entry.get("manager") == manager and entry.get("operation") == "Apply"
        for entry in metadata.get("managedFields") or []
    )
    labels = metadata.get("labels") or {}
    return (
        ours
        and live["kind"] in PRUNABLE
        and not metadata.get("ownerReferences")
        and labels.get("app.kubernetes.io/instance") == instance
        and labels.get("app.kubernetes.io/managed-by") == "ansible"
    )


def prunable(found: Mapping[str, Any], manager: str, instance: str) -> list[Object]:
    """Return those live objects that may be removed, from a loop of kubernetes.core.k8s_info."""
    live = [item for one in found.get("results") or [] for item in one.get("resources") or []]
    return [
        {
            "apiVersion": item["apiVersion"],
            "kind": item["kind"],
            "metadata": {k: item["metadata"][k] for k in ("name", "namespace") if k in item["metadata"]},
        }
        for item in live
        if may_prune(item, manager, instance)
    ]


def applied_list(items: Iterable[Mapping[str, Any]], left: Iterable[Mapping[str, str]]) -> list[str]:
    """Return the identities to remember: what is applied now, and what is left over and still there. No Secrets."""
    now = [identity(item) for item in items if item["kind"] != "Secret"]
    return sorted(
        {*now, *(f"{part['api_version']} {part['kind']} {part['namespace']}/{part['name']}" for part in left)}
    )
