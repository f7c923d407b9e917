#!/opt/patroni/bin/python
"""Run by Patroni: on the member that leads, take the label of the primary from every other pod, and fence that pod.

A pod on a dead node can't change its own label, and stays ready until Kubernetes notices, which takes most of a minute.
So long the Service of the primary would send about half of all new connections to it. The new primary holds the
lease, so it may say that nobody else is the primary. When the node goes on, the pod's own Patroni claims the label once
more, before it sees that it lost the lease; the Service leads to no pod that is fenced, so this does no harm. A fence
is taken down when its pod is a standby, and by a member that leads from its own pod.

Patroni runs this twice. After it got the lease and before it promotes (pre_promote), so that the Service never leads to
a dead and a living primary at once; writes wait for it, so this takes a moment at most. Then as a callback, for as long
as it takes, and on until every other member is a standby without a fence.

Arguments are the action, the role and the scope. Patroni ignores how a callback ends, so the outcome is told in the
container's log: a line beginning with time and level like Patroni's own, ERROR if the labels may still be wrong.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

# As roles/postgres configures Patroni.
SCOPE_LABEL, ROLE_LABEL, PRIMARY, STANDBY = "cluster-name", "role", "primary", "replica"
# Each pod begins with FENCE: DOWN, so that the Service depends on this program only where there is somebody to fence.
FENCE, UP, DOWN = "cryptoexchange.platform/fenced", "yes", "no"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
REQUEST_SECONDS = 2
# Longer than Kubernetes takes to see that a node is dead; then the label doesn't matter any more.
PATIENCE_SECONDS = 60
PATIENCE_BEFORE_PROMOTION_SECONDS = 1
# Until the nodes have taken a changed label into their Service rules.
SETTLE_SECONDS = 1
# How often, and for how long, it is seen to that a member that isn't back yet doesn't claim the label.
GUARD_EVERY_SECONDS, GUARD_SECONDS = 2, 3600
CONFLICT, GONE = 409, 404


class Refused(Exception):  # noqa: N818  # what a person reads in the log
    """The API server answered, but not with what was asked for."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the HTTP status."""
        super().__init__(message)
        self.status = status


FAILURES = (OSError, http.client.HTTPException, Refused, KeyError, ValueError)


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


def strip(api: Api, scope: str, member: str) -> tuple[list[str], bool] | None:
    """Set the labels of all pods right; return whose role was taken, and whether every other pod is an open standby's.

    None if this member doesn't lead.

    Each pod is changed only as it was read. One that has become the primary in between was changed by its own Patroni,
    so the API server refuses (409), and the lease is looked at again.
    """
    record = api.request("GET", f"configmaps/{scope}-leader")["metadata"].get("annotations") or {}
    if record.get("leader") != member:
        return None
    pods = api.request("GET", f"pods?labelSelector={quote(f'{SCOPE_LABEL}={scope}')}")["items"]
    others, stripped = [], []
    for pod in pods:
        name, labels = pod["metadata"]["name"], pod["metadata"]["labels"]
        if name != member:
            others.append(labels)
            if labels.get(ROLE_LABEL) == PRIMARY:
                stripped.append(name)
        change = changes(labels, leads=name == member)
        if change:
            body = {"metadata": {"resourceVersion": pod["metadata"]["resourceVersion"], "labels": change}}
            try:
                api.request("PATCH", f"pods/{name}", body)
            except Refused as refused:
                if refused.status != GONE:
                    raise
    return stripped, all(labels.get(ROLE_LABEL) == STANDBY and labels.get(FENCE) != UP for labels in others)


def changes(labels: Mapping[str, str], *, leads: bool) -> dict[str, str | None]:
    """Return what has to change at a pod's labels; None stands for a label that has to go."""
    if leads:
        return {} if labels.get(FENCE) == DOWN else {FENCE: DOWN}
    if labels.get(ROLE_LABEL) == PRIMARY:
        return {ROLE_LABEL: None, FENCE: UP}
    return {FENCE: DOWN} if labels.get(ROLE_LABEL) == STANDBY and labels.get(FENCE) == UP else {}


def log(level: str, message: str) -> None:
    """Write a line like Patroni's."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))
    sys.stderr.write(f"{stamp},{int(now % 1 * 1000):03d} {level}: primary label: {message}\n")


def main(arguments: list[str], connect: Callable[[], Api] = api_of_this_pod, patience: float = PATIENCE_SECONDS) -> int:
    """Run one of Patroni's calls and return the exit code."""
    action, role, scope = arguments[-3:]
    if role != PRIMARY:
        return 0
    early = action == "pre_promote"
    try:
        if early:
            before_promotion(connect, scope)
        else:
            until_all_are_standbys(connect, scope, patience)
    except FAILURES as error:
        if early:
            log("WARNING", f"left to the callback: {error!r}")
        else:
            log("ERROR", f"gave up after {patience:.0f} s; {scope}-rw may lead to a dead pod, or to none: {error!r}")
        return 1
    return 0


def before_promotion(connect: Callable[[], Api], scope: str) -> None:
    """Strip once, and give the nodes the time to learn of it."""
    done = persist(connect, scope, PATIENCE_BEFORE_PROMOTION_SECONDS)
    if done and done[0]:
        time.sleep(SETTLE_SECONDS)


def until_all_are_standbys(connect: Callable[[], Api], scope: str, patience: float) -> None:
    """Strip again and again until there is no need to, or this member doesn't lead any more."""
    deadline = time.monotonic() + GUARD_SECONDS
    done = persist(connect, scope, patience)
    while done and not done[1] and time.monotonic() < deadline:
        time.sleep(GUARD_EVERY_SECONDS)
        done = persist(connect, scope, patience)


def persist(connect: Callable[[], Api], scope: str, patience: float) -> tuple[list[str], bool] | None:
    """Try to strip until it works, tell what was done and return it; after too long, raise what was in the way."""
    member, begun = socket.gethostname(), time.monotonic()
    while True:
        try:
            done = strip(connect(), scope, member)
        except FAILURES as error:
            if time.monotonic() - begun > patience:
                raise
            conflict = isinstance(error, Refused) and error.status == CONFLICT
            log("INFO" if conflict else "WARNING", f"trying again: {error!r}")
            time.sleep(0.1 if conflict else min(1.0, patience / 4))
            continue
        if done is None:
            log("INFO", f"left alone, {member} doesn't hold the lease")
        elif done[0]:
            log("INFO", f"{member} leads; taken from {', '.join(done[0])} in {time.monotonic() - begun:.1f} s")
        return done


if __name__ == "__main__":
    sys.exit(main(sys.argv))
