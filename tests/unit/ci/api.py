"""A server that answers to helm and kubectl as the API does, from objects in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from unit.loopback import listening

Object = dict[str, Any]
NAMESPACE = "exchange"
PLURALS = {"Pod": "pods", "Event": "events", "Secret": "secrets"}


def discovery(path: str) -> Object | None:
    """Return what the API says of itself."""
    resources = [
        {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": ["get", "list"]}
        for kind, plural in PLURALS.items()
    ]
    return {
        "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
        "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": resources},
    }.get(path)


def selected(item: Object, selector: str, *, dotted: bool = True) -> bool:
    """Say whether a selector takes an object's fields, or (not dotted) a set of labels."""
    for condition in filter(None, selector.split(",")):
        path, _, wanted = condition.partition("=")
        value: Any = item
        for part in path.split(".") if dotted else [path]:
            value = value.get(part, {})
        if value != wanted:
            return False
    return True


@contextmanager
def serving(objects: Sequence[Object], logs: Mapping[tuple[str, str], str] | None = None) -> Iterator[str]:
    """Serve objects, and logs by pod and container; yield the address."""
    folders = {plural: f"/api/v1/namespaces/{NAMESPACE}/{plural}" for plural in PLURALS.values()}

    def answer(path: str, query: dict[str, list[str]]) -> str | None:
        if found := discovery(path):
            return json.dumps(found)
        for kind, plural in PLURALS.items():
            items = [item for item in objects if item["kind"] == kind]
            if path == folders[plural]:
                chosen = [
                    item
                    for item in items
                    if selected(item, query.get("fieldSelector", [""])[0])
                    and selected(item["metadata"].get("labels", {}), query.get("labelSelector", [""])[0], dotted=False)
                ]
                return json.dumps({"apiVersion": "v1", "kind": f"{kind}List", "metadata": {}, "items": chosen})
            for item in items:
                name = item["metadata"]["name"]
                if path == f"{folders[plural]}/{name}":
                    return json.dumps(item)
                if path == f"{folders[plural]}/{name}/log":
                    return (logs or {}).get((name, query.get("container", [""])[0]))
        return None

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            found = answer(parts.path, parse_qs(parts.query))
            failure = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 404, "message": "not there"}
            content = (json.dumps(failure) if found is None else found).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", "text/plain" if parts.path.endswith("/log") else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name in the base class
            del format, args

    with listening(Handler) as address:
        yield address


def kubeconfig(folder: Path, address: str) -> Path:
    """Write a kubeconfig of the server; return its path."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    path = folder / "config"
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    return path
