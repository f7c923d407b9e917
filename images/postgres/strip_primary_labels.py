#!/opt/patroni/bin/python
"""Patroni's callback: on the member that leads, take the label of the primary from every other pod.

A pod on a dead node can't change its own label, and stays ready until Kubernetes notices, which takes most of a minute.
So long the Service of the primary would send about half of all new connections to it. The new primary holds the
lease, so it may say that nobody else is the primary.

Patroni calls this with the action, the role and the scope, and ignores how it ends. So the outcome is told in the
container's log: one line, beginning with time and level like Patroni's own, ERROR if the labels may still be wrong.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

# As roles/postgres configures Patroni.
SCOPE_LABEL, ROLE_LABEL, PRIMARY = "cluster-name", "role", "primary"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
REQUEST_SECONDS = 5
# Longer than Kubernetes takes to see that a node is dead; then the label doesn't matter any more.
PATIENCE_SECONDS = 60
CONFLICT, GONE = 409, 404


class Refused(Exception):  # noqa: N818  # what a person reads in the log
    """The API server answered, but not with what was asked for."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the HTTP status."""
        super().__init__(message)
        self.status = status


class Api:
    """The API server, as far as it is needed here: one connection for each request, so that none can be stale."""

    def __init__(self, connect: Callable[[], http.client.HTTPConnection], namespace: str, token: str) -> None:
        """Remember how to reach it."""
        self.connect, self.namespace, self.token = connect, namespace, token

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer to a request below the namespace.

        Raises:
            OSError, http.client.HTTPException: it can't be reached.
            Refused: it doesn't do that.
        """
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/merge-patch+json"}
        connection = self.connect()
        try:
            path = f"/api/v1/namespaces/{self.namespace}/{path}"
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise Refused(answer.status, f"{method} {path}: {answer.status} {answer.reason}")
        found: dict[str, Any] = json.loads(text)
        return found


def api_of_this_pod() -> Api:
    """Return the API server as Kubernetes describes it to every pod. Patroni leaves no variables of its own here."""
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
    return Api(
        lambda: http.client.HTTPSConnection(host, port, timeout=REQUEST_SECONDS, context=context),
        (ACCOUNT / "namespace").read_text().strip(),
        (ACCOUNT / "token").read_text().strip(),
    )


def strip(api: Api, scope: str, member: str) -> list[str] | None:
    """Take the label from the other pods and return their names; None if this member doesn't lead.

    Each pod is changed only as it was read. One that has become the primary in between was changed by its own Patroni,
    so the API server refuses (409), and the lease is looked at again.
    """
    record = api.request("GET", f"configmaps/{scope}-leader")["metadata"].get("annotations") or {}
    if record.get("leader") != member:
        return None
    selector = quote(f"{SCOPE_LABEL}={scope},{ROLE_LABEL}={PRIMARY}")
    stripped = []
    for pod in api.request("GET", f"pods?labelSelector={selector}")["items"]:
        name, version = pod["metadata"]["name"], pod["metadata"]["resourceVersion"]
        if name == member:
            continue
        change = {"metadata": {"resourceVersion": version, "labels": {ROLE_LABEL: None}}}
        try:
            api.request("PATCH", f"pods/{name}", change)
        except Refused as refused:
            if refused.status != GONE:
                raise
        stripped.append(name)
    return stripped


def log(level: str, message: str) -> None:
    """Write a line like Patroni's."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))
    sys.stderr.write(f"{stamp},{int(now % 1 * 1000):03d} {level}: primary label: {message}\n")


def main(arguments: list[str], connect: Callable[[], Api] = api_of_this_pod, patience: float = PATIENCE_SECONDS) -> int:
    """Try until it is done, another member leads, or patience ends; return the exit code."""
    _, role, scope = arguments[-3:]
    if role != PRIMARY:
        return 0
    member, begun = socket.gethostname(), time.monotonic()
    while True:
        try:
            stripped = strip(connect(), scope, member)
        except (OSError, http.client.HTTPException, Refused, KeyError, ValueError) as error:
            waited = time.monotonic() - begun
            conflict = isinstance(error, Refused) and error.status == CONFLICT
            if waited > patience:
                log("ERROR", f"gave up after {waited:.0f} s; {scope}-rw may lead to a dead pod: {error!r}")
                return 1
            log("INFO" if conflict else "WARNING", f"trying again: {error!r}")
            time.sleep(0.1 if conflict else 1)
            continue
        took = f"in {time.monotonic() - begun:.1f} s"
        if stripped is None:
            log("INFO", f"left alone, {member} doesn't hold the lease")
        else:
            log("INFO", f"{member} alone has it; taken from {', '.join(stripped) or 'nobody'} {took}")
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
