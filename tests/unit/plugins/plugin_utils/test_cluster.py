"""The right cluster, or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import cluster, rules_platform

EXPECTED = {"uid": "u-1", "api_host": "", "oldest": "1.34", "newest": "1.37"}
FACTS: dict[str, Any] = {
    "problem": "",
    "api_host": "https://10.0.0.1:6443",
    "version": "v1.36.4-eks-99",
    "namespaces": {"kube-system": "u-1"},
    "denied": [],
}


def test_the_right_cluster_is_accepted() -> None:
    assert cluster.refusals(FACTS, EXPECTED) == []


@pytest.mark.parametrize(
    ("facts", "expected", "words"),
    [
        ({"namespaces": {"kube-system": "u-2"}}, {}, ["wrong cluster", "u-1", "u-2", "https://10.0.0.1:6443"]),
        ({"namespaces": {}}, {}, ["wrong cluster", "u-1", "none"]),
        ({}, {"api_host": "https://other:6443"}, ["https://other:6443", "https://10.0.0.1:6443"]),
        ({"version": "v1.33.9"}, {}, ["v1.33.9", "1.34 to 1.37"]),
        ({"version": "v1.38.0"}, {}, ["v1.38.0", "1.34 to 1.37"]),
        ({"problem": "MaxRetryError: refused"}, {}, ["can't be looked at", "refused"]),
        (
            {"denied": [{"verb": "patch", "resource": "roles", "group": "rbac", "namespace": "app"}]},
            {},
            ["patch roles.rbac", "app"],
        ),
        (
            {"denied": [{"verb": "create", "resource": "namespaces", "group": ""}]},
            {},
            ["create namespaces in the whole cluster"],
        ),
    ],
)
def test_any_other_is_refused_with_what_was_expected_and_found(
    facts: dict[str, Any], expected: dict[str, str], words: list[str]
) -> None:
    [reason] = cluster.refusals({**FACTS, **facts}, {**EXPECTED, **expected})
    assert all(word in reason for word in words), reason


NAMED = {"platform_kubeconfig": "/k", "platform_cluster_uid": "u"}
BY_HOST = {"platform_api_host": "https://a:6443", "platform_api_token": "t", "platform_cluster_uid": "u"}


@pytest.mark.parametrize(
    ("values", "ambient", "words"),
    [
        ({"platform_cluster_uid": "u"}, {}, ["platform_kubeconfig is ''"]),
        ({"platform_kubeconfig": "/k"}, {}, ["platform_cluster_uid is ''"]),
        ({**BY_HOST, "platform_api_token": ""}, {}, ["platform_api_token"]),
        ({**BY_HOST, "platform_api_host": "http://a"}, {}, ["platform_api_host", "https://"]),
        (NAMED, {"K8S_AUTH_HOST": "https://other"}, ["K8S_AUTH_HOST", "platform_kubeconfig"]),
        (NAMED, {"K8S_AUTH_API_KEY": "secret"}, ["K8S_AUTH_API_KEY"]),
        (NAMED, {"K8S_AUTH_VERIFY_SSL": "false"}, ["K8S_AUTH_VERIFY_SSL", "TLS"]),
        (BY_HOST, {"K8S_AUTH_VERIFY_SSL": "no"}, ["K8S_AUTH_VERIFY_SSL"]),
        (BY_HOST, {"K8S_AUTH_CERT_FILE": "/c"}, ["K8S_AUTH_CERT_FILE"]),
    ],
)
def test_an_uncertain_connection_is_refused(values: dict[str, Any], ambient: dict[str, str], words: list[str]) -> None:
    [error] = rules_platform.connection_errors(values, ambient)
    assert all(word in error for word in words), error
    assert "secret" not in error


@pytest.mark.parametrize(
    ("values", "ambient"),
    [
        (NAMED, {}),
        (NAMED, {"K8S_AUTH_VERIFY_SSL": "true"}),
        (BY_HOST, {"K8S_AUTH_HOST": "https://a:6443", "K8S_AUTH_API_KEY": "t"}),
    ],
)
def test_a_certain_connection_is_accepted(values: dict[str, Any], ambient: dict[str, str]) -> None:
    assert rules_platform.connection_errors(values, ambient) == []


NAMESPACES = {"postgres": "data", "postgres_backup": "keep", "exchange_app": "shop", "deployer": "shop"}


@pytest.mark.parametrize(
    ("components", "places"),
    [
        (["postgres"], set()),
        (["postgres", "exchange_app"], set()),
        (["postgres", "postgres_backup"], {"keep", "data"}),
        (["postgres", "postgres_backup", "exchange_app"], {"keep", "data", "shop"}),
    ],
)
def test_backups_ask_for_cronjobs_wherever_they_make_them(components: list[str], places: set[str]) -> None:
    asked = cluster.access_questions(components, NAMESPACES, "agents")
    assert {one["namespace"] for one in asked if one["resource"] == "cronjobs"} == places
    # Nothing is asked twice.
    assert len({tuple(sorted(one.items())) for one in asked}) == len(asked)


def test_monitoring_asks_wherever_it_finds_pods_and_on_nodes() -> None:
    asked = cluster.access_questions(["postgres", "monitoring"], {"postgres": "data", "monitoring": "watch"}, "agents")
    places = {(one["resource"], one.get("namespace", "")) for one in asked}
    assert {("rolebindings", place) for place in ("data", "watch", "agents")} <= places
    assert {place for resource, place in places if resource == "daemonsets"} == {"agents"}
    assert len({tuple(sorted(one.items())) for one in asked}) == len(asked)


def test_metrics_server_asks_for_what_it_makes_in_the_whole_cluster() -> None:
    asked = cluster.access_questions(["metrics_server"], {"metrics_server": "figures"}, "agents")
    wide = {one["resource"] for one in asked if "namespace" not in one}
    assert {"clusterroles", "clusterrolebindings", "apiservices"} <= wide
    assert {one["namespace"] for one in asked if one["resource"] == "rolebindings"} == {"kube-system"}


def test_components_in_one_namespace_ask_nothing_twice() -> None:
    asked = cluster.access_questions(["exchange_app", "deployer"], NAMESPACES, "agents")
    assert len({tuple(sorted(one.items())) for one in asked}) == len(asked)
    core = {"group": "", "namespace": "shop"}
    assert {**core, "verb": "patch", "resource": "serviceaccounts"} in asked
    assert {**core, "verb": "create", "resource": "serviceaccounts", "subresource": "token"} in asked
