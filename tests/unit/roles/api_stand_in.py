"""A stand-in for the Kubernetes API on loopback, which shows what a role asks of it and no more.

It holds objects, lists, reads and deletes them, and says yes to every access review. It starts nothing and collects no
garbage.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from unit.loopback import listening

# kind -> (group and version, plural, namespaced)
KINDS = {
    "Namespace": ("v1", "namespaces", False),
    "PersistentVolume": ("v1", "persistentvolumes", False),
    "ConfigMap": ("v1", "configmaps", True),
    "Pod": ("v1", "pods", True),
    "Secret": ("v1", "secrets", True),
    "Service": ("v1", "services", True),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims", True),
    "StatefulSet": ("apps/v1", "statefulsets", True),
    "ClusterRole": ("rbac.authorization.k8s.io/v1", "clusterroles", False),
}
UID = "00000000-0000-4000-8000-000000000001"


class Cluster:
    """Objects by their address, and what was deleted in which order."""

    def __init__(self) -> None:
        """Begin with what every cluster has."""
        self.objects: dict[str, dict[str, Any]] = {}
        self.deleted: list[str] = []
        self.token = "right"  # noqa: S105  # of a stand-in
        self.add("Namespace", "kube-system")

    def add(self, kind: str, name: str, namespace: str = "", **more: Any) -> None:
        """Keep an object; `more` is its metadata, and under `body` everything else."""
        body = more.pop("body", {})
        metadata = {"name": name, "uid": UID, **({"namespace": namespace} if namespace else {}), **more}
        self.objects[self.address(kind, name, namespace)] = {
            "apiVersion": KINDS[kind][0],
            "kind": kind,
            "metadata": metadata,
            **body,
        }

    @staticmethod
    def address(kind: str, name: str, namespace: str = "") -> str:
        """Return the path of an object."""
        version, plural, _ = KINDS[kind]
        root = f"/api/{version}" if version == "v1" else f"/apis/{version}"
        return f"{root}/namespaces/{namespace}/{plural}/{name}" if namespace else f"{root}/{plural}/{name}"

    def listed(self, path: str, selector: str, phases: str) -> dict[str, Any] | None:
        """Return a list, of one namespace or of all; nothing if there is no such kind.

        Args:
            path: of the list.
            selector: labels that an object must have.
            phases: a field selector of phases that it may not be in.
        """
        others = {part.removeprefix("status.phase!=") for part in phases.split(",") if part}
        for kind, (version, plural, _) in KINDS.items():
            root = f"/api/{version}" if version == "v1" else f"/apis/{version}"
            if not (path.startswith(f"{root}/") and path.rpartition("/")[2] == plural):
                continue
            place = path.removeprefix(f"{root}/").split("/")
            namespace = place[1] if len(place) == 3 else None
            wanted = dict(part.split("=") for part in selector.split(",") if part)
            items = [
                item
                for item in self.objects.values()
                if item["kind"] == kind
                and namespace in {None, item["metadata"].get("namespace")}
                and wanted.items() <= (item["metadata"].get("labels") or {}).items()
                and item.get("status", {}).get("phase") not in others
            ]
            return {"apiVersion": version, "kind": f"{kind}List", "metadata": {}, "items": items}
        return None

    def discovery(self, path: str) -> dict[str, Any] | None:
        """Return what the API says about itself."""
        if path == "/version":
            said = dict.fromkeys(("buildDate", "compiler", "gitCommit", "gitTreeState", "goVersion", "platform"), "")
            return {"major": "1", "minor": "37", "gitVersion": "v1.37.2", **said}
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        groups = sorted({version for version, _, _ in KINDS.values() if version != "v1"} | {"authorization.k8s.io/v1"})
        if path == "/apis":
            entries = [{"groupVersion": one, "version": one.partition("/")[2]} for one in groups]
            return {
                "kind": "APIGroupList",
                "groups": [
                    {"name": one["groupVersion"].partition("/")[0], "versions": [one], "preferredVersion": one}
                    for one in entries
                ],
            }
        version = path.removeprefix("/apis/").removeprefix("/api/")
        if version not in {"v1", *groups}:
            return None
        resources = [
            {"name": plural, "singularName": "", "kind": kind, "namespaced": inside, "verbs": ["get", "list", "delete"]}
            for kind, (of, plural, inside) in KINDS.items()
            if of == version
        ]
        if version == "authorization.k8s.io/v1":
            name = "selfsubjectaccessreviews"
            resources = [{"name": name, "kind": "SelfSubjectAccessReview", "namespaced": False, "verbs": ["create"]}]
        return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}


class Handler(BaseHTTPRequestHandler):
    """One request to a cluster."""

    cluster: Cluster

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer(self, code: int, body: Mapping[str, Any]) -> None:
        """Answer in JSON."""
        content = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def admitted(self) -> bytes | None:
        """Return the request's body; without the right token answer, and return nothing."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") == f"Bearer {self.cluster.token}":
            return body
        self.answer(401, {"kind": "Status", "status": "Failure", "reason": "Unauthorized", "code": 401})
        return None

    def do_GET(self) -> None:
        """Read."""
        if self.admitted() is None:
            return
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        selector, phases = (query.get(name, [""])[0] for name in ("labelSelector", "fieldSelector"))
        found = (
            self.cluster.objects.get(url.path)
            or self.cluster.listed(url.path, selector, phases)
            or self.cluster.discovery(url.path.rstrip("/"))
        )
        self.answer(200 if found else 404, found or {"kind": "Status", "reason": "NotFound", "code": 404})

    def do_POST(self) -> None:
        """Allow what is asked."""
        if self.admitted() is not None:
            self.answer(201, {"kind": "SelfSubjectAccessReview", "status": {"allowed": True}})

    def do_DELETE(self) -> None:
        """Delete, or try."""
        body = self.admitted()
        if body is None:
            return
        path = urlsplit(self.path).path
        gone = self.cluster.objects.get(path)
        if gone and b"dryRun" not in body and "dryRun" not in self.path:
            del self.cluster.objects[path]
            self.cluster.deleted.append(path)
        self.answer(200 if gone else 404, gone or {"kind": "Status", "reason": "NotFound", "code": 404})


@contextmanager
def served(cluster: Cluster) -> Iterator[str]:
    """Serve a cluster; yield the API's address."""
    with listening(type("Bound", (Handler,), {"cluster": cluster})) as address:
        yield address


def kubeconfig(address: str, token: str) -> str:
    """Return a kubeconfig that leads there."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": address}}],
            "users": [{"name": "it", "user": {"token": token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        }
    )
