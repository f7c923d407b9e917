"""From template to API: labels, Secrets, changes, leftovers."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import objects

COMPONENT = {"name": "web", "instance": "exchange", "component": "web", "version": "1", "namespace": "app"}
MANAGER = "cryptoexchange-platform"


def config_map(name: str = "a", **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}


def live(kind: str = "ConfigMap", **metadata: Any) -> dict[str, Any]:
    labels = {"app.kubernetes.io/instance": "exchange", "app.kubernetes.io/managed-by": "ansible"}
    fields = [{"manager": MANAGER, "operation": "Apply"}]
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": "a", "labels": labels, "managedFields": fields, **metadata},
    }


def test_namespace_and_labels_are_filled_in_and_what_the_template_says_is_kept() -> None:
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"app.kubernetes.io/component": "other"}},
        "spec": {"template": {"spec": {}}},
    }
    [item] = objects.prepare([None, deployment], COMPONENT)
    assert item["metadata"]["namespace"] == "app"
    assert item["metadata"]["labels"]["app.kubernetes.io/component"] == "other"
    assert item["metadata"]["labels"]["app.kubernetes.io/version"] == "1"
    assert item["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] == "web"
    assert "labels" not in deployment["spec"]["template"].get("metadata", {}), "the template itself must stay as it was"


def test_cluster_wide_kinds_get_no_namespace_and_others_no_version() -> None:
    role, plain = objects.prepare(
        [
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "a"}},
            config_map(),
        ],
        COMPONENT,
    )
    assert "namespace" not in role["metadata"]
    assert "app.kubernetes.io/version" not in plain["metadata"]["labels"]


def test_only_secrets_that_differ_are_applied_and_no_value_is_shown() -> None:
    documents = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "stringData": {"password": "geheim", "user": "u"},
        }
        for name in ("same", "other", "new")
    ]
    prepared = objects.prepare(documents, COMPONENT)
    existing = {
        "app/same": {"password": "geheim", "user": "u", "kept": "x"},
        "app/other": {"password": "alt", "user": "u"},
    }
    due = objects.secrets_to_apply(prepared, existing)
    assert [item["metadata"]["name"] for item in due] == ["other", "new"]
    lines = objects.secret_changes(due, existing)
    assert lines[0].startswith("app/other: password (sha256 ")
    assert "user" not in lines[0]
    assert "geheim" not in " ".join(lines)
    after = objects.with_secrets(existing, due)
    assert objects.secrets_to_apply(prepared, after) == []
    assert after["app/same"]["kept"] == "x"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (live(), True),
        (live("PersistentVolumeClaim"), False),
        (live("PersistentVolume"), False),
        (live("Secret"), False),
        (live("Namespace"), False),
        (live("EndpointSlice"), False),
        (live(ownerReferences=[{"kind": "StatefulSet"}]), False),
        (live(managedFields=[{"manager": "kubectl", "operation": "Apply"}]), False),
        (live(managedFields=[{"manager": MANAGER, "operation": "Update"}]), False),
        (live(managedFields=None), False),
        (live(labels={"app.kubernetes.io/instance": "other", "app.kubernetes.io/managed-by": "ansible"}), False),
        (live(labels={"app.kubernetes.io/instance": "exchange", "app.kubernetes.io/managed-by": "Helm"}), False),
    ],
)
def test_only_what_we_applied_and_nobody_owns_may_be_pruned(item: dict[str, Any], expected: bool) -> None:  # noqa: FBT001
    assert objects.may_prune(item, MANAGER, "exchange") is expected


def test_leftovers_are_what_was_applied_before_and_is_not_wanted_now() -> None:
    kept, gone = (objects.prepare([config_map(name)], COMPONENT)[0] for name in ("kept", "gone"))
    claim = "v1 PersistentVolumeClaim app/data"
    before = [*objects.applied_list([kept, gone], []), claim]
    left = objects.leftovers(before, [kept])
    assert left == [{"api_version": "v1", "kind": "ConfigMap", "namespace": "app", "name": "gone"}]
    assert objects.applied_list([kept], left) == ["v1 ConfigMap app/gone", "v1 ConfigMap app/kept"]


def test_changes_are_listed_with_their_differences_but_without_noise() -> None:
    before = {"metadata": {"name": "a", "uid": "1", "managedFields": []}, "data": {"k": "old"}}
    after = {"metadata": {"name": "a", "uid": "2", "managedFields": [1]}, "data": {"k": "new"}, "status": {"x": 1}}
    one = {
        "changed": True,
        "result": {**live(), "metadata": {"name": "a", "namespace": "app"}},
        "diff": {"before": before, "after": after},
    }
    same = {**one, "changed": False}
    assert objects.changes({"result": {"results": [one, same]}}) == ["ConfigMap app/a"]
    text = "\n".join(objects.changes({"result": {"results": [one, same]}}, with_diff=True))
    assert '-    "k": "old"' in text
    assert '+    "k": "new"' in text
    assert "uid" not in text
    assert "status" not in text


def test_objects_of_namespaces_that_are_not_there_are_told_apart() -> None:
    items = objects.prepare([config_map(), config_map("b", namespace="new")], COMPONENT)
    assert [i["metadata"]["name"] for i in objects.of_namespaces(items, ["app"], present=True)] == ["a"]
    assert [i["metadata"]["name"] for i in objects.of_namespaces(items, ["app"], present=False)] == ["b"]
