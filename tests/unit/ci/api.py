"""A server that answers to helm and kubectl as the API does, from objects in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
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


def answer(
    objects: Sequence[Object], logs: Mapping[tuple[str, str], str], path: str, query: dict[str, list[str]]
) -> str | None:
    """Return what the API answers to GET, if there is such a thing."""
    if found := discovery(path):
        return json.dumps(found)
    for kind, plural in PLURALS.items():
        folder = f"/api/v1/namespaces/{NAMESPACE}/{plural}"
        items = [item for item in objects if item["kind"] == kind]
        if path == folder:
            chosen = [
                item
                for item in items
                if selected(item, query.get("fieldSelector", [""])[0])
                and selected(item["metadata"].get("labels", {}), query.get("labelSelector", [""])[0], dotted=False)
            ]
            return json.dumps({"apiVersion": "v1", "kind": f"{kind}List", "metadata": {}, "items": chosen})
        for item in items:
            name = item["metadata"]["name"]
            if path == f"{folder}/{name}":
                return json.dumps(item)
            if path == f"{folder}/{name}/log":
                return logs.get((name, query.get("container", [""])[0]))
    return None


class Handler(BaseHTTPRequestHandler):
    """How the API says something."""

    def say(self, code: int, text: str, kind: str = "application/json") -> None:
        """Answer with a text."""
        content = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def fail(self, code: int, reason: str) -> None:
        """Answer as the API does when it has nothing."""
        status = {"apiVersion": "v1", "kind": "Status", "status": "Failure"}
        self.say(code, json.dumps({**status, "code": code, "reason": reason, "message": reason}))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name in the base class
        """Say nothing in the tests' output."""
        del format, args


@contextmanager
def serving(
    objects: Sequence[Object],
    logs: Mapping[tuple[str, str], str] | None = None,
    refusing: Callable[[], bool] = lambda: False,
) -> Iterator[str]:
    """Serve, and yield the address.

    Args:
        objects: what is there at first; what is posted comes to it.
        logs: by pod and container.
        refusing: says whether the token has ended by now.
    """
    there = list(objects)

    class Api(Handler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if refusing():
                self.fail(401, "Unauthorized")
            elif (found := answer(there, logs or {}, parts.path, parse_qs(parts.query))) is None:
                self.fail(404, "NotFound")
            else:
                self.say(200, found, "text/plain" if parts.path.endswith("/log") else "application/json")

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            there.append(json.loads(text))
            self.say(201, text)

    with listening(Api) as address:
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
