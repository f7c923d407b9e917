"""A Job is run to its end, against an API server that answers as a script says."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import jobs
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.jobs import JobError, Runner, ended
from kubernetes.client import ApiClient, ApiException

JOB = {"metadata": {"name": "restore"}}
RUNNING: dict[str, Any] = {"status": {"active": 1}}
COMPLETE = {
    "status": {"conditions": [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}]}
}
FAILED = {"status": {"conditions": [{"type": "Failed", "status": "True", "message": "deadline exceeded"}]}}
POD = {
    "metadata": {"name": "restore-abc", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "status": {"containerStatuses": [{"state": {"terminated": {"exitCode": 0, "message": "the answer\n"}}}]},
}


@pytest.mark.parametrize(
    ("job", "outcome"),
    [
        ({}, None),
        (RUNNING, None),
        (COMPLETE, (True, "")),
        (FAILED, (False, "deadline exceeded")),
        ({"status": {"conditions": [{"type": "Failed", "status": "False"}]}}, None),
    ],
)
def test_how_a_job_ended(job: dict[str, Any], outcome: tuple[bool, str] | None) -> None:
    assert ended(job) == outcome


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Runner, list[str]]]:
    """Return a maker of runners, and of the list of what they asked for."""
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0)

    def make(states: list[Any], logs: list[str], pods: list[dict[str, Any]], *, left_over: bool = False) -> Any:
        asked: list[str] = []
        there = [left_over]

        def answer(value: Any) -> SimpleNamespace:
            if isinstance(value, Exception):
                raise value
            return SimpleNamespace(data=json.dumps(value).encode())

        def delete(*_: Any, **__: Any) -> None:
            asked.append("delete")
            if not there[0]:
                raise ApiException(status=404)
            there[0] = False

        def read(*_: Any, **__: Any) -> SimpleNamespace:
            if "create" not in asked:
                raise ApiException(status=404)
            return answer(states.pop(0) if len(states) > 1 else states[0])

        def log(*_: Any, **__: Any) -> SimpleNamespace:
            return SimpleNamespace(data=(logs.pop(0) if len(logs) > 1 else logs[0]).encode())

        made = Runner(ApiClient(), "shop")
        made.batch = SimpleNamespace(  # type: ignore[assignment]
            delete_namespaced_job=delete,
            create_namespaced_job=lambda *_, **__: asked.append("create"),
            read_namespaced_job=read,
        )
        made.core = SimpleNamespace(  # type: ignore[assignment]
            list_namespaced_pod=lambda *_, **__: answer({"items": pods}), read_namespaced_pod_log=log
        )
        return made, asked

    return make


@pytest.mark.parametrize("left_over", [False, True])
def test_each_line_is_told_once_and_an_earlier_job_goes_first(runner: Any, left_over: bool) -> None:  # noqa: FBT001
    made, asked = runner(
        [RUNNING, RUNNING, COMPLETE], ["one\n", "one\ntwo\n", "one\ntwo\nthree\n"], [POD], left_over=left_over
    )
    said: list[str] = []
    assert made.run(JOB, 60, said.append) == (["one", "two", "three"], "the answer")
    assert said == ["    one", "    two", "    three"]
    assert asked == ["delete", "create"]


def test_an_api_server_that_is_away_for_a_moment_is_asked_again(runner: Any) -> None:
    made, _ = runner([ApiException(status=503), OSError("reset"), COMPLETE], ["done\n"], [POD])
    assert made.run(JOB, 60, lambda _: None).log == ["done"]


def test_a_job_that_leaves_no_message_answers_nothing(runner: Any) -> None:
    made, _ = runner([COMPLETE], ["done\n"], [{**POD, "status": {}}])
    assert made.run(JOB, 60, lambda _: None) == (["done"], "")


def test_a_failure_ends_with_what_the_job_said_last(runner: Any) -> None:
    made, _ = runner([RUNNING, FAILED], ["one\nwrong private key\n"], [POD])
    with pytest.raises(JobError, match=r"Job restore failed \(deadline exceeded\): wrong private key"):
        made.run(JOB, 60, lambda _: None)


def test_a_job_whose_pod_cannot_start_says_why(runner: Any) -> None:
    waiting = {"name": "restore", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
    pod = {**POD, "status": {"containerStatuses": [waiting]}}
    made, _ = runner([RUNNING], [""], [pod])
    with pytest.raises(JobError, match=r"has not ended within 0 s: .*ErrImagePull no such image"):
        made.run(JOB, 0, lambda _: None)
