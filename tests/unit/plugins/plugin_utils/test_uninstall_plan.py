"""What an uninstallation removes and what it leaves, object by object."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.installed import summary
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.uninstall import names, plan, problems

ASKED: dict[str, Any] = {
    "instance": "exchange",
    "manager": "cryptoexchange-platform",
    "namespaces": ["exchange", "exchange-database", "exchange-platform"],
    "system_namespace": "exchange-platform",
    "release": "exchange",
    "release_namespace": "exchange",
    "delete_data": [],
}
LABELS = {
    "app.kubernetes.io/name": "web",
    "app.kubernetes.io/instance": "exchange",
    "app.kubernetes.io/part-of": "cryptoexchange",
}
APPLIED = {
    "labels": {**LABELS, "app.kubernetes.io/managed-by": "ansible"},
    "managers": [("cryptoexchange-platform", "Apply")],
}
BY_HELM = {"labels": {**LABELS, "app.kubernetes.io/managed-by": "Helm"}, "managers": [("helm", "Update")]}


def thing(kind: str, name: str, namespace: str = "exchange", **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": kind,
        "resource": f"{kind.lower()}s",
        "namespace": namespace,
        "name": name,
        "labels": {},
        "owner": "",
        "hook": False,
        "managers": [],
        "type": "",
        "volume": "",
        "claim": "",
        "reclaim": "",
        **more,
    }


SPACE = thing("Namespace", "exchange", "", **APPLIED)


def planned(*objects: dict[str, Any], unseen: tuple[str, ...] = (), **asked: Any) -> dict[str, Any]:
    return plan({"objects": [SPACE, *objects], "unseen": list(unseen)}, {**ASKED, **asked})


@pytest.mark.parametrize(
    "item",
    [
        thing("Widget", "of-a-kind-that-is-not-known-here", **APPLIED),
        thing("ConfigMap", "in-somebody-s-namespace", "somebody", **APPLIED),
        thing("ClusterRole", "cluster-wide", "", **APPLIED),
        thing("Secret", "leaf", type="kubernetes.io/tls", **APPLIED),
        thing("Job", "migrate", hook=True, **BY_HELM),
    ],
)
def test_it_goes(item: dict[str, Any]) -> None:
    assert next(line.partition("/")[2] or line.split()[1] for line in planned(item)["going"]) == item["name"]


@pytest.mark.parametrize(
    "item",
    [
        thing("Secret", "generated", **APPLIED),
        thing("Secret", "ca", "exchange-platform", type="kubernetes.io/tls", **APPLIED),
        thing("PersistentVolumeClaim", "media", labels=BY_HELM["labels"], volume="pv-1"),
        thing(
            "ConfigMap",
            "postgres-config",
            labels={"app.kubernetes.io/instance": "exchange", "app.kubernetes.io/name": "p"},
        ),
        thing("CustomResourceDefinition", "widgets", "", **APPLIED),
    ],
)
def test_it_stays_and_is_named(item: dict[str, Any]) -> None:
    result = planned(item)
    assert not [line for line in result["going"] if item["name"] in line.split("/")[-1:]]
    assert [line for line in result["kept"] if item["name"] in line.split(":")[0]]


@pytest.mark.parametrize(
    "item",
    [
        thing("ConfigMap", "with-our-labels", labels=APPLIED["labels"], managers=[("kubectl-create", "Update")]),
        thing("PersistentVolumeClaim", "theirs"),
        thing("Secret", "theirs"),
        thing("Secret", "sh.helm.release.v1.other.v1", type="helm.sh/release.v1", labels={"name": "other"}),
    ],
)
@pytest.mark.parametrize("delete_data", [[], ["exchange"]])
def test_what_is_not_ours_stays_and_keeps_its_namespace(item: dict[str, Any], delete_data: list[str]) -> None:
    result = planned(item, delete_data=delete_data)
    assert result["going"] == []
    assert [line for line in result["kept"] if line.endswith(f"/{item['name']}: not ours")]
    assert [line for line in result["kept"] if line.startswith("Namespace exchange: with 1 object")]


def test_what_a_cluster_makes_itself_keeps_no_namespace() -> None:
    result = planned(
        thing("ConfigMap", "kube-root-ca.crt"),
        thing("ServiceAccount", "default"),
        thing("Lease", "leader"),
        thing("Pod", "web-1", owner="ReplicaSet", **APPLIED),
        thing("Secret", "default-token", type="kubernetes.io/service-account-token"),
    )
    assert result["going"] == ["Namespace exchange"]
    assert result["kept"] == []


@pytest.mark.parametrize(
    ("objects", "unseen", "why"),
    [
        ([{**SPACE, "managers": [*APPLIED["managers"], ("kubectl-create", "Update")]}], (), "kubectl-create"),
        ([], ("widgets (403 Forbidden)",), "can't be seen"),
    ],
)
def test_a_namespace_that_may_not_be_ours_alone_stays(
    objects: list[dict[str, Any]], unseen: tuple[str, ...], why: str
) -> None:
    result = plan({"objects": objects or [SPACE], "unseen": list(unseen)}, ASKED)
    assert result["namespaces"] == []
    assert why in result["kept"][0]


def test_the_release_goes_by_helm() -> None:
    record = thing("Secret", "sh.helm.release.v1.exchange.v3", type="helm.sh/release.v1", labels={"name": "exchange"})
    result = planned(record, thing("Deployment", "web", **BY_HELM))
    assert result["release"] is True
    assert result["running"] == []
    assert result["secrets"] == []
    assert "Deployment exchange/web" in result["going"]


def test_what_the_release_s_labels_are_copied_to_stays_when_helm_is_done() -> None:
    result = planned(thing("ConfigMap", "copied", **BY_HELM))
    assert result["release"] is False
    assert result["going"] == []
    assert [line.split(":")[0] for line in result["kept"]] == ["ConfigMap exchange/copied", "Namespace exchange"]


def test_data_goes_when_it_is_named_and_volumes_that_outlive_it_are_listed() -> None:
    ours = {"labels": {"app.kubernetes.io/instance": "exchange"}}
    objects = [
        thing("PersistentVolumeClaim", "data-0", volume="pv-0", **ours),
        thing("PersistentVolumeClaim", "data-1", volume="pv-1", **ours),
        thing("PersistentVolume", "pv-0", "", claim="exchange/data-0", reclaim="Retain"),
        thing("PersistentVolume", "pv-1", "", claim="exchange/data-1", reclaim="Retain"),
        thing("PersistentVolume", "pv-2", "", claim="somebody/data", reclaim="Retain"),
    ]
    result = planned(*objects, delete_data=["exchange/data-0"])
    assert [item["metadata"]["name"] for item in result["rest"]] == ["data-0"]
    assert [line.split(":")[0] for line in result["kept"]] == [
        "PersistentVolumeClaim exchange/data-1",
        "PersistentVolume pv-0",
        "Namespace exchange",
    ]


def test_claims_that_would_go_with_their_stateful_set_stop_it_unless_they_are_named() -> None:
    claim = thing("PersistentVolumeClaim", "data-0", owner="StatefulSet", labels=LABELS)
    assert "PersistentVolumeClaim exchange/data-0 would be deleted" in planned(claim)["lost"][0]
    assert planned(claim, delete_data=["exchange/data-0"])["lost"] == []
    assert planned(thing("PersistentVolumeClaim", "scratch", owner="Pod", labels=LABELS))["lost"] == []


def test_the_order() -> None:
    kinds = ["Service", "PersistentVolumeClaim", "StatefulSet", "CronJob", "ValidatingWebhookConfiguration"]
    result = planned(*(thing(kind, "x", **APPLIED) for kind in kinds), delete_data=["exchange"])
    assert [line.split()[0] for line in result["going"]] == [*reversed(kinds[2:]), *kinds[:2], "Namespace"]


def test_each_kind_and_namespace_is_asked_about_once() -> None:
    result = planned(thing("Widget", "a", **APPLIED), thing("Widget", "b", **APPLIED))
    assert result["questions"] == [
        {"verb": "delete", "group": "", "resource": "namespaces"},
        {"verb": "delete", "group": "", "resource": "widgets", "namespace": "exchange"},
    ]


@pytest.mark.parametrize("name", ["somebody", "exchange/", "exchange/a/b", "s3://bucket"])
def test_a_name_that_is_not_of_ours_is_refused(name: str) -> None:
    [said] = problems([name], ["exchange"])
    assert repr(name) in said
    assert "exchange" in said


def test_names_of_ours_are_accepted() -> None:
    assert problems(["exchange", "exchange/data-postgres-0"], ["exchange"]) == []


@pytest.mark.parametrize("said", ["a,b/c", "a b/c", "a\nb/c\n", ["a", "b/c"], ["a, b/c"]])
def test_a_form_gives_a_text(said: str | list[str]) -> None:
    assert names(said) == ["a", "b/c"]
    assert names([]) == names("") == []


def test_nothing_of_a_secret_s_content_is_kept() -> None:
    item = {"metadata": {"name": "a", "namespace": "b"}, "type": "Opaque", "data": {"password": "aHVudGVyMg=="}}
    kind = {"apiVersion": "v1", "kind": "Secret", "name": "secrets"}
    assert "aHVudGVyMg" not in str(summary(item, kind))
