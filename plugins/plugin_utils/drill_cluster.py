"""What a drill asks of Kubernetes: the database's members, commands in their pods, and the writers' Jobs."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any, Self

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.drill_writer import (
    LABELS,
    NAME,
    Writer,
    manifests,
)
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.postgres_members import cluster_state, member
from kubernetes.client import ApiClient, ApiException, AppsV1Api, BatchV1Api, CoreV1Api, NetworkingV1Api
from kubernetes.stream import stream
from urllib3.exceptions import HTTPError

# To connect, and between two bytes: the API server may be what fails.
TIMEOUT = (3, 10)
GONE, TAKEN = 404, 409
UNREACHABLE = (ApiException, HTTPError, OSError)


class DrillError(Exception):
    """The drill could not be carried out; the message says why."""


class DrillCluster:
    """One installation of roles/postgres, through the API server alone."""

    def __init__(self, client: ApiClient, database: str, app: str, selector: str) -> None:
        """Remember where the database and its writers live.

        Args:
            client: a connected client of the Kubernetes library.
            database: namespace of the database.
            app: namespace from which it may be reached.
            selector: labels of the database's pods, as the API takes them.
        """
        self.database, self.app, self.selector = database, app, selector
        self.core, self.apps, self.batch = CoreV1Api(client), AppsV1Api(client), BatchV1Api(client)
        self.networking = NetworkingV1Api(client)
        # stream() changes its client while a command runs, so commands have one of their own.
        own = ApiClient(configuration=client.configuration)
        own.default_headers.update(client.default_headers)
        self.streams = CoreV1Api(own)

    def raw(self, function: Any, *arguments: Any, **options: Any) -> Any:
        """Call the API and return its answer as plain data."""
        answer = function(*arguments, **options, _preload_content=False, _request_timeout=TIMEOUT)
        return json.loads(answer.data)

    def pods(self) -> list[dict[str, Any]]:
        """Return the database's pods."""
        found: list[dict[str, Any]] = self.raw(
            self.core.list_namespaced_pod, self.database, label_selector=self.selector
        )["items"]
        return found

    def state(self) -> dict[str, Any]:
        """Return what the pods say of the cluster, as postgres_members.cluster_state does, with ``pods`` by name."""
        wanted = self.raw(self.apps.read_namespaced_stateful_set, "postgres", self.database)["spec"]["replicas"]
        pods = self.pods()
        return {
            **cluster_state(pods, wanted),
            "replicas": wanted,
            "pods": {pod["metadata"]["name"]: pod for pod in pods},
        }

    def mode(self) -> str:
        """Return what a commit waits for, in the words of postgres_synchronous_mode."""
        found = self.raw(self.core.read_namespaced_config_map, "postgres-config", self.database)
        told = json.loads(found["metadata"]["annotations"]["config"])
        if told.get("synchronous_mode") in {None, False, "off"}:
            return "async"
        return "strict" if told.get("synchronous_mode_strict") else "quorum"

    def whole(self, seconds: float) -> dict[str, Any]:
        """Wait until there is a primary and every other member streams from it; return the state.

        Raises:
            DrillError: that took longer than `seconds`.
        """
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(*UNREACHABLE):
                state = self.state()
                if not state["problems"]:
                    return state
                if time.monotonic() > deadline:
                    raise DrillError(f"the database is not whole after {seconds:.0f} s: {'; '.join(state['problems'])}")
            if time.monotonic() > deadline + TIMEOUT[1]:
                raise DrillError(f"the API server doesn't answer after {seconds:.0f} s")
            time.sleep(0.5)

    def execute(self, namespace: str, pod: str, command: list[str], seconds: float = 30) -> tuple[int | None, str]:
        """Run a command in a pod; return its exit code (None if the connection ended first) and output."""
        connected = stream(
            self.streams.connect_get_namespaced_pod_exec,
            pod,
            namespace,
            command=command,
            stdout=True,
            stderr=True,
            _preload_content=False,
        )
        try:
            connected.run_forever(timeout=seconds)
            # In this order: reading everything forgets the status.
            code: int | None = None
            with contextlib.suppress(Exception):  # without a status the connection has ended before the command
                code = connected.returncode
            return code, connected.read_all()
        finally:
            connected.close()

    def delete_pod(self, name: str) -> None:
        """Delete a pod of the database, gracefully."""
        with contextlib.suppress(ApiException):
            self.core.delete_namespaced_pod(name, self.database, _request_timeout=TIMEOUT)

    def control_plane_nodes(self) -> list[str]:
        """Return the nodes that run the API server, where the cluster says so."""
        found = self.raw(self.core.list_node, label_selector="node-role.kubernetes.io/control-plane")
        return [item["metadata"]["name"] for item in found["items"]]

    def service_address(self, name: str) -> str:
        """Return the address of a Service of the database."""
        address: str = self.raw(self.core.read_namespaced_service, name, self.database)["spec"]["clusterIP"]
        return address

    def login(self) -> dict[str, str]:
        """Return the application's user, password, database and CA."""
        secret = self.raw(self.core.read_namespaced_secret, "postgres-app", self.database)
        return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}

    # --- Writers -------------------------------------------------------------------------------------------------

    def start_writers(self, writers: list[Writer], program: str, member: dict[str, Any]) -> None:
        """Start the writers' pods. What they leave goes with the first one's Job, by itself if need be."""
        secret, policy, jobs = manifests(writers, program, self.login(), member, self.database)
        for name in (f"{NAME}-{writer.name}" for writer in writers):
            with contextlib.suppress(ApiException):
                self.raw(self.batch.read_namespaced_job, name, self.app)
                raise DrillError(
                    f"the Job {name} exists in {self.app}: another drill is under way; what an interrupted one left "
                    "removes itself within some minutes"
                )
        with contextlib.suppress(ApiException):
            self.core.delete_namespaced_secret(NAME, self.app, _request_timeout=TIMEOUT)
        with contextlib.suppress(ApiException):
            self.networking.delete_namespaced_network_policy(NAME, self.app, _request_timeout=TIMEOUT)
        first = self.raw(self.batch.create_namespaced_job, self.app, jobs[0])
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": first["metadata"]["name"]}
        owner["uid"] = first["metadata"]["uid"]
        for item in (secret, policy, *jobs[1:]):
            item["metadata"]["ownerReferences"] = [owner]
        self.raw(self.networking.create_namespaced_network_policy, self.app, policy)
        self.raw(self.core.create_namespaced_secret, self.app, secret)
        for job in jobs[1:]:
            self.raw(self.batch.create_namespaced_job, self.app, job)

    def writer_pod(self, writer: str) -> dict[str, Any] | None:
        """Return a writer's pod, if it is there."""
        selector = f"job-name={NAME}-{writer}"
        found = self.raw(self.core.list_namespaced_pod, self.app, label_selector=selector)["items"]
        return found[0] if found else None

    def records(self, writer: str, last: int | None = None) -> list[dict[str, Any]]:
        """Return what a writer has printed: attempts, and what it found in the end."""
        pod = self.writer_pod(writer)
        if pod is None:
            return []
        options: dict[str, Any] = {"tail_lines": last} if last else {}
        answer: Any = self.core.read_namespaced_pod_log(
            pod["metadata"]["name"], self.app, **options, _preload_content=False, _request_timeout=TIMEOUT
        )
        lines = answer.data.decode(errors="replace").splitlines()
        records = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        if lines and not records:
            raise DrillError(f"the writer {writer} failed: {lines[-1]}")
        return records

    def stop_writer(self, writer: str, seconds: float) -> list[dict[str, Any]]:
        """Tell a writer to stop, wait for its last word and return all it has printed.

        Raises:
            DrillError: it didn't come to its end.
        """
        deadline, told = time.monotonic() + seconds, False
        while time.monotonic() < deadline:
            with contextlib.suppress(*UNREACHABLE):
                pod = self.writer_pod(writer)
                if pod is not None and not told:
                    self.execute(self.app, pod["metadata"]["name"], ["sh", "-c", "kill -TERM 1"])
                    told = True
                if any("end" in line for line in self.records(writer, last=3)):
                    return self.records(writer)
            time.sleep(0.5)
        raise DrillError(f"the writer {writer} did not stop within {seconds:.0f} s")

    def remove_writers(self) -> None:
        """Remove the writers with all that belongs to them, and wait until they are gone."""
        labels = ",".join(f"{name}={value}" for name, value in LABELS.items())
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(*UNREACHABLE):
                self.batch.delete_collection_namespaced_job(
                    self.app, label_selector=labels, propagation_policy="Background", _request_timeout=TIMEOUT
                )
                self.core.delete_collection_namespaced_pod(
                    self.app, label_selector=labels, grace_period_seconds=0, _request_timeout=TIMEOUT
                )
                self.core.delete_collection_namespaced_secret(self.app, label_selector=labels, _request_timeout=TIMEOUT)
                self.networking.delete_collection_namespaced_network_policy(
                    self.app, label_selector=labels, _request_timeout=TIMEOUT
                )
                jobs = self.raw(self.batch.list_namespaced_job, self.app, label_selector=labels)["items"]
                pods = self.raw(self.core.list_namespaced_pod, self.app, label_selector=labels)["items"]
                if not jobs and not pods:
                    return
            if time.monotonic() > deadline:
                raise DrillError(f"the writers in {self.app} could not be removed within 60 s")
            time.sleep(0.5)

    def clock_ahead(self, writer: str) -> float:
        """Return by how many seconds a writer's clock is ahead of ours."""
        pod = self.writer_pod(writer)
        if pod is None:
            raise DrillError(f"the writer {writer} is gone")
        before = time.time()
        _, text = self.execute(self.app, pod["metadata"]["name"], ["date", "+%s.%N"])
        return float(text.strip()) - (before + time.time()) / 2


class Watch:
    """Notes, twice a second, what each member's pod says of itself, until it is closed."""

    def __init__(self, cluster: DrillCluster) -> None:
        """Begin with nothing."""
        self.cluster = cluster
        # Time, and by member its label and whether it serves.
        self.changes: list[tuple[float, dict[str, tuple[str, bool]]]] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(0.5):
            with contextlib.suppress(*UNREACHABLE):
                pods = self.cluster.pods()
                now = {
                    pod["metadata"]["name"]: (pod["metadata"]["labels"].get("role", ""), member(pod).working)
                    for pod in pods
                }
                if not self.changes or self.changes[-1][1] != now:
                    self.changes.append((time.time(), now))

    def labels(self, until: float) -> Iterator[tuple[float, float, dict[str, str]]]:
        """Yield from when until when the labels were which."""
        ends = [at for at, _ in self.changes[1:]] + [until]
        for (at, members), end in zip(self.changes, ends, strict=True):
            yield at, end, {name: role for name, (role, _) in members.items()}

    def back(self, name: str, since: float) -> float | None:
        """Return when a member served as a standby, first after a moment; None: it didn't."""
        return next((at for at, members in self.changes if at > since and members.get(name) == ("replica", True)), None)
