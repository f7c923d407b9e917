"""What release Secrets tell: how the release stands, who is at work, what would change."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import helm_release

NOW = "2026-01-01T12:00:00.5"
MANIFEST = """---
# Source: exchange/templates/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: exchange-web
spec:
  replicas: 2
  template:
    spec:
      replicas: 7
---
# Source: exchange/templates/workers.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: exchange-queue
spec:
  replicas: 3
"""


def values(tag: str = "1", **others: Any) -> dict[str, Any]:
    return {"image": {"repository": "shop", "tag": tag}, **others}


def secret(revision: int, status: str, config: dict[str, Any] | None = None, begun: str = "11:00:00") -> dict[str, Any]:
    content = {"name": "exchange", "version": revision, "config": config, "manifest": MANIFEST}
    return {
        "metadata": {
            "name": f"sh.helm.release.v1.exchange.v{revision}",
            "namespace": "exchange",
            "labels": {"status": status, "version": str(revision), "owner": "helm", "name": "exchange"},
            "creationTimestamp": f"2026-01-01T{begun}Z",
        },
        "data": {"release": helm_release.encode(content)},
    }


def test_encode_is_what_decode_reads() -> None:
    assert helm_release.decode(secret(1, "deployed", values()))["config"] == values()


@pytest.mark.parametrize(
    ("secrets", "expected"),
    [
        ([], {"status": "none", "revision": 0, "config": {}, "running": {}, "pending": []}),
        (
            [secret(1, "deployed", values())],
            {"status": "deployed", "revision": 1, "config": values(), "running": values(), "pending": []},
        ),
        ([secret(1, "uninstalled", values())], {"status": "none", "revision": 0, "running": {}}),
        # The tenth revision is newer than the ninth.
        ([secret(10, "deployed", values("10")), secret(9, "superseded", values("9"))], {"revision": 10}),
        # After a failed upgrade the one before it is what runs.
        (
            [secret(1, "deployed", values("1")), secret(2, "failed", values("2"))],
            {"status": "failed", "revision": 2, "config": values("2"), "running": values("1"), "pending": []},
        ),
        # A first installation that failed leaves nothing that runs.
        ([secret(1, "failed", values("1"))], {"status": "failed", "running": {}}),
        ([secret(1, "pending-install", values())], {"pending": ["sh.helm.release.v1.exchange.v1"], "running": {}}),
        (
            [secret(1, "superseded", values()), secret(2, "deployed", None)],
            {"status": "deployed", "config": {}, "running": {}},
        ),
    ],
)
def test_state(secrets: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    state = helm_release.state(secrets, NOW, 600)
    assert {key: state[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("newest", "at_work"),
    [
        # Another tag and nothing else: continuous delivery, for as long as it may take.
        (secret(2, "pending-upgrade", values("2"), begun="11:50:30"), True),
        (secret(2, "pending-upgrade", values("2"), begun="11:49:30"), False),
        (secret(2, "pending-rollback", values("2"), begun="11:59:00"), True),
        # Something else as well: a killed run of ours, whose Helm may still live for a moment.
        (secret(2, "pending-upgrade", values("2", web={}), begun="11:59:00"), False),
        (secret(2, "pending-upgrade", values("2", web={}), begun="11:59:45"), True),
        (secret(2, "pending-upgrade", values("1"), begun="11:59:00"), False),
        (secret(2, "failed", values("2"), begun="11:59:59"), False),
    ],
)
def test_who_is_at_work(newest: dict[str, Any], at_work: bool) -> None:  # noqa: FBT001
    assert helm_release.state([secret(1, "deployed", values("1")), newest], NOW, 600)["at_work"] is at_work


def test_a_killed_first_installation_is_recovered_soon() -> None:
    assert helm_release.state([secret(1, "pending-install", values(), "11:59:00")], NOW, 600)["at_work"] is False


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"web": {"replicas": 2}}, {"web": {"replicas": 3}}, ["web.replicas: 2 -> 3"]),
        (
            {"env": {"A": "old", "B": "x"}},
            {"env": {"A": "new", "C": "x"}},
            ["env.A: changed", "env.B: removed", "env.C: added"],
        ),
        ({"web": {"env": {"A": "old"}}}, {"web": {"env": {"A": "new"}}}, ["web.env.A: changed"]),
        ({"steps": ["a"]}, {"steps": ["b"]}, ["steps: changed"]),
        ({}, {"media": {"type": "pvc"}}, ["media: added"]),
        ({"environment": "old"}, {"environment": "new"}, ["environment: old -> new"]),
    ],
)
def test_changes_show_no_environment(old: dict[str, Any], new: dict[str, Any], expected: list[str]) -> None:
    assert helm_release.value_changes(old, new) == expected


def test_replicas_leave_the_manifest_of_one_deployment_alone() -> None:
    before = secret(2, "deployed", values())
    (after,) = helm_release.without_replicas([secret(1, "superseded", values()), before], "exchange-web")
    assert after["metadata"] == {"name": "sh.helm.release.v1.exchange.v2", "namespace": "exchange"}
    old, new = helm_release.decode(before), helm_release.decode(after)
    assert new["manifest"] == MANIFEST.replace("  replicas: 2\n", "", 1)
    assert {**new, "manifest": ""} == {**old, "manifest": ""}


@pytest.mark.parametrize(
    "secrets", [[], [secret(1, "failed", values())], [secret(1, "deployed", values())]], ids=["none", "failed", "other"]
)
def test_nothing_is_written_when_there_is_nothing_to_take_out(secrets: list[dict[str, Any]]) -> None:
    assert helm_release.without_replicas(secrets, "another-web") == []
