"""Run a Kubernetes Job to its end, and say what it says while it runs."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.readiness import pod_problems
from kubernetes.client import ApiClient, ApiException, BatchV1Api, CoreV1Api
from urllib3.exceptions import HTTPError

GONE = 404
# To connect, and between two bytes: an API server that is away for a moment is asked again.
TIMEOUT = (3, 30)
UNREACHABLE = (ApiException, HTTPError, OSError)
POLL_SECONDS = 1.0
GONE_SECONDS = 120


class JobError(Exception):
    """The Job did not do what it should; the message says what it said last."""


class Done(NamedTuple):
    """A Job that succeeded: the lines of its last pod's log, and the message that its container left as it ended.

    What a program answers is in the message: a log is two streams, whose lines may change places.
    """

    log: list[str]
    answer: str


def ended(job: Mapping[str, Any]) -> tuple[bool, str] | None:
    """Return whether a Job succeeded, and Kubernetes' words if not; nothing while it runs."""
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition["status"] == "True" and condition["type"] in {"Complete", "Failed"}:
            return condition["type"] == "Complete", str(condition.get("message") or condition.get("reason") or "")
    return None


class Runner:
    """Jobs of one namespace, through the API server."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        """Remember where."""
        self.batch, self.core, self.namespace = BatchV1Api(client), CoreV1Api(client), namespace

    def run(self, definition: Mapping[str, Any], timeout: float, say: Callable[[str], None]) -> Done:
        """Make a Job, wait for its end and return what it said.

        Args:
            definition: the manifest. A Job of that name that is left over is removed first, with what it was doing.
            timeout: how long it may take, in seconds.
            say: takes each line of the log as it comes.

        Raises:
            JobError: it failed, or took too long.
        """
        name = definition["metadata"]["name"]
        self.remove(name)
        body: Any = definition  # the library takes plain data as well
        self.batch.create_namespaced_job(self.namespace, body, _request_timeout=TIMEOUT)
        deadline = time.monotonic() + timeout
        lines: list[str] = []
        answer = ""
        outcome = None
        while outcome is None:
            time.sleep(POLL_SECONDS)
            with contextlib.suppress(*UNREACHABLE):
                # In this order: what was said before the end is read after it.
                found = ended(self._raw(self.batch.read_namespaced_job, name, self.namespace))
                lines = self._tell(name, lines, say)
                answer = self._answer(name) if found else ""
                outcome = found
            if time.monotonic() > deadline:
                raise JobError(f"Job {name} has not ended within {timeout:.0f} s: {self._why(name, lines)}")
        succeeded, words = outcome
        if not succeeded:
            raise JobError(f"Job {name} failed ({words}): {self._why(name, lines)}")
        return Done(lines, answer)

    def remove(self, name: str) -> None:
        """Remove a Job and its pods, and wait until they are gone."""
        try:
            self.batch.delete_namespaced_job(name, self.namespace, propagation_policy="Foreground")
        except ApiException as error:
            if error.status != GONE:
                raise
            return
        deadline = time.monotonic() + GONE_SECONDS
        while time.monotonic() < deadline:
            try:
                self.batch.read_namespaced_job(name, self.namespace, _request_timeout=TIMEOUT)
            except ApiException as error:
                if error.status == GONE:
                    return
            time.sleep(POLL_SECONDS)
        raise JobError(f"an earlier Job {name} has not gone within {GONE_SECONDS} s: look at its pods")

    def _tell(self, name: str, told: Sequence[str], say: Callable[[str], None]) -> list[str]:
        """Pass on what is new in the log; return all of it."""
        pods = self._pods(name)
        if not pods:
            return list(told)
        answer: Any = self.core.read_namespaced_pod_log(
            pods[-1]["metadata"]["name"], self.namespace, _preload_content=False, _request_timeout=TIMEOUT
        )
        lines = str(answer.data.decode(errors="replace")).splitlines()
        for line in lines[len(told) :]:
            say(f"    {line}")
        return lines

    def _pods(self, name: str) -> list[dict[str, Any]]:
        listed = self._raw(
            self.core.list_namespaced_pod, self.namespace, label_selector=f"batch.kubernetes.io/job-name={name}"
        )["items"]
        return sorted(listed, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def _answer(self, name: str) -> str:
        """Return the message of the container that ended last."""
        for pod in self._pods(name)[-1:]:
            for container in pod["status"].get("containerStatuses") or []:
                return str(((container.get("state") or {}).get("terminated") or {}).get("message") or "").strip()
        return ""

    def _why(self, name: str, lines: Sequence[str]) -> str:
        """Return the last thing that was said, or why nothing could be."""
        if lines:
            return lines[-1]
        with contextlib.suppress(*UNREACHABLE):
            return "; ".join(pod_problems(self._pods(name), [])) or "it said nothing"
        return "it said nothing"

    @staticmethod
    def _raw(function: Callable[..., Any], *arguments: Any, **options: Any) -> dict[str, Any]:
        """Call the API and return its answer as plain data."""
        answer = function(*arguments, **options, _preload_content=False, _request_timeout=TIMEOUT)
        found: dict[str, Any] = json.loads(answer.data)
        return found
