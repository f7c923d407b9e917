"""Everything on a cluster that may be ours, of every kind that the API knows. Reads; changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubernetes.client import ApiException
from kubernetes.dynamic import DynamicClient

Object = dict[str, Any]


class Api:
    """The few reads that are needed, as JSON: kinds that nobody here has heard of have no classes."""

    def __init__(self, client: DynamicClient) -> None:
        """Take a connected client."""
        self._client = client

    def get(self, path: str, **query: str) -> Any:
        """Return what the API answers to GET."""
        return json.loads(self._client.request("get", path, serialize=False, **query).data)

    def items(self, path: str, selector: str = "") -> Iterator[Mapping[str, Any]]:
        """Return the objects of a list, page by page."""
        query = {"limit": "500", **({"label_selector": selector} if selector else {})}
        while True:
            page = self.get(path, **query)
            yield from page.get("items") or []
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                return
            query["_continue"] = following


def kinds(api: Api) -> tuple[list[Object], list[str]]:
    """Return every kind whose objects can be listed and deleted, once, and what the API doesn't tell about.

    Each in the version that its group prefers, or else in the first that serves it: what is young is often served in an
    alpha version alone.
    """
    found, unseen = [], []
    for roots in [["/api/v1"], *map(_roots, api.get("/apis")["groups"])]:
        known: set[str] = set()
        for root in roots:
            version = root.removeprefix("/apis/").removeprefix("/api/")
            try:
                resources = api.get(root)["resources"]
            except ApiException as error:
                unseen.append(f"kinds of {version} ({error.status} {error.reason})")
                continue
            new = [
                {"root": root, "apiVersion": version, **resource}
                for resource in resources
                if "/" not in resource["name"]
                and resource["name"] not in known
                and {"list", "delete"} <= set(resource.get("verbs") or [])
            ]
            known |= {resource["name"] for resource in new}
            found += new
    return found, unseen


def _roots(group: Mapping[str, Any]) -> list[str]:
    """Return the paths of a group's versions, the preferred one first."""
    versions = [group["preferredVersion"], *group["versions"]]
    return list(dict.fromkeys(f"/apis/{version['groupVersion']}" for version in versions))


def summary(item: Mapping[str, Any], kind: Mapping[str, Any]) -> Object:
    """Return what uninstall has to know of an object, and nothing of what a Secret holds."""
    metadata = item["metadata"]
    annotations, spec = metadata.get("annotations") or {}, item.get("spec") or {}
    claim = spec.get("claimRef") or {}
    return {
        "apiVersion": kind["apiVersion"],
        "kind": kind["kind"],
        "resource": kind["name"],
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "labels": metadata.get("labels") or {},
        "owner": next((owner["kind"] for owner in metadata.get("ownerReferences") or []), ""),
        "hook": "helm.sh/hook" in annotations,
        # Who has written to it, but for its status: manager and operation.
        "managers": sorted(
            {
                (entry.get("manager", ""), entry.get("operation", ""))
                for entry in metadata.get("managedFields") or []
                if not entry.get("subresource")
            }
        ),
        "type": item.get("type", "") if kind["kind"] == "Secret" else "",
        "volume": spec.get("volumeName", "") if kind["kind"] == "PersistentVolumeClaim" else "",
        "claim": f"{claim['namespace']}/{claim['name']}" if claim and kind["kind"] == "PersistentVolume" else "",
        "reclaim": spec.get("persistentVolumeReclaimPolicy", ""),
    }


def look(api: Api, selector: str, namespaces: Sequence[str]) -> Object:
    """Return what may be ours.

    Args:
        api: the cluster.
        selector: the labels of everything of ours.
        namespaces: those that are ours by the inventory; those with our labels are looked into as well.

    Returns:
        objects: summaries, each object once; unseen: what could not be looked at, and why.
    """
    known, unseen = kinds(api)
    found: dict[tuple[str, str, str, str], Object] = {}

    def add(kind: Mapping[str, Any], path: str, selected: str = "") -> None:
        try:
            for item in api.items(path, selected):
                one = summary(item, kind)
                found[(one["apiVersion"], one["kind"], one["namespace"], one["name"])] = one
        except ApiException as error:
            unseen.append(f"{kind['name']} at {path} ({error.status} {error.reason})")

    for kind in known:
        # Volumes carry no labels of ours; they say whose claim they hold.
        add(kind, f"{kind['root']}/{kind['name']}", "" if kind["kind"] == "PersistentVolume" else selector)
    present = {item["metadata"]["name"] for item in api.items("/api/v1/namespaces")}
    labelled = {one["name"] for one in found.values() if one["kind"] == "Namespace"}
    for namespace in sorted(labelled | (set(namespaces) & present)):
        for kind in known:
            if kind["namespaced"]:
                add(kind, f"{kind['root']}/namespaces/{namespace}/{kind['name']}")
    return {"objects": list(found.values()), "unseen": sorted(set(unseen))}
