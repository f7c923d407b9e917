"""A stand-in for AWX's API, which keeps what the modules of awx.awx send, by name.

It knows no rules of AWX's: what it takes AWX may still refuse. What the modules themselves check, look up by name and
compare is real.
"""

from __future__ import annotations

import json
import re
import ssl
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from unit.loopback import listening

Item = dict[str, Any]
# What may stand in a workflow.
UNIFIED = ("projects", "job_templates", "inventory_sources", "workflow_job_templates")


class Awx:
    """Collections of items, and lists of ids below some of them."""

    def __init__(self) -> None:
        """Begin with what a new AWX has."""
        self.items: dict[str, list[Item]] = defaultdict(list)
        self.below: dict[str, list[int]] = defaultdict(list)
        self.surveys: dict[str, Any] = {}
        self.last = 0
        self.add("credentials", {"name": "Ansible Galaxy"})

    def add(self, collection: str, fields: Item) -> Item:
        """Keep a new item."""
        self.last += 1
        url = f"/api/v2/{collection}/{self.last}/"
        related = {"survey_spec": f"{url}survey_spec/"}
        item = {
            **fields,
            "id": self.last,
            "url": url,
            "type": collection.removesuffix("s"),
            "related": related,
            "summary_fields": {},
        }
        item |= {"scm_revision": "1"} if collection == "projects" else {}
        self.items[collection].append(self.hidden(collection, item))
        return item

    @staticmethod
    def hidden(collection: str, item: Item) -> Item:
        """Show secrets of credentials as AWX does."""
        if collection == "credentials" and item.get("inputs"):
            item["inputs"] = dict.fromkeys(item["inputs"], "$encrypted$")
        return item

    def named(self, collection: str, name: str, key: str = "name") -> Item:
        """Return the one item of a name."""
        [found] = [item for item in self.items[collection] if item.get(key) == name]
        return found

    def found(self, collection: str, wanted: dict[str, str]) -> list[Item]:
        """Return the items of a collection that a query selects."""
        places = UNIFIED if collection == "unified_job_templates" else (collection,)
        items = [item for place in places for item in self.items[place]]
        return [item for item in items if all(str(item.get(key)) == value for key, value in wanted.items())]

    def one(self, collection: str, number: str) -> Item | None:
        """Return an item by its id."""
        return next((item for item in self.items[collection] if item["id"] == int(number)), None)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    awx: Awx

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer(self, code: int, body: Any = None) -> None:
        """Answer in JSON."""
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def listed(self, items: list[Item]) -> None:
        """Answer with a page that is the only one."""
        self.answer(200, {"count": len(items), "next": None, "results": items})

    def parts(self) -> tuple[str, str, str]:
        """Return collection, id and what is below."""
        found = re.fullmatch(r"/api/v2/(\w+)/(?:(\d+)/)?(?:(\w+)/)?", urlsplit(self.path).path)
        return (found[1], found[2] or "", found[3] or "") if found else ("", "", "")

    def body(self) -> Any:
        """Return what was sent."""
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def do_GET(self) -> None:
        """Read."""
        collection, number, below = self.parts()
        if below == "survey_spec":
            self.answer(200, self.awx.surveys.get(number, {}))
        elif below:
            self.listed([{"id": one} for one in self.awx.below[f"{collection}/{number}/{below}"]])
        elif number:
            found = self.awx.one(collection, number)
            self.answer(200 if found else 404, found or {"detail": "Not found."})
        else:
            self.listed(self.awx.found(collection, dict(parse_qsl(urlsplit(self.path).query))))

    def do_POST(self) -> None:
        """Make an item, keep a survey, or associate."""
        collection, number, below = self.parts()
        sent = self.body()
        if below == "survey_spec":
            self.awx.surveys[number] = sent
            self.answer(200, {})
        elif below == "create_approval_template":
            made = self.awx.add("workflow_approval_templates", {k: sent[k] for k in ("name", "description", "timeout")})
            node = self.awx.one(collection, number) or {}
            node["unified_job_template"] = made["id"]
            node["related"] = {**node["related"], "unified_job_template": made["url"]}
            self.answer(201, made)
        elif below:
            listed = self.awx.below[f"{collection}/{number}/{below}"]
            if sent.get("disassociate"):
                listed.remove(sent["id"])
            else:
                listed.append(sent["id"])
            self.answer(204)
        else:
            self.answer(201, self.awx.add(collection, sent))

    def do_PATCH(self) -> None:
        """Change an item, in what it has."""
        collection, number, _ = self.parts()
        item = self.awx.one(collection, number) or {}
        known = {"name", "description", "timeout"} if collection == "workflow_approval_templates" else None
        item |= {key: value for key, value in self.body().items() if known is None or key in known}
        self.answer(200, self.awx.hidden(collection, item))


@contextmanager
def served(awx: Awx, certificate: Path, key: Path) -> Iterator[str]:
    """Serve it over TLS; yield its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with listening(type("Bound", (Handler,), {"awx": awx}), context) as address:
        yield address
