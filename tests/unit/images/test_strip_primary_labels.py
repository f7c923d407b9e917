"""The callback that takes the primary's label from other pods, against an API server of a few lines."""

from __future__ import annotations

import http.client
import importlib.util
import json
import re
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[3]
SCRIPT = PROJECT / "images" / "postgres" / "strip_primary_labels.py"
PREFIX = "/api/v1/namespaces/database/"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("strip_primary_labels", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load()
ME = socket.gethostname()


class Kubernetes(ThreadingHTTPServer):
    """Pods with labels, the leader record, and what it shall answer instead, in turn."""

    def __init__(self) -> None:
        """Begin with no pods, and this machine as the leader."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.leader: str | None = ME
        self.pods: dict[str, dict[str, Any]] = {}
        self.faults: list[int] = []
        self.requests: list[tuple[str, str, dict[str, Any] | None]] = []
        self.before_patch = lambda _: None
        # Whether a member whose label was taken is a standby at once.
        self.come_back = True

    def add(self, name: str, role: str | None, fenced: str = "no") -> None:
        """Add a pod."""
        labels = {"cluster-name": "postgres", script.FENCE: fenced} | ({"role": role} if role else {})
        self.pods[name] = {"metadata": {"name": name, "resourceVersion": "1", "labels": labels}}

    def claim(self, name: str, role: str) -> None:
        """Do what a member's own Patroni does: it knows of no other label."""
        self.pods[name]["metadata"]["labels"]["role"] = role
        self.pods[name]["metadata"]["resourceVersion"] += "1"

    def fenced(self, name: str) -> bool:
        """Return whether the Service passes a pod by, whatever its role."""
        return bool(self.pods[name]["metadata"]["labels"][script.FENCE] != "no")

    def role(self, name: str) -> str | None:
        """Return a pod's label."""
        return self.pods[name]["metadata"]["labels"].get("role")

    def api(self) -> Any:
        """Return the callback's way to here."""
        return script.Api(lambda: http.client.HTTPConnection(*self.server_address, timeout=2), "database", "secret")


class Handler(BaseHTTPRequestHandler):
    """What the API server does with these few requests."""

    server: Kubernetes

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer(self, status: int, body: Any) -> None:
        """Send JSON."""
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def handle_request(self, method: str) -> None:
        """Answer one request."""
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        assert self.headers["Authorization"] == "Bearer secret"
        assert self.path.startswith(PREFIX)
        url = urlsplit(self.path.removeprefix(PREFIX))
        self.server.requests.append((method, url.path, body))
        if self.server.faults:
            self.answer(self.server.faults.pop(0), {})
        elif url.path == "configmaps/postgres-leader":
            annotations = {"leader": self.server.leader} if self.server.leader else None
            self.answer(200, {"metadata": {"annotations": annotations}})
        elif method == "GET" and url.path == "pods":
            label, _, value = parse_qs(url.query)["labelSelector"][0].partition("=")
            found = [pod for pod in self.server.pods.values() if pod["metadata"]["labels"].get(label) == value]
            self.answer(200, {"items": found})
        else:
            self.patch(url.path.removeprefix("pods/"), body)

    def patch(self, name: str, body: Any) -> None:
        """Take labels from a pod, if it is as the client read it."""
        self.server.before_patch(name)
        pod = self.server.pods.get(name)
        if pod is None:
            self.answer(404, {})
        elif body["metadata"]["resourceVersion"] != pod["metadata"]["resourceVersion"]:
            self.answer(409, {})
        else:
            for label, value in body["metadata"]["labels"].items():
                if value is None:
                    pod["metadata"]["labels"].pop(label)
                else:
                    pod["metadata"]["labels"][label] = value
            if self.server.come_back and "role" not in pod["metadata"]["labels"]:
                pod["metadata"]["labels"]["role"] = "replica"
            self.answer(200, pod)

    def do_GET(self) -> None:
        """Answer a GET."""
        self.handle_request("GET")

    def do_PATCH(self) -> None:
        """Answer a PATCH."""
        self.handle_request("PATCH")


@pytest.fixture
def kubernetes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubernetes]:
    monkeypatch.setattr(script, "GUARD_EVERY_SECONDS", 0.05)
    server = Kubernetes()
    server.add(ME, "primary")
    server.add("postgres-8", "primary")
    server.add("postgres-9", "replica")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def call(kubernetes: Kubernetes, role: str = "primary", patience: float = 5, action: str = "on_role_change") -> int:
    code: int = script.main(["strip-primary-labels", action, role, "postgres"], kubernetes.api, patience)
    return code


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what was logged, without the times, which must be there."""
    written = capsys.readouterr().err.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+: primary label: ", line) for line in written)
    return [line[24:] for line in written]


def test_the_label_is_taken_from_others_alone(kubernetes: Kubernetes, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(kubernetes) == 0
    assert [kubernetes.role(name) for name in (ME, "postgres-8", "postgres-9")] == ["primary", "replica", "replica"]
    assert not any(kubernetes.fenced(name) for name in kubernetes.pods)
    fenced = {"metadata": {"resourceVersion": "1", "labels": {"role": None, script.FENCE: "yes"}}}
    opened = {"metadata": {"resourceVersion": "1", "labels": {script.FENCE: "no"}}}
    assert [request for request in kubernetes.requests if request[0] == "PATCH"] == [
        ("PATCH", "pods/postgres-8", fenced),
        ("PATCH", "pods/postgres-8", opened),
    ]
    (line,) = lines(capsys)
    assert line.startswith(f"INFO: primary label: {ME} leads; taken from postgres-8 in ")


def test_it_goes_on_until_every_other_member_is_a_standby(
    kubernetes: Kubernetes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_by: list[bool] = []

    def wake_up(name: str) -> None:
        # What the thawed member's own Patroni does: it claims the label once more, then it follows.
        role = "primary" if len(passed_by) < 3 else "replica"
        threading.Timer(0.05, kubernetes.claim, [name, role]).start()
        threading.Timer(0.1, lambda: passed_by.append(kubernetes.fenced(name))).start()

    kubernetes.before_patch, kubernetes.come_back = wake_up, False
    monkeypatch.setattr(script, "GUARD_EVERY_SECONDS", 0.3)
    assert call(kubernetes) == 0
    assert passed_by[:4] == [True] * 4
    assert kubernetes.role("postgres-8") == "replica"
    assert not kubernetes.fenced("postgres-8")
    assert len(lines(capsys)) == 4


def test_a_member_that_was_fenced_may_lead(kubernetes: Kubernetes) -> None:
    kubernetes.add(ME, "primary", fenced="yes")
    assert call(kubernetes, action="pre_promote") == 0
    assert not kubernetes.fenced(ME)
    assert kubernetes.role(ME) == "primary"


def test_nothing_is_touched_without_the_lease(kubernetes: Kubernetes, capsys: pytest.CaptureFixture[str]) -> None:
    for kubernetes.leader in ("postgres-8", None):
        assert call(kubernetes) == 0
        assert lines(capsys) == [f"INFO: primary label: left alone, {ME} doesn't hold the lease"]
    assert kubernetes.role("postgres-8") == "primary"
    assert all(method == "GET" for method, _, _ in kubernetes.requests)


@pytest.mark.parametrize("role", ["replica", "demoted", "standby_leader"])
def test_a_standby_asks_nothing(kubernetes: Kubernetes, role: str) -> None:
    assert call(kubernetes, role) == 0
    assert kubernetes.requests == []


def test_a_primary_of_a_moment_later_keeps_its_label(
    kubernetes: Kubernetes, capsys: pytest.CaptureFixture[str]
) -> None:
    def another_one_leads(name: str) -> None:
        kubernetes.leader = name
        kubernetes.pods[name]["metadata"]["resourceVersion"] = "2"

    kubernetes.before_patch = another_one_leads
    assert call(kubernetes) == 0
    assert kubernetes.role("postgres-8") == "primary"
    first, second = lines(capsys)
    assert "409" in first
    assert "doesn't hold the lease" in second


def test_a_pod_that_is_gone_is_no_failure(kubernetes: Kubernetes) -> None:
    kubernetes.before_patch = kubernetes.pods.pop
    assert call(kubernetes) == 0


@pytest.mark.parametrize("status", [500, 503, 429])
def test_it_goes_on_until_the_api_server_answers(
    kubernetes: Kubernetes, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    kubernetes.faults = [status]
    assert call(kubernetes) == 0
    assert kubernetes.role("postgres-8") == "replica"
    first, second = lines(capsys)
    assert first.startswith("WARNING: ")
    assert str(status) in first
    assert second.startswith("INFO: ")


@pytest.mark.parametrize("reachable", [True, False])
def test_giving_up_is_an_error_in_the_log(
    kubernetes: Kubernetes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, reachable: bool
) -> None:
    kubernetes.faults = [403] * 20
    if not reachable:
        monkeypatch.setattr(
            kubernetes, "api", lambda: script.Api(lambda: http.client.HTTPConnection("127.0.0.1", 1), "database", "")
        )
    assert call(kubernetes, patience=0.5) == 1
    assert lines(capsys)[-1].startswith("ERROR: primary label: gave up after ")
    assert kubernetes.role("postgres-8") == "primary"


def test_a_promotion_waits_for_a_moment_alone(kubernetes: Kubernetes, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(kubernetes, action="pre_promote") == 0
    assert kubernetes.role("postgres-8") == "replica"
    kubernetes.faults = [503] * 100
    begun = time.monotonic()
    assert call(kubernetes, action="pre_promote", patience=60) == 1
    assert time.monotonic() - begun < 10
    assert lines(capsys)[-1].startswith("WARNING: primary label: left to the callback: ")


def test_the_promotion_never_depends_on_it() -> None:
    configured = yaml.safe_load((PROJECT / "roles" / "postgres" / "vars" / "main.yml").read_text())
    command = shlex.split(configured["__postgres_local_configuration"]["postgresql"]["pre_promote"])
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_the_service_passes_a_fenced_pod_by() -> None:
    templates = PROJECT / "roles" / "postgres" / "templates"
    label = f'{script.FENCE}: "{script.DOWN}"'
    for template in ("service", "statefulset"):
        assert (templates / template / "postgres.yaml.j2").read_text().count(label) == 1


def test_the_role_and_the_callback_use_the_same_names() -> None:
    configured = yaml.safe_load((PROJECT / "roles" / "postgres" / "vars" / "main.yml").read_text())
    local = configured["__postgres_local_configuration"]
    assert local["kubernetes"]["scope_label"] == script.SCOPE_LABEL
    assert local["kubernetes"]["role_label"] == script.ROLE_LABEL
    assert set(local["postgresql"]["callbacks"].values()) == {"strip-primary-labels"}
    dockerfile = (PROJECT / "images" / "postgres" / "Dockerfile").read_text()
    assert f"COPY {SCRIPT.name} /usr/local/bin/strip-primary-labels" in dockerfile
    assert SCRIPT.stat().st_mode & 0o111 == 0o111
